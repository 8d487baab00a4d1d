# scripts.pl DIR QUERIES RUNS ROUND: psql's and DuckDB's scripts of one round
#
# QUERIES: lines "-- label", then a query on one line.  {R} in it becomes a random
# number below 990000, another in each run, the same on all systems.
use strict;
use warnings;
use JSON::PP;

my ($dir, $file, $runs, $round) = @ARGV;
srand($round);
my ($label, %out);
$out{'run.sql'} = "\\o /dev/null\n\\set QUIET on\n";
$out{'results.sql'} = "SET extra_float_digits = 1;\n";
$out{$_} = '' for 'run.json', 'explain.sql', 'results.json';
open(my $in, '<', $file) or die "$file: $!";
while (my $line = <$in>)
{
	chomp $line;
	if ($line =~ /^-- (.*)/) { $label = $1; next; }
	next unless $line =~ /\S/;
	my @sql;
	for (0 .. $runs)
	{
		my $r = int(rand(990000));
		(my $one = $line) =~ s/\{R\}/$r/g;
		push @sql, $one;
	}
	$out{'run.sql'} .= "$sql[0]\n\\echo == $label\n\\timing on\n" . join('', map { "$sql[$_]\n" } 1 .. $runs) . "\\timing off\n";
	$out{'results.sql'} .= "\\echo == $label\n$sql[0]\n";
	$out{'explain.sql'} .= "\\echo == $label\nEXPLAIN $sql[0]\n";
	s/;$// for @sql;
	$out{'run.json'} .= encode_json([ $label, 1, $runs + 0, \@sql ]) . "\n";
	$out{'results.json'} .= encode_json([ $label, 0, 0, \@sql ]) . "\n";
}
foreach my $name (keys %out)
{
	open(my $fh, '>', "$dir/$name") or die "$dir/$name: $!";
	print $fh $out{$name};
	close $fh;
}
