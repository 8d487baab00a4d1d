# What cannot be seen is not gone: header pages that read as zeros, files that are
# away, the end of a table that is lost.  Put back, all rows are there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rows = 6000;

my $node = PostgreSQL::Test::Cluster->new('absence');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf',
	omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off'));
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
omen_helpers($node);
$node->safe_psql(
	'postgres', qq{
CREATE TABLE t (a int PRIMARY KEY, pad text) USING omendb;
INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT ctid AS tid, * FROM t;
});
seal_all($node, 't');
$node->safe_psql('postgres', 'CHECKPOINT');
my $file = $node->data_dir . '/'
  . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('t')});
my $size = -s $file;
my @stored = stored_ids($node);
is(scalar(@stored), 3, 'three row groups');

sub slurp_raw
{
	open(my $fh, '<:raw', $file) or die "$file: $!";
	local $/;
	return <$fh>;
}

sub spew_raw
{
	my ($data) = @_;
	open(my $fh, '+<:raw', $file) or die "$file: $!";
	print $fh $data;
	close $fh;
	return;
}

# Nothing is collected, and with the table's file as it was all rows are there
sub kept
{
	my ($what, $damage, $mend) = @_;
	$node->stop;
	$damage->();
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT omendb.gc()');
	is("$rc $out", '0 0', "$what: nothing is garbage");
	like($err, qr/WARNING:  row group [0-9a-f]{32} of relation "t" is kept/, "$what: and that is said")
	  unless $what =~ /end/;
	# what is to be deleted has been by then
	$node->safe_psql('postgres', 'CHECKPOINT');
	($rc, $out, $err) = $node->psql('postgres', 'VACUUM t');
	note("VACUUM: $err");
	is($node->safe_psql('postgres', 'SELECT omendb.gc()'), 0, "$what: nor after VACUUM");
	is_deeply([ stored_ids($node) ], \@stored, "$what: every file is there");
	$node->stop('immediate');
	$mend->();
	$node->start;
	for my $set ('enable_indexscan = off; SET enable_bitmapscan = off', 'enable_seqscan = off')
	{
		is( $node->safe_psql(
				'postgres',
				"SET $set; SELECT count(*), (SELECT count(*) FROM (SELECT ctid, a, pad FROM t EXCEPT SELECT * FROM h) x) FROM t WHERE a > 0"),
			"$rows|0",
			"$what, put back: all rows ($set)");
	}
	return;
}

my $whole;
for my $header (0, 64, 128)
{
	my $at = $header;
	kept(
		"no header page (row group at $header)",
		sub {
			$whole = slurp_raw();
			# the header is the first block, or the 17th
			$at += 16 unless ord(substr($whole, $at * 8192 + 30, 1)) == 2;
			is(ord(substr($whole, $at * 8192 + 30, 1)), 2, "block $at is a header page");
			my $damaged = $whole;
			substr($damaged, $at * 8192, 8192) = "\0" x 8192;
			spew_raw($damaged);
		},
		sub { spew_raw($whole) });
}

kept(
	'the file is away',
	sub { rename($file, "$file.away") or die $! },
	sub { unlink($file); rename("$file.away", $file) or die $! });

# more than VACUUM needs to give back the end of a table
my $lost = 20;
kept(
	'the end is lost',
	sub {
		$whole = slurp_raw();
		my $damaged = $whole;
		substr($damaged, $size - $lost * 8192) = "\0" x ($lost * 8192);
		spew_raw($damaged);
	},
	sub {
		is(-s $file, $size, 'the end is lost: it was not cut off');
		spew_raw($whole);
	});

# A table that was sealed, then emptied, does shrink, and its row groups go
$node->safe_psql('postgres', 'DELETE FROM t WHERE a > 500');
$node->safe_psql('postgres', 'VACUUM t');
my $blocks = $node->safe_psql('postgres', q{SELECT pg_relation_size('t') / 8192});
cmp_ok($blocks, '<', 40, "nearly emptied: $blocks blocks left");
is($node->safe_psql('postgres', 'SELECT count(*), sum(a) FROM t'), '500|125250', 'the others are there');
$node->safe_psql('postgres', 'DELETE FROM t');
$node->safe_psql('postgres', 'VACUUM t');
$blocks = $node->safe_psql('postgres', q{SELECT pg_relation_size('t') / 8192});
cmp_ok($blocks, '<=', 17, "emptied: $blocks blocks left");
$node->safe_psql('postgres', 'SELECT omendb.gc()');
# the worker deletes when it comes to it
for (my $i = 0; $i < 600 && stored_ids($node); $i++)
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	usleep(100_000);
}
is_deeply([ stored_ids($node) ], [], 'and nothing in the store');
$node->safe_psql('postgres', "INSERT INTO t SELECT g, 'again' FROM generate_series(1, 1000) g");
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), 1000, 'it is filled again');

crash_free($node, 'the log');
$node->stop;
done_testing();
