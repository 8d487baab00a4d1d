# Entries that a statement inserts into an alex index together: their WAL on a
# standby and after a crash, errors amid them that a trigger catches, and VACUUM
# while they are not there yet.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('deferred');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.stop_events = on
omendb.seal = off
omendb.alex_retrain = off
wal_consistency_checking = 'all'
wal_keep_size = '2GB'
max_wal_size = '4GB'
autovacuum = off
restart_after_crash = on
jit = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('deferred_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

# same(server, what): both indexes hold the table's rows, each once
sub same
{
	my ($server, $what) = @_;
	is( $server->safe_psql(
			'postgres', q{
SELECT omendb.alex_check('d_k', true), omendb.alex_check('d_v', true);
SET enable_bitmapscan = off;
CREATE FUNCTION pg_temp.all_k() RETURNS text LANGUAGE sql SET enable_indexscan = off SET enable_indexonlyscan = off AS
'SELECT md5(string_agg(k || '':'' || v, '' '' ORDER BY k, v)) || count(*) FROM d WHERE k > -1';
CREATE FUNCTION pg_temp.by_k() RETURNS text LANGUAGE sql SET enable_seqscan = off AS
'SELECT md5(string_agg(k || '':'' || v, '' '' ORDER BY k, v)) || count(*) FROM d WHERE k > -1';
CREATE FUNCTION pg_temp.by_v() RETURNS text LANGUAGE sql SET enable_seqscan = off AS
'SELECT md5(string_agg(k || '':'' || v, '' '' ORDER BY k, v)) || count(*) FROM d WHERE v > -1';
SELECT pg_temp.all_k() = pg_temp.by_k(), pg_temp.all_k() = pg_temp.by_v();
}),
		"|\nt|t", $what) if $server eq $node;
	is($server->safe_psql('postgres', q{SELECT omendb.alex_check('d_k', true), omendb.alex_check('d_v', true)}), '|', $what)
	  if $server ne $node;
	return;
}

sub entries
{
	return $node->safe_psql('postgres', q{SELECT entries FROM omendb.alex_stats('d_k')});
}

my $copy = $node->basedir . '/deferred.copy';
$node->safe_psql(
	'postgres', qq{
CREATE TABLE d (k int, v int);
CREATE INDEX d_k ON d USING alex (k);
CREATE INDEX d_v ON d USING alex (v DESC);
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
foreach my $batch (64, 0)
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
foreach my $skip (0, 1, 7, 30, 60, 100)
{
	my $before = entries();
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
SELECT omendb.stop_event_set('alex-insert-deferred', 'error', $skip);
INSERT INTO d SELECT g, (random() * 1e6)::int FROM generate_series(1, 240) g ORDER BY g;
});
	is($rc, 0, "skip $skip: the statement goes on");
	like($err, qr/caught at \d+: .*alex-insert-deferred/, "skip $skip: an error was caught");
	is(entries() - $before, 240, "skip $skip: entries");
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

# VACUUM while rows are there and their entries not yet; before it a subtransaction's
# rows have died, and their TIDs become others'.
my $slow = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres', "DELETE FROM d WHERE k > 40000; SELECT omendb.stop_event_set('alex-insert-deferred', 'wait', 40)");
$slow->query_until(
	qr/begun/, q{
BEGIN;
DO $$ BEGIN
	INSERT INTO d SELECT 70000 + g, 1 / (60 - g) FROM generate_series(1, 60) g;
EXCEPTION WHEN division_by_zero THEN NULL; END $$;
\echo begun
INSERT INTO d SELECT (random() * 1e5)::int, (random() * 1e5)::int FROM generate_series(1, 500) g;
COMMIT;
\echo done
});
$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('alex-insert-deferred') > 0") or die 'nobody waits';
$node->safe_psql('postgres', 'VACUUM d');
$node->safe_psql('postgres', q{SET omendb.insert_batch = 0; INSERT INTO d SELECT g, g FROM generate_series(1, 300) g});
$node->safe_psql('postgres', 'VACUUM d');
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('alex-insert-deferred')");
$slow->query_until(qr/done/, '');
$slow->quit;
same($node, 'after VACUUM');

# a crash amid them
my $start = -s $node->logfile;
$node->psql(
	'postgres', q{
INSERT INTO d SELECT 200000 + g, g FROM generate_series(1, 1000) g;
SELECT omendb.stop_event_set('alex-insert-deferred', 'kill', 300);
INSERT INTO d SELECT (random() * 1e5)::int, (random() * 1e5)::int FROM generate_series(1, 5000) g;
});
foreach (1 .. 600)
{
	last
	  if slurp_file($node->logfile, $start) =~ /all server processes terminated/
	  && system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0;
	usleep(100_000);
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM d WHERE k > 200000'), '1000', 'recovered');
same($node, 'after the crash');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
same($standby, 'standby in the end');

$standby->stop;
$node->stop;
done_testing();
