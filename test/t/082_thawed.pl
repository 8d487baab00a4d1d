# Vectorised scans of thawed pages take values of rows that have not changed from
# their chunks, by the mark that the thaw leaves in their tuples: rows that only
# look like those (their line pointers reused, by tuples that are frozen again, with
# the same xid even; stored again as they were read), versions for old snapshots,
# locked rows, aborted changes, pages that were thawed while their row group was sealed
# anew, on a standby, after a crash, after promotion, after a repair, and where xids
# have come round.  Redo is compared with the primary's pages.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('thawed');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off', 'omendb.reclaim_space' => 'half',
	'max_parallel_workers_per_gather' => 0, 'wal_consistency_checking' => "'all'", 'omendb.stop_events' => 'on'));
$node->start;
$node->safe_psql('postgres', "CREATE EXTENSION $_") foreach qw(omendb omendb_test);
omen_helpers($node);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('thawed_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $force = 'SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = force;';
my $off = 'SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off;';
my @queries = (
	'SELECT count(*), sum(id), sum(v), sum(length(s)), count(n), sum(late), sum(f) FROM t',
	'SELECT v, count(*), sum(id), max(s) FROM t WHERE id % 3 = 0 GROUP BY v ORDER BY v',
	"SELECT id, v, s, n, late, f FROM t WHERE s LIKE '%9%' OR v < 0 ORDER BY id, v",
	'SELECT id, s, f FROM t ORDER BY v DESC, id LIMIT 7',
	# no vector of these has a winner but those with changed rows
	'SELECT id, v, s FROM t WHERE v > 1000 OR v < -1000 ORDER BY id',
	'SELECT s, count(*) FROM t WHERE n IS NULL GROUP BY s ORDER BY s');

# Is it the same both ways?  Returns the rows.
sub same
{
	my ($what, $on) = @_;
	$on //= $node;
	my @got = map { $on->safe_psql('postgres', "$force $_") } @queries;
	my @want = map { $on->safe_psql('postgres', "$off $_") } @queries;

	is(join("\n--\n", @got), join("\n--\n", @want), "$what: as row by row");
	return $got[0];
}

# Whether VACUUM seals what has been written just now
sub seal_delay
{
	my ($delay) = @_;

	sql("ALTER SYSTEM SET omendb.seal_delay = '$delay'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('omendb.seal_delay')::interval = '$delay'::interval")
	  or die 'the setting does not change';
	return;
}

# cold, thawed and hot rows of a scan
sub counted
{
	my ($on) = @_;
	my $plan = ($on // $node)->safe_psql('postgres',
		"$force EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT sum(v) FROM t");

	$plan =~ /Rows: cold=(\d+) thawed=(\d+) hot=(\d+)/ or die $plan;
	return ($1, $2, $3);
}

# what EXPLAIN says of the chunks of a column that nothing else reads
sub chunks
{
	sql("$force EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) SELECT sum(f) FROM t WHERE f > 0") =~ /(Chunks: .*)/
	  or die 'no chunks';
	return $1;
}

sql(q{
CREATE TABLE t (id int, v int, s text, n numeric, f float8) USING omendb;
INSERT INTO t SELECT g, g % 100, 'text ' || g % 37, CASE WHEN g % 7 <> 0 THEN g / 8.0 END, g / 16.0
FROM generate_series(1, 20000) g;
ALTER TABLE t ADD COLUMN late int DEFAULT 5;
});
seal_all($node, 't');
sql('ANALYZE t');
my ($cold, $thawed, $hot) = counted();
is("$thawed $hot", '0 0', 'all cold');
same('cold');
# what has no cold rows left is no longer sealed: some rows stay as they are
my $some = 'id % 5000 > 700';

# -- a row on every other page or so is changed
sql("UPDATE t SET v = 2000, s = 'changed ' || id WHERE id % 251 = 0");
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 5000, 'values of rows on thawed pages come from chunks');
cmp_ok($cold, '>', 1000, 'others are cold');
is($hot, int(20000 / 251), 'only changed rows are read from pages');
is($cold + $thawed + $hot, 20000, 'there are no other rows');
same('updated');

# -- old snapshots see the versions that were sealed
my $old = $node->background_psql('postgres', on_error_stop => 1);
$old->query_safe("$force BEGIN ISOLATION LEVEL REPEATABLE READ");
my $seen = $old->query_safe($queries[0]);
sql("UPDATE t SET v = v + 5, s = 'again ' || id WHERE id % 97 = 0 AND $some");
sql("DELETE FROM t WHERE id % 89 = 0 AND $some");
is($old->query_safe($queries[0]), $seen, 'an old snapshot sees what it saw');
same('updated and deleted');
$old->query_safe('COMMIT');
$old->quit;

# -- changes that were undone, locks, also by several transactions
sql("BEGIN; UPDATE t SET v = -5000, s = 'aborted' WHERE id % 101 = 0 AND $some; DELETE FROM t WHERE id % 103 = 0 AND $some; ROLLBACK");
sql("BEGIN; SAVEPOINT a; UPDATE t SET v = -5001 WHERE id % 107 = 0 AND $some; ROLLBACK TO a; UPDATE t SET f = -1 WHERE id % 107 = 0 AND $some; COMMIT");
my $locker = $node->background_psql('postgres', on_error_stop => 1);
$locker->query_safe("BEGIN; SELECT count(*) FROM (SELECT 1 FROM t WHERE id % 109 = 0 AND $some FOR KEY SHARE) q");
sql("BEGIN; SELECT count(*) FROM (SELECT 1 FROM t WHERE id % 109 = 0 AND $some FOR SHARE) q; UPDATE t SET f = -2 WHERE id % 218 = 0 AND $some; COMMIT");
same('aborted and locked');
$locker->query_safe('COMMIT');
$locker->quit;
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 3000, 'most rows have not changed');

# -- chains of versions are followed as ever: rows wait for each other, and see what came last
my ($first, $second) = map { $node->background_psql('postgres', on_error_stop => 1) } 1 .. 2;
$first->query_safe('BEGIN; UPDATE t SET v = 3000 WHERE id BETWEEN 5000 AND 5003');
$second->query_until(qr/started/, "\\echo started\nUPDATE t SET v = v + 1 WHERE id BETWEEN 5000 AND 5003;\n");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted") or die 'nobody waits';
$first->query_safe('UPDATE t SET v = 3001 WHERE id = 5003; COMMIT');
$second->quit;
$first->quit;
is(sql('SELECT string_agg(v::text, \' \' ORDER BY id) FROM t WHERE id BETWEEN 5000 AND 5003'), '3001 3001 3001 3002',
	'whoever waited has changed what came last');
same('updated by two');

# -- line pointers are given to other rows, which get frozen where they are
sql(qq{CREATE TABLE was AS SELECT ctid AS tid, id FROM t WHERE id % 83 = 0 AND $some;
DELETE FROM t WHERE id % 83 = 0 AND $some});
seal_delay('1d');
sql('VACUUM t');
# some of them as they were read from thawed pages
sql(qq{INSERT INTO t SELECT id, -3000 - id, 'new', NULL, NULL, 6 FROM was WHERE id % 2 = 0;
CREATE FUNCTION as_it_was() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
INSERT INTO t SELECT * FROM t WHERE id % 211 = 0 AND $some});
sql('VACUUM (FREEZE) t');
seal_delay('0');
cmp_ok(sql('SELECT count(*) FROM t JOIN was ON t.ctid = was.tid AND t.id <> was.id OR t.ctid = was.tid AND t.v < -3000'), '>', 20,
	'rows have the places of others');
cmp_ok(sql("SELECT sum(thawed_pages) FROM omendb.row_groups('t')"), '>', 20, 'their pages have not been sealed again');
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 3000, 'values still come from chunks');
same('line pointers reused');
sql(qq{CREATE TRIGGER as_it_was BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION as_it_was();
UPDATE t SET v = 1 WHERE id % 131 = 0 AND $some; DROP TRIGGER as_it_was ON t});
my $now = same('versions stored as they were read');

# -- on a standby, and after a crash
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(same('on a standby', $standby), $now, 'the standby has the same rows');
($cold, $thawed, $hot) = counted($standby);
cmp_ok($thawed, '>', 3000, 'there they come from chunks, too');
sql("BEGIN; UPDATE t SET v = 4000 WHERE id % 211 = 0 AND $some; COMMIT; CHECKPOINT; UPDATE t SET v = 4001 WHERE id % 199 = 0 AND $some");
$now = same('before the crash');
$node->stop('immediate');
$node->start;
my @chunks = map { chunks() } 1 .. 2;
like($chunks[0], qr/^Chunks: hit=0 loaded=[1-9]\d* \([1-9]\d*kB\)$/, 'EXPLAIN shows that chunks were loaded');
like($chunks[1], qr/^Chunks: hit=[1-9]\d* loaded=0 \(0kB\)$/, 'and then found in the cache');
is(same('after the crash'), $now, 'the same rows after a crash');
($cold, $thawed, $hot) = counted();
my $json = sql("$force EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT sum(v) FROM t");
like($json, qr/"Cold Rows": $cold,\s+"Thawed Rows": $thawed,\s+"Hot Rows": $hot,\s+"Chunk Hits": [1-9]\d*,\s+"Chunk Loads": 0,\s+"Chunk Bytes Loaded": 0/,
	'and so in other formats');

# -- columns come and go
sql("ALTER TABLE t DROP COLUMN n; ALTER TABLE t ADD COLUMN n int DEFAULT 11; UPDATE t SET n = 12 WHERE id % 223 = 0 AND $some");
same('columns dropped and added');

# -- sealed anew: what was marked must come out as it was
seal_all($node, 't');
($cold, $thawed, $hot) = counted();
is("$thawed $hot", '0 0', 'all cold again');
$now = same('sealed again');
sql("UPDATE t SET v = 5000 WHERE id % 173 = 0 AND $some");
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 3000, 'thawed from a new version');
same('thawed from a new version');
sql("UPDATE t SET v = 5001 WHERE id > 15000 AND id % 59 = 0 AND $some");
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 4500, 'also where no page is cold');
same('all of them');

# -- pages that are thawed while their row group is sealed anew
sql("SELECT omendb.stop_event_set('seal-before-file', 'wait')");
my $sealer = $node->background_psql('postgres');
$sealer->query_until(qr/started/, "\\echo started\nSELECT omendb.seal('t', true);\n");
$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('seal-before-file') = 1") or die 'no sealer';
sql("UPDATE t SET v = 6000 WHERE id % 13 = 0 AND $some");
sql("SELECT omendb.stop_event_clear('seal-before-file')");
$sealer->quit;
same('thawed beside a sealer');
sql("UPDATE t SET v = 6001 WHERE id % 17 = 0 AND $some");
same('and later');

# -- a table without keys, whose rows are locked by those of another
sql(q{CREATE TABLE parent (id int PRIMARY KEY, pad text) USING omendb;
INSERT INTO parent SELECT g, repeat('p', 50) FROM generate_series(1, 3000) g});
seal_all($node, 'parent');
sql(q{CREATE TABLE child (id int REFERENCES parent); INSERT INTO child SELECT g FROM generate_series(1, 3000, 7) g;
UPDATE parent SET pad = 'other' WHERE id % 14 = 1});
is(sql("$force SELECT count(*), sum(id), count(*) FILTER (WHERE pad = 'other') FROM parent"),
	sql("$off SELECT count(*), sum(id), count(*) FILTER (WHERE pad = 'other') FROM parent"), 'rows locked by foreign keys');

# -- an xid comes again, as after the end of WAL was lost, for other rows in the same places
sql('CREATE TABLE u (id int, v int) USING omendb');
my $xid = sql('BEGIN; INSERT INTO u SELECT g, g FROM generate_series(1, 5000) g; SELECT txid_current(); COMMIT');
sql("SELECT omendb.seal('u', true)");
cmp_ok(sql("SELECT sum(cold_pages) FROM omendb.row_groups('u')"), '>', 10, 'sealed');
my $tids = sql("SELECT string_agg(quote_literal(ctid) || '::tid', ', ') FROM u WHERE id > 1000 AND id % 100 = 1");
sql('DELETE FROM u WHERE id > 1000 AND id % 100 = 1');
seal_delay('1d');
sql('VACUUM u');
$node->stop;
$node->command_ok([ 'pg_resetwal', '-x', $xid, $node->data_dir ], 'the xid comes again');
$node->start;
is(sql('BEGIN; INSERT INTO u SELECT g, -g FROM generate_series(1, 3000, 100) g; SELECT txid_current(); COMMIT'), $xid,
	'other rows have it');
cmp_ok(sql("SELECT count(*) FROM u WHERE ctid IN ($tids)"), '>', 10, 'in places of rows of the same xid');
sql("UPDATE pg_class SET relfrozenxid = '3' WHERE relname = 'u'");
# (freezes, and goes no further)
sql("SELECT omendb.stop_event_set('seal-before-file', 'error')");
$node->psql('postgres', "SELECT omendb.seal('u', true)");
my $sum = 'SELECT count(*), sum(v), sum(id), count(*) FILTER (WHERE v < 0) FROM u';
is(sql("$force $sum"), sql("$off $sum"), 'they have their own values');
like(sql("$force EXPLAIN (ANALYZE) $sum"), qr/Rows: cold=\d+ thawed=[1-9]\d{3}/, 'others are read from chunks');

# -- a cluster whose xids have come round
$now = same('before');
$node->stop;
$node->command_ok([ 'pg_resetwal', '-e', '1', $node->data_dir ], 'xids come round');
$node->start;
is(same('second epoch'), $now, 'the same rows in the second epoch');
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 3000, 'values still come from chunks');

# -- a header page that was lost, with thawed pages in its row group
my $file = relation_file($node, 't');
$node->stop;
my ($header) = grep { substr(read_block($file, $_), 24, 4) eq pack('L', 0x4F4D454E) &&
	  ord(substr(read_block($file, $_), 30, 1)) == 2 } (0, 16);
write_block($file, $header, "\0" x 8192);
$node->start;
sql("SELECT omendb.repair_row_group('t', 0)");
is(same('repaired'), $now, 'the same rows after a repair');
($cold, $thawed, $hot) = counted();
cmp_ok($thawed, '>', 1000, 'values come from chunks after it');

# -- the standby is promoted (it was left behind before xids were put back)
$standby->promote;
sub on_standby { return $standby->safe_psql('postgres', $_[0]); }
on_standby("UPDATE t SET v = 7000 WHERE id % 157 = 0 AND $some");
same('promoted', $standby);
($cold, $thawed, $hot) = counted($standby);
cmp_ok($thawed, '>', 3000, 'values come from chunks on a new primary');

done_testing();
