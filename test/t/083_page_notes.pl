# What scans remember of thawed pages (decision 0024), with sessions that change rows
# all the time: more row groups than there is room for, parallel workers, a standby
# with sessions that live through its promotion, hint bits that are logged.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{NOTES_SECONDS} // 6;
my $rows = 20000;
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(extra => ['--data-checksums'], allows_streaming => 1);
$primary->append_conf('postgresql.conf', omen_conf(
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 8,
	# eight row groups of them, of some twenty
	'omendb.page_notes' => "'4kB'",
	'hot_standby_feedback' => 'on',
	'wal_receiver_status_interval' => "'1s'",
	'max_standby_streaming_delay' => "'60s'"));
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
omen_helpers($primary);
$primary->safe_psql('postgres', qq{
CREATE TABLE t (id int PRIMARY KEY, v int, pad text) USING omendb;
INSERT INTO t SELECT g, g % 100, repeat('x', g % 60) FROM generate_series(1, $rows) g;
-- by vectors twice, by vectors in parallel, row by row; in one snapshot all the same
CREATE FUNCTION check_notes() RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
	q text := 'SELECT concat_ws('' '', count(*), sum(id), sum(v), sum(length(pad)), (SELECT count(*) FROM t), (SELECT string_agg(v::text, '','') FROM t WHERE v > 99)) FROM t';
	one text;
	two text;
	three text;
	plain text;
BEGIN
	PERFORM set_config('omendb.enable_vectorized_scan', 'force', true), set_config('omendb.enable_vectorized_agg', 'force', true);
	EXECUTE q INTO one;
	EXECUTE q INTO two;
	PERFORM set_config('max_parallel_workers_per_gather', '2', true), set_config('parallel_setup_cost', '0', true),
		set_config('parallel_tuple_cost', '0', true), set_config('min_parallel_table_scan_size', '0', true);
	EXECUTE 'SELECT concat_ws('' '', count(*), sum(id), sum(v), sum(length(pad))) FROM t' INTO three;
	PERFORM set_config('max_parallel_workers_per_gather', '0', true), set_config('omendb.enable_vectorized_scan', 'off', true),
		set_config('omendb.enable_vectorized_agg', 'off', true);
	EXECUTE q INTO plain;
	IF one <> plain OR two <> plain OR NOT starts_with(plain, three || ' ') THEN
		RAISE EXCEPTION 'DIFFERENT: % % % %', one, two, three, plain;
	END IF;
	RETURN 'equal';
END \$\$;
});
seal_all($primary, 't');
# each row group keeps cold pages, and has thawed ones
$primary->safe_psql('postgres', 'UPDATE t SET v = 100 WHERE id % 500 = 300');

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/check.sql", "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT check_notes();\nSELECT pg_sleep(0.05);\nSELECT check_notes();\nCOMMIT;\n");
append_to_file("$dir/change.sql", "\\set k random(1, $rows / 500 - 1) * 500 + random(-250, -150)\n" . q{
BEGIN;
UPDATE t SET v = v + 1 WHERE id = :k;
SAVEPOINT s;
DELETE FROM t WHERE id = :k + 5;
ROLLBACK TO s;
SELECT id FROM t WHERE id = :k + 7 FOR UPDATE SKIP LOCKED;
COMMIT;
BEGIN;
DELETE FROM t WHERE id = :k + 9;
INSERT INTO t VALUES (:k + 9, 101, 'again') ON CONFLICT DO NOTHING;
ROLLBACK;
BEGIN;
DELETE FROM t WHERE id = :k + 109;
INSERT INTO t VALUES (:k + 109, 102, 'again') ON CONFLICT DO NOTHING;
COMMIT;
});
append_to_file("$dir/vacuum.sql", "VACUUM t;\nSELECT pg_sleep(0.2);\n");
append_to_file("$dir/seal.sql", "SELECT omendb.seal('t', true);\nSELECT pg_sleep(0.7);\n");

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# a load whose output tells of no error; returns how many transactions it was
sub finished
{
	my ($load, $what) = @_;
	my $out = stop_load($load);
	my ($n) = $out =~ /check\.sql:.*?number of transactions actually processed: (\d+)/s;

	unlike($out, qr/DIFFERENT/, "$what: no difference");
	# a standby may cancel what holds up redo
	my @errors = grep { !/conflict with recovery|deadlock detected/ } $out =~ /(ERROR:.*)/g;
	is(join("\n", @errors), '', "$what: no error");
	cmp_ok($n // 0, '>', 3, "$what: compared (" . ($n // 0) . ' transactions)');
	return;
}

my $reader = start_load($standby, $seconds, [ "$dir/check.sql", 2 ]);
my $load = start_load($primary, $seconds, [ "$dir/check.sql", 2 ], [ "$dir/change.sql", 2 ],
	[ "$dir/vacuum.sql", 1 ], [ "$dir/seal.sql", 1 ]);
finished($load, 'primary');
finished($reader, 'standby');

# a session of the standby that is promoted
my $session = $standby->background_psql('postgres');
is($session->query_safe('SELECT check_notes()'), 'equal', 'before promotion');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($session->query_safe('SELECT check_notes()'), 'equal', 'before promotion, again');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
$session->query_safe('UPDATE t SET v = v + 1 WHERE id % 500 = 301');
is($session->query_safe('SELECT check_notes()'), 'equal', 'after promotion');
$standby->safe_psql('postgres', 'DELETE FROM t WHERE id % 500 = 302');
is($session->query_safe('SELECT check_notes()'), 'equal', 'after promotion and a change by another');
$session->quit;

# an error while a page is looked at leaves no note of it that says too much
$session = $primary->background_psql('postgres', on_error_stop => 0);
foreach my $n (1 .. 3)
{
	$primary->safe_psql('postgres', "UPDATE t SET v = v + 1 WHERE id % 500 = 303 + $n");
	# (its errors are what it is for)
	$session->query('SET omendb.enable_vectorized_agg = force; SELECT sum(1 / (id - 9000)) FROM t');
	$session->query("SET statement_timeout = '5ms'");
	$session->query('SELECT count(*), sum(length(t.pad)) FROM t, t u WHERE t.v < u.v');
	$session->query('RESET statement_timeout');
	$session->{stderr} = '';
	is($session->query('SELECT check_notes()'), 'equal', "after errors ($n)");
}
$session->quit;

crash_free($_, $_->name) foreach $primary, $standby;
$primary->stop;
$standby->stop;

# -- without WAL in the transaction that makes the file, and without notes at all
$primary->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off\n");
$primary->start;
$session = $primary->background_psql('postgres');
$session->query_safe('CREATE TABLE u (LIKE t) USING omendb');
$session->query_safe('BEGIN; TRUNCATE u; INSERT INTO u SELECT * FROM t; COMMIT');
seal_all($primary, 'u');
$primary->safe_psql('postgres', 'UPDATE u SET v = v + 1 WHERE id % 500 = 310');
$session->query_safe('SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = force');
foreach my $change ('SELECT 1', 'TRUNCATE u; INSERT INTO u SELECT * FROM t WHERE id > 100',
	'DELETE FROM u WHERE id % 500 = 311', 'ALTER TABLE u SET UNLOGGED', 'UPDATE u SET v = 7 WHERE id % 500 = 312', 'ALTER TABLE u SET LOGGED')
{
	my $q = 'SELECT count(*), sum(v), sum(id) FROM u';
	$session->query_safe('BEGIN');
	$session->query_safe($change);
	my $inside = $session->query_safe($q);
	is($session->query_safe("SET LOCAL omendb.enable_vectorized_scan = off; SET LOCAL omendb.enable_vectorized_agg = off; $q"),
		$inside, "wal_level minimal, inside: $change");
	$session->query_safe('COMMIT');
	# (an unlogged table is never sealed)
	seal_all($primary, 'u') unless $change =~ /UNLOGGED|= 312/;
	is($session->query_safe($q), $inside, "then sealed: $change");
	$primary->safe_psql('postgres', 'UPDATE u SET v = v + 1 WHERE id % 500 = 313');
	my $after = $session->query_safe($q);
	is($primary->safe_psql('postgres', "SET omendb.enable_vectorized_agg = off; SET omendb.enable_vectorized_scan = off; $q"),
		$after, "and changed: $change");
}
$session->quit;
$primary->append_conf('postgresql.conf', "omendb.page_notes = 0\n");
$primary->restart;
is($primary->safe_psql('postgres', 'SELECT check_notes()'), 'equal', 'no memory for notes');
$primary->stop;

done_testing();
