# What a DBA sees of loads from the store: blocks read and hit in EXPLAIN
# (BUFFERS), pg_stat_statements and the statistics of tables; wait events.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node(
	'counters',
	'shared_preload_libraries' => "'omendb,pg_stat_statements'",
	'omendb.row_group_blocks' => 256,
	'omendb.cache_size' => "'32MB'",
	'shared_buffers' => "'64MB'",
	'pg_stat_statements.track_planning' => 'off',
	'track_io_timing' => 'on',
	'autovacuum' => 'off');
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION pg_stat_statements;
CREATE TABLE t (a int, b float8, c text) USING omendb;
INSERT INTO t SELECT g, sin(g), md5(g::text) FROM generate_series(1, 20000) g;
CREATE INDEX t_a ON t (a);
});
seal_all($node, 't');
my @files = glob($node->data_dir . '/omendb/sst/*.sst');
my $size = 0;
$size += -s $_ for @files;
my $blocks = $size / 8192;

my $plain = 'SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off; SET max_parallel_workers_per_gather = 0; SET enable_bitmapscan = off;';
my %scan = (
	seq => "$plain SET enable_indexscan = off;",
	index => "$plain SET enable_seqscan = off;");

# Blocks hit and read of the whole plan, and the plan
sub explain
{
	my ($path, $query) = @_;
	my $out = $node->safe_psql('postgres',
		"$scan{$path} EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) $query");
	my ($hit) = $out =~ /Buffers: shared hit=(\d+)/;
	my ($read) = $out =~ /Buffers: shared (?:hit=\d+ )?read=(\d+)/;
	note($out);
	return ($hit // 0, $read // 0, $out);
}

sub reset_cache
{
	$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
	return;
}

# Pages are in shared buffers from the first scan on
my $all = 'SELECT count(b), count(c) FROM t WHERE a > 0';
my $one = 'SELECT b, c FROM t WHERE a = 777';
$node->safe_psql('postgres', "$scan{seq} $all; $scan{index} $one");

reset_cache();
my ($hit, $read, $out) = explain('seq', $all);
like($out, qr/Seq Scan on t/, 'a sequential scan');
cmp_ok($read, '>', $blocks * 0.5, 'what it loads shows as blocks read');
cmp_ok($read, '<', $blocks * 1.5, 'about as many as the files have');
my $first = $hit;
($hit, $read, $out) = explain('seq', $all);
is($read, 0, 'none when all is in the cache');
cmp_ok($hit, '>', $first, 'but as blocks hit');

reset_cache();
($hit, $read, $out) = explain('index', $one);
like($out, qr/Index Scan using t_a/, 'an index scan');
cmp_ok($read, '>=', 2, 'its loads are shown, too');
($hit, $read, $out) = explain('index', $one);
is($read, 0, 'once');
cmp_ok($hit, '<', 30, 'a chunk that is there is one hit');

# -- a chunk that the cache cannot take
my $large = 40_000_000;
my ($id) = split /\n/, $node->safe_psql('postgres', "SELECT omendb.test_file_write(1, $large)");
my ($file) = glob($node->data_dir . "/omendb/sst/$id-*.sst");
($hit, $read, $out) = explain('seq', "SELECT omendb.test_file_read('$id', 1, $large)");
cmp_ok(abs($read - (-s $file) / 8192), '<', 20, 'a private copy is read');
is($node->safe_psql('postgres', 'SELECT private_copies FROM omendb.cache_stats()'), 1, 'it was one');

# -- statistics
reset_cache();
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe("$scan{seq} SELECT pg_stat_statements_reset()");
my $before = $node->safe_psql('postgres', q{SELECT heap_blks_read FROM pg_statio_user_tables WHERE relname = 't'});
$session->query_safe($all);
is( $session->query_safe(
		qq{SELECT shared_blks_read BETWEEN $blocks * 0.5 AND $blocks * 1.5 FROM pg_stat_statements WHERE query ~ '^SELECT count.b., count.c.'}),
	't', 'pg_stat_statements shows the reads');
$session->quit;
ok( $node->poll_query_until('postgres',
		qq{SELECT heap_blks_read - $before BETWEEN $blocks * 0.5 AND $blocks * 1.5 FROM pg_statio_user_tables WHERE relname = 't'}),
	'so do the statistics of the table');

# -- wait events
my $named = $node->safe_psql('postgres', "SELECT current_setting('server_version_num')::int >= 170000") eq 't';

sub waits
{
	my ($what, $where, $new, $old) = @_;
	my $expected = $named ? "Extension|$new" : $old;
	my $query = "SELECT wait_event_type || '|' || wait_event FROM pg_stat_activity WHERE $where LIMIT 1";
	ok($node->poll_query_until('postgres', $query, $expected), "$what: $expected")
	  or diag($node->safe_psql('postgres', 'SELECT backend_type, wait_event_type, wait_event, query FROM pg_stat_activity'));
	return;
}

waits('the launcher with nothing to do', "backend_type = 'omendb sealing launcher'", 'OmendbLauncherMain', 'Extension|Extension');
reset_cache();
$node->safe_psql('postgres', 'SELECT pg_stat_statements_reset()');
$node->safe_psql('postgres', "SELECT omendb.stop_event_set('cache-before-load', 'wait')");
my $reader = $node->background_psql('postgres', on_error_die => 1);
$reader->query_until(qr/started/, "$scan{seq}\n\\echo started\n$all;\n");
waits('a reader', "query ~ '^SELECT count.b., count.c.' AND state = 'active'", 'OmendbChunkLoad', 'IO|DataFileRead');
my $asker = $node->background_psql('postgres', on_error_die => 1);
$asker->query_until(qr/started/, "\\echo started\nSELECT omendb.cache_reset() IS NULL AS asked;\n");
waits('who has asked the store', "query ~ 'AS asked' AND state = 'active' AND pid <> pg_backend_pid()", 'OmendbRequest', 'IPC|MessageQueueReceive');
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('cache-before-load')");
$reader->quit;
$asker->quit;
my $time = $node->safe_psql('postgres', q{SELECT coalesce(to_jsonb(s)->'shared_blk_read_time', to_jsonb(s)->'blk_read_time') FROM pg_stat_statements s WHERE query ~ '^SELECT count.b., count.c.'});
cmp_ok($time, '>', 10, 'the time of waiting is time of reading');

# Whose chunks these are
$node->safe_psql('postgres', 'CREATE TABLE u USING omendb AS SELECT g AS k, g AS l FROM generate_series(1, 20000) g');
seal_all($node, 'u');
my $held = q{SELECT relation, coalesce(column_name, '-'), chunks > 0 AND bytes >= chunks AND stored_bytes > 0
FROM omendb.cached_columns ORDER BY relation::text, 2};
my $vectors = 'SET omendb.enable_vectorized_agg = force; SET max_parallel_workers_per_gather = 0;';
reset_cache();
is($node->safe_psql('postgres', $held), '', 'an empty cache');
$node->safe_psql('postgres', "$vectors SELECT sum(b) FROM t WHERE a > 100");
my @columns = split /\n/, $node->safe_psql('postgres', $held);
is(join(' ', grep { !/\|-\|/ } @columns), 't|a|t t|b|t', 'the columns that one query read');
$node->safe_psql('postgres', "$vectors SELECT sum(l) FROM u WHERE k > 100");
@columns = split /\n/, $node->safe_psql('postgres', $held);
is(join(' ', grep { !/\|-\|/ } @columns), 't|a|t t|b|t u|k|t u|l|t', 'and another one, of another table');
is($node->safe_psql('postgres', 'SELECT sum(c.chunks) = max(s.chunks) FROM omendb.cache_contents() c, omendb.cache_stats() s'),
	't', 'together they are all that is in the cache');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION omendb');
is($node->safe_psql('other', 'SELECT count(DISTINCT filenode) FROM omendb.cache_contents()'), '2', 'another database sees filenodes');
is($node->safe_psql('other', 'SELECT count(*) FROM omendb.cached_columns'), '0', 'and none of its own tables');

# -- COPY keeps to its ring of shared buffers, as it does on heap
my $rows = $node->basedir . '/rows';
$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pg_buffercache;
COPY (SELECT g, g % 1000, repeat('x', 60) FROM generate_series(1, 250000) g) TO '$rows';
CREATE TABLE ring_heap (a int, b int, c text) USING heap;
CREATE TABLE ring_omendb (a int, b int, c text) USING omendb});
my %buffers;
foreach my $am (qw(heap omendb))
{
	$node->safe_psql('postgres', "COPY ring_$am FROM '$rows'");
	$buffers{$am} = $node->safe_psql('postgres', "SELECT count(*) FROM pg_buffercache WHERE relforknumber = 0 AND relfilenode = pg_relation_filenode('ring_$am')");
}
note "buffers: heap $buffers{heap}, omendb $buffers{omendb}";
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('ring_omendb') / 8192}), '>', 2 * $buffers{heap}, 'a table larger than the ring');
cmp_ok($buffers{omendb}, '<=', 1.1 * $buffers{heap}, 'COPY takes no more shared buffers than on heap');

# -- so does sealing, which reads what COPY has driven out
my $sealed = $node->safe_psql('postgres', q{SELECT pages FROM omendb.seal('ring_omendb')});
my $ring = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_buffercache WHERE relforknumber = 0 AND relfilenode = pg_relation_filenode('ring_omendb')});
note "buffers after sealing: $ring, $sealed pages sealed";
cmp_ok($sealed, '>', 2 * $buffers{heap}, 'more was sealed than a ring holds');
cmp_ok($ring, '<=', 2.5 * $buffers{heap}, 'sealing takes no more shared buffers than a ring');

# -- ANALYZE does not read pages of cold blocks whose row group it has looked at; from 17 on
# PostgreSQL has read them before it asks
my $looked = q{SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables WHERE relname = 'ring_omendb'};
$node->safe_psql('postgres', 'ANALYZE ring_omendb');
my $looks = -$node->safe_psql('postgres', $looked);
$node->safe_psql('postgres', 'ANALYZE ring_omendb');
$looks += $node->safe_psql('postgres', $looked);
note "blocks that ANALYZE has looked at: $looks";
SKIP:
{
	skip 'reads pages ahead', 1 if $named;
	cmp_ok($looks, '<', $sealed / 2, 'ANALYZE leaves the pages of cold blocks alone');
}
is($node->safe_psql('postgres', q{SELECT reltuples FROM pg_class WHERE relname = 'ring_omendb'}), '250000', 'and counts their rows');

done_testing();
