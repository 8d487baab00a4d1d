# Marker and header pages that are lost: whoever comes to them gets an error, or
# the rows, and never fewer rows.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 6000;

# A node with table t, its heap twin h, sealed; referenced by a foreign key
sub make_node
{
	my ($name, $checksums) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(
		allows_streaming => 1,
		extra => $checksums ? ['--data-checksums'] : []);
	no_checksums($node) unless $checksums;
	$node->append_conf('postgresql.conf',
		omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off', 'omendb.reclaim_space' => 'half'));
	$node->start;
	$node->safe_psql('postgres',
		'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
	omen_helpers($node);
	$node->safe_psql(
		'postgres', qq{
CREATE TABLE t (a int PRIMARY KEY, b int, pad text, c int) USING omendb;
CREATE INDEX t_b ON t (b);
SET client_min_messages = error;
CREATE UNIQUE INDEX t_c ON t USING alex (c);
CREATE TABLE child (a int REFERENCES t);
INSERT INTO t SELECT g, g % 100, repeat('x', 200), g FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT ctid AS tid, a, b, pad FROM t;
});
	seal_all($node, 't');
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node;
}

sub run_paths
{
	my ($node, $what, @where) = @_;
	return run_tid_paths($node, $what, $rows, @where);
}

# Where things are in a cold page (see src/table/table.h)
my $magic = 24;
my $kind = 24 + 6;
my $marker_lines = 24 + 24 + 24;
my $bitmap = 24 + 24 + 56;

my $lost = qr/block \d+ of relation "t" holds no rows, but is cold according to its row group/;
my $headless = qr/row group at block \d+ of relation "t" has lost its header page/;
my $damaged = qr/(header|marker) page \d+ of relation "t" is damaged/;

# [what, page, how it is changed, the error, only without checksums]
my @cases = (
	[ 'zeroed marker', 'marker', sub { "\0" x 8192 }, $lost ],
	[ 'zeroed header', 'header', sub { "\0" x 8192 }, $headless ],
	[ 'marker with a wrong checksum', 'marker', sub { flip($_[0], 30, 3) }, qr/invalid page in block/, 1 ],
	[ 'header with a wrong checksum', 'header', sub { flip($_[0], 30, 3) }, qr/invalid page in block/, 1 ],
	[ 'marker with another magic', 'marker', sub { flip($_[0], $magic, 1) }, $lost, 0 ],
	[ 'marker of another kind', 'marker', sub { flip($_[0], $kind, 3) }, $damaged, 0 ],
	[ 'marker with a damaged line pointer map', 'marker', sub { flip($_[0], $marker_lines + 4, 0x40) }, $damaged, 0 ],
	[ 'marker with another pd_upper', 'marker', sub { flip($_[0], 15, 0x10) }, $lost, 0 ],
	[ 'header with another magic', 'header', sub { flip($_[0], $magic, 1) }, $headless, 0 ],
	[ 'header of another kind', 'header', sub { flip($_[0], $kind, 3) }, $headless, 0 ],
	[ 'header with a damaged bitmap', 'header', sub { flip(flip($_[0], $bitmap + 2, 2), $bitmap + 3, 4) }, $damaged, 0 ]);

foreach my $checksums (1, 0)
{
	my $node = make_node($checksums ? 'with_checksums' : 'without', $checksums);
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_visibility');
	my $file = relation_file($node, 't');

	foreach my $case (@cases)
	{
		my ($what, $which, $change, $error, $only) = @$case;
		next if defined $only && $only != $checksums;
		$what .= $checksums ? ' (checksums)' : '';

		# the paths of the case before have thawed much
		seal_all($node, 't');
		$node->stop;
		my $at = 81;
		if ($which eq 'header')
		{
			($at) = grep { ord(substr(read_block($file, $_), $kind, 1)) == 2 } 64 .. 127;
		}
		my $blk = $which eq 'header' ? $at + 1 : $at;
		my $good = read_block($file, $at);
		is(substr($good, $magic, 4), pack('L', 0x4F4D454E), "$what: block $at is cold");
		write_block($file, $at, $change->($good));
		$node->start;
		my $a = $node->safe_psql('postgres', "SELECT a FROM h WHERE tid = '($blk,3)'");
		my $n = run_paths($node, $what, $blk, $a, $error);
		ok($n > 0, "$what: $n paths noticed") unless $what =~ /line pointer map/;

		# put back, everything is there for every plan: nothing was forgotten
		$node->stop('immediate');
		write_block($file, $at, $good);
		$node->start;
		run_paths($node, "$what, put back", $blk, $a, undef);
		is( $node->safe_psql(
				'postgres',
				'SELECT count(*) FROM (SELECT ctid, a, b, pad FROM t EXCEPT SELECT * FROM h) x'),
			0,
			"$what, put back: the rows are those of the heap twin");
	}
	crash_free($node, $checksums ? 'checksums' : 'no checksums');
	$node->stop;
}

done_testing();
