# What many readers at once have open is bounded; chunks larger than the cache
# are decoded once for each reader; nobody asks for chunks that do not exist.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use OmenTest;

my $node = omen_node(
	'main',
	'omendb.row_group_blocks' => 256,
	'omendb.cache_size' => "'8MB'",
	'autovacuum' => 'off');

sub stat_of
{
	my ($what, $function) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM omendb.$function()");
}

# -- very many readers in one session
my $tables = 90;
my $columns = join ', ', map { "c$_ int" } 1 .. 12;
my $values = join ', ', map { "g * $_" } 1 .. 12;
$node->safe_psql(
	'postgres', qq{
DO \$\$ BEGIN
	FOR i IN 1..$tables LOOP
		EXECUTE format('CREATE TABLE part%s (id int, v text, $columns) USING omendb', i);
		EXECUTE format('INSERT INTO part%s SELECT g, repeat(md5(g::text), 3), $values FROM generate_series(1, 200) g', i);
		EXECUTE format('CREATE INDEX ON part%s (id)', i);
	END LOOP;
END \$\$;
});
$node->safe_psql('postgres', join("\n", map { "CALL seal_all('part$_');" } 1 .. $tables));

my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe("SET work_mem = '64kB'; SET enable_bitmapscan = off; SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off; BEGIN");
my $row = 'id, v, ' . join(' + ', map { "c$_" } 1 .. 12);
my $first = '';
for my $t (1 .. $tables)
{
	my $path = $t % 2 ? 'indexscan' : 'seqscan';
	$session->query_safe("SET enable_seqscan = off; SET enable_indexscan = off; SET enable_$path = on; "
		  . "DECLARE c$t CURSOR FOR SELECT $row FROM part$t WHERE id > 0");
	$first .= $session->query_safe("FETCH 10 FROM c$t") . "\n";
}
my $expected = $node->safe_psql('postgres',
	"SELECT g || '|' || repeat(md5(g::text), 3) || '|' || g * 78 FROM generate_series(1, 200) g");
my @lines = split /\n/, $expected;
is($first, (join("\n", @lines[ 0 .. 9 ]) . "\n") x $tables, "the first rows of $tables cursors");
is(stat_of('private_copies', 'cache_stats'), 0, 'the chunks that they read fit the pins of a process');
my $memory = $session->query_safe("SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'omendb segment'");
cmp_ok($memory, '<=', 2.5 * 1024 * 1024, 'the memory of their open segments is bounded');
my $rest = '';
my $wrong = 0;
for my $t (reverse 1 .. $tables)
{
	my $rows = $session->query_safe("FETCH ALL FROM c$t");
	$wrong++ if $rows ne join("\n", @lines[ 10 .. 199 ]);
}
is($wrong, 0, 'the rest of the rows, when their segments had been closed in between');
$session->query_safe('COMMIT');

# -- vectorized scans hold theirs, since batches point into them: forty of them, each
# in the loop of the one before it (cursors would be read row by row)
$session->query_safe('BEGIN; SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on; SET LOCAL omendb.enable_vectorized_scan = force');
$session->query_safe(qq{CREATE FUNCTION read_nested(t int) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE r record; n int := 0; wrong int := 0;
BEGIN
	FOR r IN EXECUTE format('SELECT $row AS sum FROM part%s WHERE id > 0', t) LOOP
		n := n + 1;
		wrong := wrong + (r IS DISTINCT FROM (n, repeat(md5(n::text), 3), n * 78))::int;
		CONTINUE WHEN n <> 5;
		IF t < 40 THEN
			wrong := wrong + read_nested(t + 1);
			CONTINUE;
		END IF;
		-- others take all there is
		PERFORM set_config('omendb.enable_vectorized_scan', 'off', true), set_config('omendb.enable_vectorized_agg', 'off', true);
		FOR i IN 41 .. $tables LOOP
			EXECUTE format('DECLARE c%s CURSOR FOR SELECT $row FROM part%s WHERE id > 0', i, i);
			EXECUTE format('MOVE 10 FROM c%s', i);
		END LOOP;
	END LOOP;
	RETURN wrong + abs(n - 200);
END \$\$});
my $scans = stat_of('vector_scans', 'scan_stats');
is($session->query_safe('SELECT read_nested(1)'), 0, 'the rest of the rows of vectorized scans');
is(stat_of('vector_scans', 'scan_stats') - $scans, 40, 'which they were');

# what an error takes away is forgotten
$session->query_safe('ROLLBACK');
my $ok = $session->query_safe(
	q{DO $$
DECLARE n int; failed int := 0;
BEGIN
	FOR i IN 1..90 LOOP
		BEGIN
			EXECUTE format('SELECT sum(1 / (150 - id)) FROM part%s', i) INTO n;
		EXCEPTION WHEN division_by_zero THEN failed := failed + 1;
		END;
		EXECUTE format('SELECT sum(length(v)) FROM part%s', i) INTO n;
		IF n <> 96 * 200 THEN RAISE EXCEPTION 'part% has %', i, n; END IF;
	END LOOP;
	PERFORM set_config('omen.failed', failed::text, false);
END $$; SELECT current_setting('omen.failed')});
is($ok, 90, 'readers that an error has ended');
$session->query_safe(join "\nUNION ALL\n", map { "SELECT count(*) FROM part$_" } 1 .. $tables);
is($session->query_safe("SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'omendb segment'"), 0, 'leave nothing');
$session->quit;

# -- two backends read chunks that are larger than the cache, in pieces
{
	my $size = 10_000_000;
	my @ids = map { (split /\n/, $node->safe_psql('postgres', "SELECT omendb.test_file_write(1, $size)"))[0] } 1 .. 2;
	my $before = stat_of('loads', 'store_stats');
	# the first one stops between two of its pieces, again and again
	my $slow = $node->background_psql('postgres', on_error_die => 1);
	$node->safe_psql('postgres', "SELECT omendb.stop_event_set('request-done', 'wait', 1)");
	$slow->query_until(qr/started/, "\\echo started\nSELECT omendb.test_file_read('$ids[0]', 1, $size);\n");
	$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('request-done') > 0") or die;
	# the event is disarmed for others only when the first one goes on
	my $fast = $node->background_psql('postgres', on_error_die => 1);
	$fast->query_until(qr/started/, "\\echo started\nSELECT omendb.test_file_read('$ids[1]', 1, $size);\n");
	$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('request-done') = 2") or die;
	$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('request-done')");
	$slow->query_safe('SELECT 1');
	$fast->query_safe('SELECT 1');
	# (the cache tries each once, and finds it too large)
	is(stat_of('loads', 'store_stats') - $before, 4, 'each of the chunks is decoded once for its reader');
	$_->quit for ($slow, $fast);
}

# -- chunks that do not exist are not asked for
$node->safe_psql(
	'postgres', q{
CREATE TABLE short (a int, b text) USING omendb;
INSERT INTO short SELECT g, md5(g::text) FROM generate_series(1, 3000) g;
-- several segments; the later ones have no value of b
CREATE TABLE sparse (a int, b int, c text) USING omendb;
INSERT INTO sparse SELECT g, nullif(g, greatest(g, 100)), repeat(md5(g::text), 30) FROM generate_series(1, 1500) g;
});
seal_all($node, $_) for ('short', 'sparse');
my $errors = stat_of('errors', 'store_stats');
for (1 .. 3)
{
	$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
	is($node->safe_psql('postgres', 'SELECT count(b), sum(a) FROM short'), '3000|4501500', 'a short row group');
	is($node->safe_psql('postgres', 'SELECT count(b), sum(a), count(c) FROM sparse'), '99|1125750|1500', 'columns without values');
	# reads by requests come after prefetches
	$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
}
is(stat_of('errors', 'store_stats'), $errors, 'no error is noted for what nobody has missed')
  or diag(stat_of('last_error', 'store_stats'));

$node->stop;
crash_free($node, 'at the end');
done_testing();
