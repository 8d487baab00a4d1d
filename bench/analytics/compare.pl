# compare.pl SET HEAP OMENDB EXPLAIN NODES DIFFERENCES: are the results of heap
# and omendb tables the same, and which nodes does the planner use?  Appends to the
# last two files.
use strict;
use warnings;

my ($set, $heap, $omendb, $explain, $nodes, $differences) = @ARGV;

# file with "== label" lines: label to the lines that follow, sorted
sub sections
{
	my ($file) = @_;
	my ($label, %lines);
	open(my $in, '<', $file) or die "$file: $!";
	while (<$in>)
	{
		if (/^== (.*)/) { $label = $1; $lines{$label} = []; next; }
		push @{ $lines{$label} }, $_ if defined $label;
	}
	return map { $_ => join('', sort @{ $lines{$_} }) } keys %lines;
}

my %h = sections($heap);
my %o = sections($omendb);
my %e = sections($explain);
open(my $out, '>>', $differences) or die;
foreach my $label (sort keys %h)
{
	next if $h{$label} eq ($o{$label} // '');
	print $out "$set: $label\n";
}
close $out;
open($out, '>>', $nodes) or die;
foreach my $label (sort keys %e)
{
	print $out "$set\t$label\t", ($e{$label} =~ /OmendbVectorScan/ ? 's' : ''), ($e{$label} =~ /OmendbVectorAgg/ ? 'a' : ''), "\n";
}
