# Entries that a statement inserts into an alex index together: their WAL on a
# standby and after a crash, errors amid them that a trigger catches, and VACUUM
# while they are not there yet.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node(
	'deferred',
	'wal_consistency_checking' => "'all'", 'wal_keep_size' => "'2GB'", 'autovacuum' => 'off',
	'restart_after_crash' => 'on');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('deferred_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my $indexes = q{unnest('{d_k,d_v,d_w,d_t,d_i}'::regclass[])};

# same(server, what): the indexes hold the table's rows, each once
sub same
{
	my ($server, $what) = @_;
	is($server->safe_psql('postgres', "SELECT count(omendb.alex_check(i, true)::text) FROM $indexes i"), '5', "$what: check");
	my $rows = q{SELECT md5(string_agg(k || ':' || v, ' ' ORDER BY k, v)), count(*) FROM (SELECT k, v FROM d WHERE %s OFFSET 0) x};
	my %got;
	foreach my $where ('k > -1', 'v > -1', "md5(v::text) > ''")
	{
		my $query = sprintf($rows, $where);
		$got{$server->safe_psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off; $query")} = 1;
		$got{$server->safe_psql('postgres', "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; $query")} = 1
	}
	is(scalar(keys %got), 1, $what);
	return;
}

sub entries
{
	return $node->safe_psql('postgres', "SELECT sum(entries) FROM $indexes i, omendb.alex_stats(i)");
}

my $copy = $node->basedir . '/deferred.copy';
$node->safe_psql(
	'postgres', qq{
CREATE TABLE d (k int, v int);
CREATE INDEX d_k ON d USING alex (k);
CREATE INDEX d_v ON d USING alex (v DESC);
CREATE INDEX d_w ON d USING alex (v, k);
CREATE INDEX d_t ON d USING alex ((md5(v::text)));
CREATE INDEX d_i ON d USING alex (k) INCLUDE (v);
INSERT INTO d SELECT g, g * 7919 % 100003 FROM generate_series(1, 20000) g;
INSERT INTO d SELECT 30000 - g, g % 10 FROM generate_series(1, 3000) g;
COPY (SELECT g * 31 % 9973, g FROM generate_series(1, 5000) g) TO '$copy';
COPY d FROM '$copy';
});
unlink '$copy';
same($node, 'inserted');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
same($standby, 'standby');

# how much WAL: many entries in a record
my @wal;
foreach my $batch (256, 0)
{
	my $out = $node->safe_psql(
		'postgres', qq{
SET wal_consistency_checking = '';
CREATE TABLE up_$batch (k bigint); CREATE INDEX ON up_$batch USING alex (k);
SET omendb.insert_batch = $batch;
INSERT INTO up_$batch SELECT generate_series(1, 1000);
SELECT pg_current_wal_insert_lsn() AS before \\gset
INSERT INTO up_$batch SELECT generate_series(1001, 51000);
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'before')});
	push @wal, $out;
}
note "WAL: $wal[0] together, $wal[1] one by one";
cmp_ok($wal[0], '<', $wal[1] - 50000 * 45, 'WAL of entries inserted together');

# An error amid the entries, in a subtransaction of a trigger, which catches it: the
# rows stay, so the entries have to get there, each once.
$node->safe_psql(
	'postgres', q{
CREATE FUNCTION catches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE nothing text;
BEGIN
	IF new.k % 50 = 0 THEN
		BEGIN
			PERFORM count(*) FROM pg_class;
		EXCEPTION WHEN OTHERS THEN
			-- (an expression, for a query would insert entries first)
			nothing := omendb.stop_event_clear('alex-insert-deferred')::text;
			RAISE WARNING 'caught at %: %', new.k, SQLERRM;
		END;
	END IF;
	RETURN new;
END $$;
CREATE TRIGGER catches BEFORE INSERT ON d FOR EACH ROW EXECUTE FUNCTION catches();
});
foreach my $skip (0, 1, 7, 30, 60, 100, 150, 300)
{
	my $before = entries();
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
SELECT omendb.stop_event_set('alex-insert-deferred', 'error', $skip);
INSERT INTO d SELECT g, (random() * 1e6)::int FROM generate_series(1, 240) g ORDER BY g;
});
	is($rc, 0, "skip $skip: the statement goes on");
	like($err, qr/caught at \d+: .*alex-insert-deferred/, "skip $skip: an error was caught");
	is(entries() - $before, 5 * 240, "skip $skip: entries");
	same($node, "skip $skip: index and table");
}
# nobody catches it
$node->safe_psql('postgres', 'DROP TRIGGER catches ON d');
foreach my $skip (0, 70)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM d');
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
BEGIN;
INSERT INTO d SELECT 50000 + g, g FROM generate_series(1, 100) g;
SAVEPOINT s;
SELECT omendb.stop_event_set('alex-insert-deferred', 'error', $skip);
INSERT INTO d SELECT (random() * 1e5)::int, g FROM generate_series(1, 100) g;
ROLLBACK TO s;
SELECT omendb.stop_event_clear('alex-insert-deferred');
INSERT INTO d SELECT 60000 + g, g FROM generate_series(1, 100) g;
COMMIT;
}, on_error_stop => 0);
	like($err, qr/ERROR: .*alex-insert-deferred/, "skip $skip: an error of the statement");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM d') - $before, 200, "skip $skip: its rows are gone");
	same($node, "skip $skip: index and table without them");
}

# A subtransaction's rows die while its transaction goes on: VACUUM takes them, and their
# TIDs become others', so that no entry of theirs may come later.
my $slow = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres', 'DELETE FROM d WHERE k > 40000; VACUUM d');
$slow->query_safe(
	q{
BEGIN;
DO $$ BEGIN
	INSERT INTO d SELECT 70000 + g, 1 / (160 - g) FROM generate_series(1, 160) g;
EXCEPTION WHEN division_by_zero THEN NULL; END $$;
});
$node->safe_psql('postgres', 'VACUUM d');
$node->safe_psql('postgres', q{SET omendb.insert_batch = 0; INSERT INTO d SELECT g, g FROM generate_series(1, 300) g});

# VACUUM while rows are there and their entries not yet.
$node->safe_psql('postgres', "SELECT omendb.stop_event_set('alex-insert-deferred', 'wait', 40)");
$slow->query_until(
	qr/begun/, q{
\echo begun
INSERT INTO d SELECT (random() * 1e5)::int, (random() * 1e5)::int FROM generate_series(1, 500) g;
COMMIT;
\echo done
});
$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('alex-insert-deferred') > 0") or die 'nobody waits';
$node->safe_psql('postgres', 'VACUUM d');
$node->safe_psql('postgres', q{SET omendb.insert_batch = 0; INSERT INTO d SELECT g, g FROM generate_series(301, 600) g});
$node->safe_psql('postgres', 'VACUUM d');
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('alex-insert-deferred')");
$slow->query_until(qr/done/, '');
$slow->quit;
same($node, 'after VACUUM');

# A query within the statement has a CTE that is not read, and so runs when the
# query ends: its entries are inserted at once, for ON CONFLICT may kill a row that
# has one, and then another session's row gets its TID.
$node->safe_psql(
	'postgres', q{
CREATE TABLE cte_rows (id int, k int);
CREATE INDEX cte_k ON cte_rows USING alex (k);
INSERT INTO cte_rows SELECT -g, 1000000 + g FROM generate_series(1, 20) g;
-- waits when the unique index, the second time, asks for 7
CREATE FUNCTION cte_slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE nothing text;
BEGIN
	IF i = 7 AND current_setting('test.slow', true) <> '' THEN
		nothing := set_config('test.slow', (current_setting('test.slow')::int + 1)::text, false);
		IF current_setting('test.slow')::int = 2 THEN
			nothing := pg_advisory_lock(4711)::text; nothing := pg_advisory_unlock(4711);
		END IF;
	END IF;
	RETURN i;
END $$;
CREATE UNIQUE INDEX cte_u ON cte_rows (cte_slow(id));
CREATE TABLE cte_outer (k int, v int);
CREATE INDEX cte_outer_k ON cte_outer USING alex (k);
CREATE FUNCTION cte_insert(g int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF g = 10 THEN
		EXECUTE 'WITH x AS (INSERT INTO cte_rows SELECT g, 100 + g FROM generate_series(1, 12) g ON CONFLICT DO NOTHING) SELECT 1';
	END IF;
	RETURN g;
END $$;
});
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(4711)');
my $outer = $node->background_psql('postgres');
$outer->query_safe(q{SET test.slow = '0'});
$outer->query_until(
	qr/begun/, q{
\echo begun
INSERT INTO cte_outer SELECT g, cte_insert(g) + CASE WHEN g > 10 THEN (pg_advisory_lock_shared(4712) IS NULL)::int ELSE 0 END FROM generate_series(1, 11) g;
\echo ended
});
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") or die 'nobody waits for 7';
$node->safe_psql('postgres', 'INSERT INTO cte_rows VALUES (7, 777)');
$holder->query_safe('SELECT pg_advisory_lock(4712)');
$holder->query_safe('SELECT pg_advisory_unlock(4711)');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 4712") or die 'the query has not ended';
$node->safe_psql('postgres', 'VACUUM cte_rows');
$node->safe_psql('postgres', 'INSERT INTO cte_rows VALUES (7007, 5)');
$holder->query_safe('SELECT pg_advisory_unlock(4712)');
$outer->query_until(qr/ended/, '');
$outer->quit;
$holder->quit;
is( $node->safe_psql(
		'postgres', q{SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*), count(*) FILTER (WHERE k = 107) FROM (SELECT * FROM cte_rows WHERE k BETWEEN 100 AND 200 OFFSET 0) x}),
	'11|0', 'no entry leads to the row of another session');

# COPY has closed its indexes when the last entries are inserted, but not given up
# its locks: who has got one of them meanwhile might wait for the table.
# The second time a trigger has copied, too, in a subtransaction that has failed.
my $few = $node->basedir . '/few.csv';
append_to_file($few, join('', map { "$_,1\n" } 1 .. 20));
$node->safe_psql(
	'postgres', qq{
CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	BEGIN
		EXECUTE 'COPY d (k, v) FROM ''$few'' (FORMAT csv)';
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN NULL; END;
	RETURN new;
END \$\$;
CREATE TRIGGER copies BEFORE INSERT ON d FOR EACH ROW WHEN (new.k = 310003) EXECUTE FUNCTION copies();
});
foreach my $first (300000, 310000)
{
	my $last = $first + 50;
	my $copying = $node->background_psql('postgres', on_error_stop => 0);
	$copying->query_until(
		qr/begun/, qq{
\\echo begun
COPY d (k, v) FROM PROGRAM 'seq @{[$first + 1]} $last | sed ''s/\$/,1/''; sleep 2' (FORMAT csv);
\\echo ended
});
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'd_k'::regclass AND mode = 'RowExclusiveLock'}) or die 'COPY has no lock';
	$node->safe_psql('postgres', 'BEGIN; ALTER INDEX d_k SET TABLESPACE pg_default; LOCK TABLE d IN SHARE MODE; COMMIT');
	$copying->query_until(qr/ended/, '');
	$copying->quit;
	is($node->safe_psql('postgres', "SELECT count(*) FROM d WHERE k > $first AND k <= $last"), '50', "COPY from $first and a lock on its index");
	same($node, "after COPY from $first");
}

# a crash amid them
my $start = -s $node->logfile;
$node->psql(
	'postgres', q{
INSERT INTO d SELECT 400000 + g, g FROM generate_series(1, 1000) g;
SELECT omendb.stop_event_set('alex-insert-deferred', 'kill', 300);
INSERT INTO d SELECT (random() * 1e5)::int, (random() * 1e5)::int FROM generate_series(1, 5000) g;
});
wait_restarted($node, $start);
is($node->safe_psql('postgres', 'SELECT count(*) FROM d WHERE k > 400000'), '1000', 'recovered');
same($node, 'after the crash');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
same($standby, 'standby in the end');
crash_free($node, 'primary');
crash_free($standby, 'standby');

$standby->stop;
$node->stop;
done_testing();
