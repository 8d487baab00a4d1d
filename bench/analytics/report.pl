# report.pl table TIMES NODES | short TIMES | plot TIMES: medians as Markdown tables,
# what falls short of what is required, or the medians as SVG
#
# Required of a query on one table: heap's time / 8 and twice DuckDB's; after
# updates heap's / 4; of a join heap's.
use strict;
use warnings;

my ($what, $times, $nodes) = @ARGV;
my (%v, @order, %seen, %node);
open(my $in, '<', $times) or die "$times: $!";
while (<$in>)
{
	chomp;
	my ($set, $threads, $label, $system, $ms) = split /\t/;
	push @order, [ $set, $threads, $label ] unless $seen{$set}{$threads}{$label}++;
	push @{ $v{$set}{$threads}{$label}{$system} }, $ms;
}
if ($nodes)
{
	open(my $fh, '<', $nodes) or die "$nodes: $!";
	while (<$fh>) { chomp; my ($set, $label, $n) = split /\t/; $node{$set}{$label} = $n; }
}

sub median
{
	my @s = sort { $a <=> $b } @{ $_[0] // [] };
	return undef unless @s;
	return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2;
}

sub show { my ($x) = @_; return !defined $x ? '' : $x < 10 ? sprintf('%.2f', $x) : $x < 100 ? sprintf('%.1f', $x) : sprintf('%.0f', $x); }
sub geo { return @_ ? exp(eval { my $s = 0; $s += log($_) for @_; $s / @_ }) : undef; }

my @systems = qw(heap omendb DuckDB);
if ($what eq 'table')
{
	my $last = '';
	my (@faster, @to_duck);
	my $flush = sub {
		print "| *geometric mean* | | | | **" . show(geo(@faster)) . "** | **" . show(geo(@to_duck)) . "** | |\n" if @faster;
		@faster = @to_duck = ();
	};
	foreach my $q (@order)
	{
		my ($set, $threads, $label) = @$q;
		if ("$set $threads" ne $last)
		{
			$flush->();
			$last = "$set $threads";
			print "\n## $set, " . ($threads == 1 ? 'one thread' : "$threads threads") . "\n\n";
			print "| query | heap | omendb | DuckDB | heap / omendb | omendb / DuckDB | node |\n|---|---:|---:|---:|---:|---:|---|\n";
		}
		my ($h, $o, $d) = map { median($v{$set}{$threads}{$label}{$_}) } @systems;
		push @faster, $h / $o if $h && $o;
		push @to_duck, $o / $d if $o && $d;
		print "| $label | ", join(' | ', show($h), show($o), show($d), $h && $o ? show($h / $o) : '', $o && $d ? show($o / $d) : '', $node{$set}{$label} // ''), " |\n";
	}
	$flush->();
	exit;
}

if ($what eq 'short')
{
	foreach my $q (@order)
	{
		my ($set, $threads, $label) = @$q;
		next if $threads != $order[0][1];
		my ($h, $o, $d) = map { median($v{$set}{$threads}{$label}{$_}) } @systems;
		my $faster = $label =~ /\(join\)/ ? 1 : $set eq 'updated' ? 4 : 8;
		my @short;
		push @short, show($h / $o) . " x heap (required: $faster)" if $h && $o && $h / $o < $faster;
		push @short, show($o / $d) . " x DuckDB's time (required: 2)" if $o && $d && $set ne 'updated' && $faster > 1 && $o / $d > 2;
		print "* $set: $label: ", join(', ', @short), "\n" if @short;
	}
	exit;
}

# a group of three bars for each query by one thread, on a logarithmic scale
my @rows = grep { $_->[1] == $order[0][1] } @order;
my ($left, $width, $bar) = (260, 520, 7);
my ($min, $max) = (1e9, 0);
foreach my $q (@rows)
{
	foreach my $s (@systems)
	{
		my $m = median($v{ $q->[0] }{ $q->[1] }{ $q->[2] }{$s}) or next;
		$min = $m if $m < $min;
		$max = $m if $m > $max;
	}
}
my $low = int(log($min) / log(10) - ($min < 1 ? 1 : 0));
my $high = int(log($max) / log(10)) + 1;
my %colour = (heap => '#9aa5b1', omendb => '#2f6fb0', DuckDB => '#e0a800');
my $group = 3 * $bar + 6;
my $height = 90 + $group * @rows;
my $x_of = sub { return $left + $width * (log($_[0]) / log(10) - $low) / ($high - $low); };
sub escape { my $s = shift; $s =~ s/&/&amp;/g; $s =~ s/</&lt;/g; return $s; }
printf qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">\n<rect width="100%%" height="100%%" fill="white"/>\n},
	$left + $width + 70, $height;
print qq{<text x="10" y="22" font-size="15" font-weight="bold">Analytical queries, one thread: milliseconds, logarithmic</text>\n};
my $x = $left;
foreach my $s (@systems)
{
	printf qq{<rect x="%d" y="32" width="12" height="12" fill="%s"/><text x="%d" y="42">%s</text>\n}, $x, $colour{$s}, $x + 17, $s;
	$x += 90;
}
foreach my $p ($low .. $high)
{
	printf qq{<line x1="%.1f" x2="%.1f" y1="56" y2="%d" stroke="#dddddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#666666">%g</text>\n},
		$x_of->(10**$p), $x_of->(10**$p), $height - 22, $x_of->(10**$p), $height - 8, 10**$p;
}
my $y = 60;
foreach my $q (@rows)
{
	my ($set, $threads, $label) = @$q;
	printf qq{<text x="%d" y="%d" text-anchor="end">%s: %s</text>\n}, $left - 8, $y + $group / 2 + 1, escape($set), escape($label);
	foreach my $s (@systems)
	{
		my $m = median($v{$set}{$threads}{$label}{$s});
		if ($m)
		{
			my $end = $x_of->($m);
			printf qq{<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="8">%s</text>\n},
				$left, $y, $end - $left > 1 ? $end - $left : 1, $bar - 1, $colour{$s}, $end + 3, $y + $bar - 1, show($m);
		}
		$y += $bar;
	}
	$y += 6;
}
print "</svg>\n";
