# Repair of row groups: what must not be taken for lost, hints that can be followed,
# other page formats, and space for what is written.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node(
	'more',
	'omendb.row_group_blocks' => 64,
	'omendb.gc_interval' => 0,
	'bgwriter_lru_maxpages' => 0,
	'autovacuum' => 'off');
my $rows = 6000;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub sql_error
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	return $rc == 0 ? "no error: $out" : $err;
}

sub make
{
	my ($name) = @_;
	sql(qq{CREATE TABLE $name (a int PRIMARY KEY, pad text) USING omendb;
		INSERT INTO $name SELECT g, repeat('x', 200) FROM generate_series(1, $rows) g;});
	seal_all($node, $name);
	sql('CHECKPOINT');
	return relation_file($node, $name);
}

sub header_of
{
	my ($file, $first) = @_;
	foreach my $blk ($first, $first + 16)
	{
		return $blk if ord(substr(read_block($file, $blk), 24 + 6, 1)) == 2;
	}
	die "no header page at $first";
}

# -- a hint can be followed, whatever the table is called
my $odd = q{"An odd Name"};
my $file = make($odd);
$node->stop;
write_block($file, 70, "\0" x 8192);
$node->start;
my $err = sql_error("SELECT count(*) FROM $odd WHERE ctid >= '(70,1)' AND ctid < '(71,1)'; SELECT * FROM $odd WHERE ctid = '(70,1)'");
like($err, qr/HINT:  Call (omendb.repair_row_group\(.*?, 64\)), or/, 'a lost marker') or diag($err);
my ($call) = $err =~ /HINT:  Call (omendb.repair_row_group\(.*?, 64\)), or/;
my ($rc, $out) = $node->psql('postgres', "SELECT header, markers FROM $call");
is("$rc $out", '0 f|1', "what the hint says can be done: $call");
sql("SELECT omendb.repair_row_group('$odd', 64)");

# -- a page of another format
my $header = header_of($file, 64);
$node->stop;
my $good = read_block($file, $header);
my $old = $good;
substr($old, 24 + 4, 2) = pack('S', 2);
write_block($file, $header, $old);
$node->start;
like(sql_error("SELECT count(pad) FROM $odd"), qr/has format version 2.*This version of omendb reads version 3/s, 'another format is refused');
$node->stop;
write_block($file, $header, $good);
$node->start;
is(sql("SELECT count(pad) FROM $odd"), $rows, 'put back: all rows');

# -- an old header page is put back; a page was thawed and emptied since
$file = make('t');
$node->stop;
$header = header_of($file, 64);
$good = read_block($file, $header);
$node->start;
my $gone = sql(q{WITH d AS (DELETE FROM t WHERE ctid >= '(90,0)' AND ctid < '(91,0)' RETURNING 1) SELECT count(*) FROM d});
cmp_ok($gone, '>', 10, 'rows of a block are deleted');
sql('SET client_min_messages = error; VACUUM (INDEX_CLEANUP on) t');
sql("SELECT omendb.test_free_space('t', 90, 8000)");
my $landed = sql(qq{BEGIN; INSERT INTO t VALUES (-1, repeat('y', 200)) RETURNING ctid; ROLLBACK});
like($landed, qr/^\(90,/, 'a row that was rolled back is in it');
my $after = $rows - $gone;
is(sql('SELECT count(pad) FROM t'), $after, 'the others are there');
$node->stop;
my $newer = read_block($file, $header);
isnt($newer, $good, 'the header page has changed');
write_block($file, $header, $good);
$node->start;
like(sql_error("SELECT omendb.repair_row_group('t', 64)"), qr/cannot be repaired.*\n.*Block 90, which is cold according to the header page in block $header, was changed after/,
	'rows that were deleted are not brought back');
$node->stop;
write_block($file, $header, $newer);
$node->start;
is(($node->psql('postgres', 'SELECT count(pad) FROM t'))[1], $after, 'the right one put back: the rows are those');
($rc, $out) = $node->psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64)");
is("$rc $out", '0 f|0', 'nothing to be repaired');

# -- space that sealing has given back is taken before a cold page is written
SKIP:
{
	$file = make('holes');
	my $blocks = sub { return (stat $file)[12] };
	my $punched = $blocks->();
	skip 'no holes here', 2 if $punched > 0.75 * (-s $file) / 512;
	sql("CREATE EXTENSION pg_visibility; SELECT pg_truncate_visibility_map('holes'); SET client_min_messages = error; VACUUM holes");
	cmp_ok($blocks->() - $punched, '>=', 8 * 100, 'VACUUM that must touch markers takes space for them');
	$node->stop;
	skip 'no fallocate', 1 if system("fallocate --punch-hole --offset " . 70 * 8192 . " --length 8192 '$file'") != 0;
	my $before = $blocks->();
	$node->start;
	is(sql("SELECT header, markers FROM omendb.repair_row_group('holes', 64)"), 'f|1', 'a lost marker is rebuilt');
	cmp_ok($blocks->() - $before, '>=', 8, 'and has space before a checkpoint writes it');
}

$node->stop;
crash_free($node, 'at the end');
done_testing();
