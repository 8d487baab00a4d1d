# Single rows of sealed tables: what is looked up and loaded for them, and that a
# row whose values are taken from the chunks one by one is the row it was.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OmenTest;

my $node = omen_node(
	'main',
	'omendb.row_group_blocks' => 256,
	'omendb.cache_size' => "'64MB'",
	'autovacuum' => 'off');

sub stat_of
{
	my ($what) = @_;
	return $node->safe_psql('postgres', "SELECT $what FROM omendb.cache_stats()");
}

my $probing = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; '
  . 'SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off; ';

# -- how much is looked up
my @texts = map { "c$_" } 1 .. 20;
$node->safe_psql(
	'postgres', "CREATE TABLE wide (id int PRIMARY KEY, " . join(', ', map { "$_ text" } @texts) . ") USING omendb;
	INSERT INTO wide SELECT g, " . join(', ', map { "md5((g + $_)::text)" } 1 .. 20) . " FROM generate_series(1, 7000) g;
	-- in no order that segments have
	CREATE TABLE keys AS SELECT 1 + (g * 4099 % 7000) AS k FROM generate_series(1, 7000) g;
	VACUUM (ANALYZE) keys; VACUUM (FREEZE, ANALYZE) wide");
seal_all($node, 'wide');
my $segments = $node->safe_psql('postgres',
	"SELECT ceil(pg_relation_size('wide') / 8192 / 64.0) FROM omendb.row_groups('wide') LIMIT 1");
cmp_ok($segments, '>=', 10, 'segments');

for my $attribute (2, 21)
{
	my $column = 'c' . ($attribute - 1);
	$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
	my ($loads, $gets) = split /\|/, stat_of('loads, hits + misses');
	is($node->safe_psql('postgres', $probing . "SELECT count(*), count(DISTINCT $column) FROM keys JOIN wide ON id = k"),
		'7000|7000', "random probes of $column");
	my ($loads2, $gets2) = split /\|/, stat_of('loads, hits + misses');
	# the system chunk, and those of the columns up to this one
	cmp_ok($gets2 - $gets, '<=', ($attribute + 1) * $segments, 'each chunk is looked up once');
	cmp_ok($loads2 - $loads, '<=', ($attribute + 1) * $segments, 'no chunks of later columns are loaded');
}
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
my $loads = stat_of('loads');
$node->safe_psql('postgres', 'ANALYZE keys');
is($node->safe_psql('postgres', $probing . 'SELECT count(*) FROM keys JOIN wide ON id = k WHERE k < 50'),
	49, 'probes of no column');
cmp_ok(stat_of('loads') - $loads, '<=', $segments, 'load no column');

# -- the same rows as on heap, whatever is asked for
my $kinds = q{
	id int, b bool, c "char", i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, d date, ts timestamptz,
	n numeric, t text, v varchar(20), bp char(7), u uuid, nm name, iv interval, m macaddr, m8 macaddr8,
	p point, bx box, tid tid, by bytea, a4 int[], a8 float8[], j jsonb, r int4range, gone text, big text, addr inet};
my $values = q{
	g, g % 3 = 0, (g % 64 + 33)::"char", g::int2, -g, g * 1000000007::bigint, g / 7.0::float4, -g / 3.0::float8,
	date '2020-01-01' + g, timestamptz '2020-01-01' + g * interval '1 min', CASE WHEN g % 5 = 0 THEN NULL ELSE g / 8.0 END,
	repeat('x', g % 300), 'v' || g, g, md5(g::text)::uuid, 'n' || g, g * interval '1 day 1 sec',
	('08:00:2b:01:02:' || lpad(to_hex(g % 256), 2, '0'))::macaddr, ('08:00:2b:01:02:03:04:' || lpad(to_hex(g % 256), 2, '0'))::macaddr8,
	point(g, -g), box(point(g, g), point(0, 0)), ('(' || g || ',1)')::tid, decode(md5(g::text), 'hex'),
	ARRAY[g, NULL, -g], ARRAY[g, 0.5], jsonb_build_object('g', g), int4range(g, g + 10), 'gone',
	CASE WHEN g % 100 = 0 THEN (SELECT string_agg(md5((g + x)::text), '') FROM generate_series(1, 300) x) END,
	'10.0.0.1'::inet + g};
$node->safe_psql('postgres', "
CREATE TABLE kinds_omendb ($kinds) USING omendb;
CREATE TABLE kinds_heap ($kinds) USING heap;");
for my $am ('heap', 'omendb')
{
	$node->safe_psql('postgres', "
	INSERT INTO kinds_$am SELECT $values FROM generate_series(1, 3000) g;
	ALTER TABLE kinds_$am DROP COLUMN gone;
	INSERT INTO kinds_$am (id) SELECT g FROM generate_series(3001, 3050) g;
	ALTER TABLE kinds_$am ADD late int DEFAULT 42, ADD later text DEFAULT 'none yet';
	INSERT INTO kinds_$am (id, later) SELECT g, g FROM generate_series(3051, 3100) g;
	CREATE INDEX ON kinds_$am (id)");
}
seal_all($node, 'kinds_omendb');
is($node->safe_psql('postgres', "SELECT sum(cold_rows) FROM omendb.row_groups('kinds_omendb')"), 3100, 'all rows are cold');
my @columns = split /\n/, $node->safe_psql('postgres',
	"SELECT attname FROM pg_attribute WHERE attrelid = 'kinds_heap'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum");
cmp_ok(scalar @columns, '==', 31, 'columns');

# few rows of each block, and most of them
my $bitmap = "$probing SET enable_bitmapscan = on; SET enable_indexscan = off;";
my ($few, $most) = map { "id = ANY (ARRAY(SELECT g * $_ FROM generate_series(1, 3100 / $_) g))" } 37, 1;
like($node->safe_psql('postgres', "$bitmap EXPLAIN SELECT * FROM kinds_omendb WHERE $few"), qr/Bitmap Heap Scan/, 'bitmap scans');

my ($wrong, $wrong_bitmap) = ('', '');
for my $list (@columns, join(', ', @columns), join(', ', reverse @columns), 't.*::text', 't.ctid IS NULL, big, n', 't', 'xmin = 2, a8, n',
	'to_jsonb(t)')
{
	my $query = "SELECT g, (SELECT ROW($list)::text FROM kinds_AM t WHERE t.id = g OFFSET 0) FROM generate_series(1, 3101) g";
	my ($heap, $omendb) = map { (my $q = $query) =~ s/kinds_AM/kinds_$_/; $node->safe_psql('postgres', "$probing$q") } ('heap', 'omendb');
	if ($list =~ /xmin/)
	{
		# frozen by sealing: only the rest compares
		s/\((t|f),/(/g for ($heap, $omendb);
	}
	$wrong .= " $list" if $heap ne $omendb;

	# all of it twice: once in one scan, once in one for each row
	$query = "SELECT id, ROW($list)::text FROM kinds_AM t WHERE $few;
		SELECT id, ROW($list)::text FROM kinds_AM t WHERE $most;
		SELECT g, (SELECT ROW($list)::text FROM kinds_AM t WHERE t.id = g OFFSET 0) FROM generate_series(1, 3101, 31) g";
	($heap, $omendb) = map { (my $q = $query) =~ s/kinds_AM/kinds_$_/g; $node->safe_psql('postgres', "$bitmap$q") } ('heap', 'omendb');
	if ($list =~ /xmin/)
	{
		s/\((t|f),/(/g for ($heap, $omendb);
	}
	$wrong_bitmap .= " $list" if $heap ne $omendb;
}
is($wrong, '', 'rows found through an index have the same values, column by column and as a whole');
is($wrong_bitmap, '', 'and those of bitmap scans');
is($node->safe_psql('postgres', "SELECT sum(cold_rows) FROM omendb.row_groups('kinds_omendb')"), 3100, 'and are still cold');

# the same row in sorts, hashes, tuplestores and cursors, where slots are copied
for my $query (
	'SELECT md5(string_agg(x::text, chr(10) ORDER BY x::text)) FROM (SELECT * FROM kinds_AM WHERE id > 0 ORDER BY id LIMIT 3000) x',
	'SELECT md5(string_agg(x::text, chr(10) ORDER BY x.id)) FROM (SELECT t.* FROM kinds_AM t WHERE id > 0 ORDER BY t.n NULLS FIRST, t.t, t.id) x',
	'SELECT md5(string_agg(x::text, chr(10))) FROM (SELECT a, b.n, b.a8, lag(b.t) OVER (ORDER BY b.id) FROM kinds_AM a JOIN kinds_AM b ON a.id = b.id - 1 WHERE a.id < 500 AND b.id > 3 ORDER BY a.id) x',
	'SELECT md5(string_agg(x::text, chr(10))) FROM (SELECT DISTINCT ON (i2) u, n, big, late FROM kinds_AM WHERE id BETWEEN 50 AND 900 ORDER BY i2, id) x')
{
	my ($heap, $omendb) = map {
		(my $q = $query) =~ s/kinds_AM/kinds_$_/g;
		$node->safe_psql('postgres', "$probing SET enable_nestloop = off; SET enable_mergejoin = on; $q") } ('heap', 'omendb');
	is($omendb, $heap, substr($query, 0, 60));
}

# -- values that were given out stay, whatever becomes of the row's slot
is( $node->safe_psql('postgres', $probing . q{
	SELECT count(*) FROM (SELECT a8::text || '2' || xmin::text || n::text || ctid::text || tableoid::text || a8::text AS x, t.*
		FROM kinds_omendb t WHERE id BETWEEN 1 AND 3000 OFFSET 0) x
	WHERE x.x LIKE x.a8::text || '2%' || x.a8::text}), 2400,	# n is null in others
	'system columns in between');

# -- rows in slots of their own: fetched by TID, by triggers, rechecked, of rows changed
my $changes = q{
CREATE FUNCTION note_AM() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log_AM SELECT TG_OP, OLD.id, OLD.n, NEW.n, NEW.a8::text, OLD.late, NEW.later;
	RETURN NEW;
END $$;
CREATE TABLE log_AM (op text, id int, old numeric, new numeric, a8 text, late int, later text);
CREATE TRIGGER before BEFORE UPDATE ON kinds_AM FOR EACH ROW WHEN (OLD.id % 2 = 0) EXECUTE FUNCTION note_AM();
CREATE TRIGGER after AFTER UPDATE OR DELETE ON kinds_AM FOR EACH ROW EXECUTE FUNCTION note_AM();
UPDATE kinds_AM SET n = id + 0.5 WHERE id BETWEEN 100 AND 130;
DELETE FROM kinds_AM WHERE id = 77;
DO $$
DECLARE r record; c CURSOR FOR SELECT * FROM kinds_AM WHERE id BETWEEN 1000 AND 1020;
BEGIN
	FOR r IN c LOOP
		IF r.id % 3 = 0 THEN
			UPDATE kinds_AM SET later = r.t || r.n WHERE CURRENT OF c;
		END IF;
		BEGIN
			PERFORM 1 / (r.id % 2) FROM kinds_AM WHERE id = r.id;
		EXCEPTION WHEN division_by_zero THEN
			INSERT INTO log_AM (op, id, a8) VALUES ('error', r.id, r.a8::text);
		END;
	END LOOP;
END $$;
MERGE INTO kinds_AM t USING (SELECT g AS id FROM generate_series(2990, 3110) g) s ON s.id = t.id
	WHEN MATCHED AND t.n IS NULL THEN UPDATE SET n = t.id, later = t.later || t.late
	WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, 0);
};
for my $am ('heap', 'omendb')
{
	(my $script = $changes) =~ s/_AM/_$am/g;
	$node->safe_psql('postgres', "$probing$script");
}
for my $table ('kinds', 'log')
{
	my ($heap, $omendb) = map { $node->safe_psql('postgres',
		"SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM ${table}_$_ t") } ('heap', 'omendb');
	is($omendb, $heap, "changes of cold rows: $table");
}

# -- ANALYZE of thawed pages, and of markers of two versions: its sample is the whole table
for my $round ('some pages thawed', 'sealed again')
{
	my $stats = q{SELECT reltuples, (SELECT md5(string_agg(concat_ws('|', attname, null_frac, avg_width, n_distinct,
		most_common_vals::text, most_common_freqs, histogram_bounds::text), chr(10) ORDER BY attname))
		FROM pg_stats WHERE tablename = 'kinds_AM') FROM pg_class WHERE relname = 'kinds_AM'};
	my ($heap, $omendb) = map {
		(my $q = $stats) =~ s/AM/$_/g;
		$node->safe_psql('postgres', "ANALYZE kinds_$_; $q") } ('heap', 'omendb');
	is($omendb, $heap, "statistics, $round");
	seal_all($node, 'kinds_omendb');
}
is($node->safe_psql('postgres', "SELECT sum(cold_rows) > 2500 FROM omendb.row_groups('kinds_omendb')"), 't', 'most rows are cold');

# -- what is open ends with the readers, and with the transaction
my $session = $node->background_psql('postgres', on_error_die => 1);
my $open = "SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'omendb segment'";
$session->query_safe("$probing BEGIN");
$session->query_safe('DECLARE c CURSOR FOR SELECT id, c7 FROM keys JOIN wide ON id = k');
$session->query_safe('MOVE 1000 FROM c');
cmp_ok($session->query_safe($open), '>=', 10, 'segments stay open');
$session->query_safe("SAVEPOINT s");
$session->query_safe("DO \$\$ BEGIN PERFORM 1 / (id - 5000) FROM keys JOIN wide ON id = k; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$");
$session->query_safe('ROLLBACK TO s');
is($session->query_safe('FETCH 1 FROM c'), $node->safe_psql('postgres',
	$probing . 'SELECT id, c7 FROM keys JOIN wide ON id = k OFFSET 1000 LIMIT 1'), 'after an error in a subtransaction');
$session->query_safe('CLOSE c');
is($session->query_safe($open), 0, 'they are closed with the last reader');
my $some = 'SELECT id, c7 FROM wide WHERE id % 3 = 0 AND id = ANY (ARRAY(SELECT g * 23 FROM generate_series(1, 300) g))';
$session->query_safe("SET enable_bitmapscan = on; SET enable_indexscan = off");
$session->query_safe("DECLARE c CURSOR FOR $some");
$session->query_safe('MOVE 50 FROM c');
$session->query_safe("SAVEPOINT s");
$session->query_safe("DECLARE d CURSOR FOR $some");
$session->query_safe('MOVE 30 FROM d');
$session->query_safe("DO \$\$ BEGIN PERFORM 1 / (id - 23 * 90) FROM ($some) x; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$");
$session->query_safe('ROLLBACK TO s');
is($session->query_safe('FETCH 1 FROM c'), $node->safe_psql('postgres', "$bitmap $some OFFSET 50 LIMIT 1"), 'a bitmap scan, too');
$session->query_safe('CLOSE c');
is($session->query_safe($open), 0, 'which leaves nothing open');
$session->query_safe("SET enable_bitmapscan = off; SET enable_indexscan = on");
$session->query_safe('DECLARE c CURSOR FOR SELECT id, c7 FROM keys JOIN wide ON id = k');
$session->query_safe('MOVE 1000 FROM c');
$session->query_safe('COMMIT');
is($session->query_safe($open), 0, 'and at the end of the transaction');

# -- a load that nobody waited for to the end pins nothing, though the transaction goes on
my $probe = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres', q{SELECT omendb.cache_reset(); SELECT omendb.stop_event_set('cache-before-load', 'wait')});
$probe->query("$probing BEGIN; SAVEPOINT s; SET LOCAL statement_timeout = '300ms'");
$probe->query('SELECT c7 FROM wide WHERE id = 5');
$probe->query('ROLLBACK TO s');
is($probe->query('SELECT txid_current_if_assigned() IS NULL'), 't', 'the transaction goes on');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('cache-before-load')});
$node->poll_query_until('postgres', 'SELECT used_bytes > 0 FROM omendb.cache_stats()')
  or die 'the load does not end';
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(stat_of('used_bytes'), 0, 'nothing is pinned');
$probe->query('COMMIT');
like($probe->{stderr}, qr/statement timeout/, 'which was given up');
$probe->quit;

# -- a slot for each row leaves nothing behind for each
$node->safe_psql('postgres', q{
CREATE FUNCTION executor_memory() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE 'memory %', (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'ExecutorState'); RETURN ''; END $$;
CREATE TABLE taken (id int PRIMARY KEY, t text) USING omendb;
INSERT INTO taken SELECT g, 'x' FROM generate_series(1, 30000) g});
seal_all($node, 'taken');
my ($rc, $out, $err) = $node->psql('postgres', q{
INSERT INTO taken SELECT g, CASE WHEN g IN (200, 30000) THEN executor_memory() ELSE '' END
	FROM generate_series(1, 30000) g ON CONFLICT DO NOTHING});
my ($first, $last) = $err =~ /memory (\d+)/g;
ok(defined $last && $last - $first < 500_000, 'memory of ON CONFLICT does not grow by rows')
  or diag($err);
is($node->safe_psql('postgres', "SELECT sum(cold_rows) > 29000, count(*) FROM omendb.row_groups('taken')"), 't|1', 'which are cold');

# -- many cursors on rows of many segments do not pin them all
$node->safe_psql('postgres', q{
CREATE TABLE fat (id int PRIMARY KEY, a text, b text) USING omendb;
ALTER TABLE fat ALTER a SET STORAGE PLAIN, ALTER b SET STORAGE PLAIN;
INSERT INTO fat SELECT g, (SELECT string_agg(md5((g * 100 + x)::text), '') FROM generate_series(1, 12) x), g
	FROM generate_series(1, 60000) g});
seal_all($node, 'fat');
my $row = 'SELECT id, length(a), b FROM fat WHERE id';
$session->query_safe("$probing BEGIN");
for my $i (1 .. 60)
{
	my $id = $i * 960;
	$session->query_safe("DECLARE f$i CURSOR FOR $row >= $id ORDER BY id");
	$session->query_safe("FETCH 1 FROM f$i");
}
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
my ($size, $used) = split /\|/, stat_of('size_bytes, used_bytes');
cmp_ok($used, '<', $size / 3, 'cursors pin a part of the cache');
cmp_ok($used, '>', 1_000_000, 'but do');
my $bad = 0;
for my $i (1 .. 60)
{
	my $id = $i * 960 + 1;
	$bad++ if $session->query_safe("FETCH 1 FROM f$i") ne "$id|384|$id";
}
is($bad, 0, 'and go on');
$session->query_safe('COMMIT');
$session->quit;
unlike(slurp_file($node->logfile), qr/leaked/, 'nothing was leaked');

$node->stop;
done_testing();
