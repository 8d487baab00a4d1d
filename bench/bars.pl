#!/usr/bin/perl
# bars.pl TITLE <rows: a horizontal bar chart as SVG
# Each row is "label<TAB>number".
use strict;
use warnings;

my $title = shift // '';
my @rows = map { chomp; [ split /\t/ ] } grep { /\t/ } <STDIN>;
my ($max) = sort { $b <=> $a } map { $_->[1] } @rows;
$max ||= 1;
my ($left, $width, $bar) = (180, 420, 22);
my $height = 50 + $bar * @rows;

printf qq{<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">\n},
	$left + $width + 80, $height;
print qq{<rect width="100%" height="100%" fill="white"/>\n};
printf qq{<text x="10" y="22" font-size="15" font-weight="bold">%s</text>\n}, escape($title);
my $y = 40;
for my $row (@rows)
{
	my ($label, $value) = @$row;
	my $colour = $label =~ /heap|nbtree|btree/ ? '#9aa5b1' : '#2f6fb0';
	printf qq{<text x="%d" y="%d" text-anchor="end">%s</text>}, $left - 8, $y + 14, escape($label);
	printf qq{<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>}, $left, $y + 2,
		$width * $value / $max, $bar - 6, $colour;
	printf qq{<text x="%.1f" y="%d">%s</text>\n}, $left + $width * $value / $max + 6, $y + 14, $value;
	$y += $bar;
}
print "</svg>\n";

sub escape
{
	my $s = shift;
	$s =~ s/&/&amp;/g;
	$s =~ s/</&lt;/g;
	return $s;
}
