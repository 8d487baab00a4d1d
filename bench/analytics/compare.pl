# compare.pl SET HEAP OMENDB DUCKDB EXPLAIN NODES DIFFERENCES: are the results of
# heap and omendb tables the same, are DuckDB's the same to eight digits, and which
# nodes does the planner use?  Appends to the last two files.
use strict;
use warnings;

my ($set, $heap, $omendb, $duckdb, $explain, $nodes, $differences) = @ARGV;

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

# rows whose numbers are cut to eight digits, without what types print differently
sub rounded
{
	my ($lines) = @_;
	return join("\n", sort map {
		join('|', map {
			my $v = $_;
			$v =~ s/ +$//;
			$v =~ s/^(\d{4}-\d\d-\d\d) 00:00:00$/$1/;
			$v =~ /^-?\d+(\.\d+)?(e[-+]?\d+)?$/i ? sprintf('%.8g', $v) : $v
		} split /\|/, $_, -1)
	} split /\n/, $lines // '');
}

my %h = sections($heap);
my %d = sections($duckdb);
my %o = sections($omendb);
my %e = sections($explain);
open(my $out, '>>', $differences) or die;
foreach my $label (sort keys %h)
{
	print $out "$set: $label\n" if $h{$label} ne ($o{$label} // '');
	print $out "$set: $label (DuckDB)\n" if rounded($h{$label}) ne rounded($d{$label});
}
close $out;
open($out, '>>', $nodes) or die;
foreach my $label (sort keys %e)
{
	print $out "$set\t$label\t", ($e{$label} =~ /OmendbVectorScan/ ? 's' : ''), ($e{$label} =~ /OmendbVectorAgg/ ? 'a' : ''), "\n";
}
