# Rows of a sealed table that are locked by foreign keys: each page with such a row
# is thawed once, with one image of it in WAL, and nothing else is.  Heap writes the
# same image when it first changes a page after a checkpoint.  Sealing again takes
# back all of it, and is not done more often than the policy says, however often
# rows are locked.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'wal_compression' => 'off',
	'omendb.row_group_blocks' => 64,
	'shared_buffers' => "'64MB'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# twins: parents in omendb and heap tables, children on heap
my $rows = 30000;
foreach my $am (qw(omendb heap))
{
	sql(qq{
CREATE TABLE parent_$am (id int PRIMARY KEY, v int, pad text) USING $am;
INSERT INTO parent_$am SELECT g, 0, repeat('p', 100) FROM generate_series(1, $rows) g;
CREATE TABLE child_$am (parent int REFERENCES parent_$am) USING heap});
}
sql('CREATE TABLE keys (k int) USING heap; INSERT INTO keys SELECT DISTINCT k FROM generate_series(1, 200) g, '
	  . "LATERAL (SELECT g * 7919 % $rows + 1 AS k) x");
sql('VACUUM (FREEZE, ANALYZE) parent_heap');
seal_all($node, 'parent_omendb');
sql('CHECKPOINT');
sql('VACUUM parent_omendb');

sub cold_pages { return sql("SELECT sum(cold_pages) FROM omendb.row_groups('parent_omendb')"); }
sub groups { return sql("SELECT count(*) FROM omendb.row_groups('parent_omendb') WHERE state = 'sealed'"); }
sub size { return sql("SELECT total_bytes - index_bytes FROM omendb.table_size('parent_omendb')"); }

# Children of these parents: bytes of WAL
sub children
{
	my ($am, $keys) = @_;

	my $from = sql('SELECT pg_current_wal_insert_lsn()');
	sql("INSERT INTO child_$am $keys");
	return sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$from')");
}

my $all_cold = cold_pages();
my $all_groups = groups();
my $all_size = size();
cmp_ok($all_groups, '>=', 8, 'some row groups are sealed');
is(sql("SELECT cold_rows('parent_omendb')"), $rows, 'with all rows');

# -- each page is thawed, and logged, once
my $pages = sql("SELECT count(DISTINCT (ctid::text::point)[0]) FROM parent_omendb WHERE id IN (SELECT k FROM keys)");
cmp_ok($pages, '>', 100, 'parents on many pages');
sql('CHECKPOINT');
my $heap = children('heap', 'SELECT k FROM keys');
my $omen = children('omendb', 'SELECT k FROM keys');
is($all_cold - cold_pages(), $pages, 'as many pages are thawed as have locked rows');
# header pages, too, have an image each
cmp_ok($omen, '<=', $heap + $pages * 300 + $all_groups * 8192, 'after a checkpoint: as much WAL as heap');
note "WAL: heap $heap, omendb $omen, $pages pages";

my $again = children('omendb', 'SELECT k FROM keys');
my $heap_again = children('heap', 'SELECT k FROM keys');
is($all_cold - cold_pages(), $pages, 'the same parents again: nothing else is thawed');
cmp_ok($again, '<=', $heap_again * 1.2 + 4096, 'and no more WAL is written than by heap');
note "WAL the second time: heap $heap_again, omendb $again";

# -- sealed again, it takes what it took
seal_all($node, 'parent_omendb');
sql('CHECKPOINT');
sql('VACUUM parent_omendb');
is(cold_pages(), $all_cold, 'all is sealed again');
cmp_ok(size(), '<=', $all_size * 1.05 + 65536, 'and takes no more room than before');

# -- where heap need not log an image of the page, there is still one for each page and no more
$heap = children('heap', 'SELECT k FROM keys');
$omen = children('omendb', 'SELECT k FROM keys');
cmp_ok($omen, '<=', $heap + $pages * (8192 + 300) + $all_groups * 8192, 'an image of each page at most');
note "WAL without images: heap $heap, omendb $omen";

# -- the worst: all parents; there is no end to that but the table's own size
$omen = children('omendb', 'SELECT id FROM parent_omendb');
$pages = sql("SELECT pg_relation_size('parent_omendb') / 8192");
cmp_ok(size(), '<=', $pages * 8192 + $all_size + 65536, 'no more room than heap and chunks');
is(sql('SELECT count(*), sum(id) FROM parent_omendb'), sql('SELECT count(*), sum(id) FROM parent_heap'), 'all rows are there');
seal_all($node, 'parent_omendb');
sql('CHECKPOINT');
sql('VACUUM parent_omendb');
is(cold_pages(), $all_cold, 'all is sealed again after that');
cmp_ok(size(), '<=', $all_size * 1.05 + 65536, 'and takes no more room than at first');

# -- rows that are locked again and again: sealed anew at most every five times omendb.seal_delay
sql("ALTER SYSTEM SET omendb.$_") foreach ("seal_delay = '1s'", "seal_naptime = 1", 'seal = on');
$node->restart;
my $state = "SELECT string_agg(id::text, ' ') FROM (SELECT id FROM omendb.row_groups('parent_omendb') ORDER BY first_block LIMIT 1) g";
my $first = sql("SELECT string_agg(id::text, ', ') FROM (SELECT id FROM parent_omendb ORDER BY id LIMIT 3500) p WHERE id % 300 = 1");
my $start = time;
my %versions = (sql($state) => 1);
my $thawed = 0;
while (time < $start + 16)
{
	my $before = cold_pages();

	sql("INSERT INTO child_omendb SELECT unnest(ARRAY[$first])");
	$thawed++ if cold_pages() < $before;
	sleep 1.5;
	$versions{ sql($state) } = 1;
}
my $passed = time - $start;
cmp_ok(scalar(keys %versions), '<=', $passed / 5 + 2, 'sealed anew no more often than that');
cmp_ok($thawed, '<=', $passed / 5 + 2, 'nor thawed');
note scalar(keys %versions) . " versions, $thawed thaws in $passed s";
$node->poll_query_until('postgres', "SELECT sum(cold_pages) = $all_cold FROM omendb.row_groups('parent_omendb')")
  or die 'not sealed again';
pass('when it is left alone, it is sealed');

# -- and it is a lock all the same
my $locker = $node->background_psql('postgres', on_error_stop => 1);
$locker->query_safe('BEGIN; INSERT INTO child_omendb VALUES (17)');
my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '100ms'; DELETE FROM parent_omendb WHERE id = 17");
like($err, qr/lock timeout/, 'a parent whose child is not committed cannot be deleted');
sql("SET lock_timeout = '5s'; UPDATE parent_omendb SET v = 1 WHERE id = 17");
pass('other columns of it can be changed');
$locker->query_safe('COMMIT');
$locker->quit;

$node->stop;
done_testing();
