# omendb.seal_workers: several processes seal row groups of one table.  What they do
# together is what one would do; whoever leads them ends after them, in whatever way
# he ends; others get the table or the database when they want it; an error of one is
# the leader's.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 8,
	'omendb.seal' => 'off',
	'omendb.seal_naptime' => 1,
	'omendb.seal_delay' => 0,
	'omendb.stop_events' => 'on',
	'omendb.seal_workers' => 3,
	'max_worker_processes' => 12);
my $rows = 40000;
my $helpers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'omendb sealer''s helper'";

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub make_table
{
	my ($name) = @_;
	sql(qq{
DROP TABLE IF EXISTS $name, ${name}_heap;
CREATE TABLE $name (id int PRIMARY KEY, v int, s text) USING omendb;
INSERT INTO $name SELECT g, g % 1000, repeat(md5(g::text), 2) FROM generate_series(1, $rows) g;
CREATE TABLE ${name}_heap USING heap AS SELECT * FROM $name});
	return;
}

# Run omendb.seal() in a session of its own that stops at an event, as its helpers do;
# but not in the first row group, as they are called after it.
sub start_seal
{
	my ($event, $table) = @_;
	sql("SELECT omendb.stop_event_set('$event', 'wait', 20)");
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\nSELECT 'sealed ' || omendb.seal('$table', true);\n");
	return ($session, $pid);
}

# ---- the same as by one ----

make_table('t');
my $groups = int((sql("SELECT pg_relation_size('t') / 8192") + 7) / 8);
cmp_ok($groups, '>', 50, 'there are many row groups');
my ($sealed, $sealed_rows) = split /\|/, sql("SELECT row_groups, rows FROM omendb.seal('t', true)");
is($sealed, $groups, 'all of them are sealed, each by somebody');
is($sealed_rows, $rows, 'with all rows');
is(sql("SELECT sum(cold_rows) FROM omendb.row_groups('t')"), $rows, 'they are cold');
is(sql($helpers), '0', 'the helpers are gone when the leader is done');
compare_twins($node, 'sealed by four', 't', 't_heap');
is(sql("SELECT omendb.seal('t', true)"), '(0,0,0)', 'nothing is left to seal');

# that there are others is seen when all of them stand still
make_table('t');
my ($session, $pid) = start_seal('seal-before-page', 't');
ok($node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('seal-before-page') >= 4"), 'the leader and three helpers are at work');
is(sql($helpers), '3', 'the helpers are shown');
is(sql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted"), '4', 'each has its lock');
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '200ms'; VACUUM t");
	like($err, qr/lock timeout/, 'others have to wait');
}
sql("SELECT omendb.stop_event_clear('seal-before-page')");
like($session->query('SELECT 1'), qr/^(sealed.*\n)?1$/, 'it goes on');
$session->quit;
compare_twins($node, 'after a stop', 't', 't_heap');

# ---- the end of the leader is the end of all ----

foreach my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	make_table('t');
	($session, $pid) = start_seal('seal-before-header', 't');
	$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('seal-before-header') >= 2");
	sql("SELECT $how($pid)");
	sql("SELECT omendb.stop_event_clear('seal-before-header')");
	ok($node->poll_query_until('postgres', $helpers, '0'), "$how: the helpers are gone");
	eval { $session->quit; };
	is(sql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass"), '0', "$how: so are their locks");
	compare_twins($node, $how, 't', 't_heap');
	sql("SELECT omendb.seal('t', true)");
	is(sql("SELECT sum(cold_rows) FROM omendb.row_groups('t')"), $rows, "$how: the rest is sealed later");
	check_store($node, $how, 't');
}

# ---- the end of a helper ----

make_table('t');
($session, $pid) = start_seal('seal-before-page', 't');
$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('seal-before-page') >= 4");
is(sql("SELECT count(*) FROM pg_stat_activity WHERE CASE WHEN backend_type = 'omendb sealer''s helper' THEN pg_terminate_backend(pid) END"), '3', 'all helpers are terminated');
sql("SELECT omendb.stop_event_clear('seal-before-page')");
$session->query('SELECT 1');
$session->quit;
is(sql("SELECT sum(cold_rows) FROM omendb.row_groups('t')"), $rows, 'the leader seals what they have left');
compare_twins($node, 'without helpers', 't', 't_heap');

# ---- an error ----

# of the leader, who holds a lock that the helper waits for: what is superseded has to be
# noted in a folder, which is a file here.  Who comes to the lock first nobody knows, so
# this is done until it has been the leader.
my $drops = $node->data_dir . '/omendb/drops';
my $held = 'f';
for my $try (1 .. 15)
{
	sql('SELECT count(*) FROM (SELECT * FROM t WHERE id % 560 = 300 FOR UPDATE) q');
	sql("SELECT omendb.stop_event_set('drop-after-log', 'wait', 2)");
	$session = $node->background_psql('postgres', on_error_stop => 0);
	$pid = $session->query('SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\nSET omendb.seal_workers = 1;\nSELECT omendb.seal('t', true);\n");
	$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('drop-after-log') >= 1");
	# the other one waits for it
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'LWLock' AND (pid = $pid OR backend_type = 'omendb sealer''s helper')");
	$held = sql("SELECT wait_event_type IS DISTINCT FROM 'LWLock' FROM pg_stat_activity WHERE pid = $pid");
	rename($drops, "$drops.away") or die "no folder $drops";
	append_to_file($drops, 'not a folder');
	sql("SELECT omendb.stop_event_clear('drop-after-log')");
	last unless $node->poll_query_until('postgres', $helpers, '0');
	unlink($drops);
	rename("$drops.away", $drops);
	eval { $session->quit; };
	sql("SELECT omendb.seal('t', true)");
	last if $held eq 't';
}
is($held, 't', 'the leader has had an error beneath a lock that the helper waited for');
is(sql($helpers), '0', 'the helpers are gone after it');
compare_twins($node, 'after errors beneath a lock', 't', 't_heap');

# of a helper, or the leader: a page that cannot be read
make_table('t');
sql('CHECKPOINT');
my $file = $node->data_dir . '/' . sql("SELECT pg_relation_filepath('t')");
my $bad = 8 * 30 + 3;
$node->stop;
my $page;
{
	open(my $fh, '+<', $file) or die;
	binmode $fh;
	sysseek($fh, $bad * 8192, 0);
	sysread($fh, $page, 8192);
	sysseek($fh, $bad * 8192, 0);
	syswrite($fh, "\xff" x 64);
	close $fh;
}
$node->start;
my ($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.seal('t', true)");
like($err, qr/ERROR:  invalid page in block $bad of relation/, 'seal() fails with what the page is');
is(sql($helpers), '0', 'and leaves no helpers');
# in the background all others are sealed
$node->append_conf('postgresql.conf', "omendb.seal = on\n");
$node->reload;
ok($node->poll_query_until('postgres',
	"SELECT count(*) >= $groups - 2 FROM omendb.row_groups('t') WHERE state IN ('sealed', 'partly sealed') OR cold_rows > 0"),
	'the sealer leaves out one row group');
$node->append_conf('postgresql.conf', "omendb.seal = off\n");
$node->stop;
{
	open(my $fh, '+<', $file) or die;
	binmode $fh;
	sysseek($fh, $bad * 8192, 0);
	syswrite($fh, $page);
	close $fh;
}
$node->start;
sql("SELECT omendb.seal('t', true)");
is(sql("SELECT sum(cold_rows) FROM omendb.row_groups('t')"), $rows, 'it is sealed when the page is back');
compare_twins($node, 'after an error', 't', 't_heap');

# ---- others want the table, or the database ----

$node->append_conf('postgresql.conf', "omendb.seal = on\n");
make_table('t');
sql("SELECT omendb.stop_event_set('seal-before-page', 'wait', 20)");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('seal-before-page') >= 2"), 'the sealer has helpers');
my $alter = $node->background_psql('postgres', on_error_stop => 0);
$alter->query_until(qr/begun/, "\\echo begun\nALTER TABLE t ADD COLUMN more int;\n");
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"), 'a command waits for the table');
$node->append_conf('postgresql.conf', "omendb.seal = off\n");
$node->reload;
sql("SELECT omendb.stop_event_clear('seal-before-page')");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'more'"),
	'and gets it before all is sealed');
$alter->quit;
ok($node->poll_query_until('postgres', $helpers, '0'), 'the helpers have left');
sql('ALTER TABLE t DROP COLUMN more');
compare_twins($node, 'after ALTER TABLE', 't', 't_heap');

# (the sealer is not to stand still in this one)
sql('DROP TABLE t, t_heap');
sql('CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION omendb; CREATE TABLE o USING omendb AS SELECT g AS id, repeat('x', 100) AS s FROM generate_series(1, 40000) g");
sql("SELECT omendb.stop_event_set('seal-before-page', 'wait', 20)");
$node->append_conf('postgresql.conf', "omendb.seal = on\n");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT count(*) >= 1 FROM pg_stat_activity WHERE datname = 'other' AND backend_type = 'omendb sealer''s helper'"),
	'helpers in another database');
my $drop = $node->background_psql('postgres', on_error_stop => 0);
$drop->query_until(qr/begun/, "\\echo begun\nDROP DATABASE other;\nSELECT 'dropped';\n");
usleep(300_000);
sql("SELECT omendb.stop_event_clear('seal-before-page')");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_database WHERE datname = 'other'"), 'it can be dropped');
$drop->quit;
$node->append_conf('postgresql.conf', "omendb.seal = off\n");
$node->reload;

# ---- a transaction that has changed the catalog has no helpers ----

make_table('t');
is(sql("BEGIN; ALTER TABLE t ADD COLUMN more int DEFAULT 7; SELECT (omendb.seal('t', true)).rows > 0; COMMIT"), 't', 'sealed by itself');
is(sql('SELECT count(*), sum(more) FROM t'), $rows . '|' . 7 * $rows, 'the new column is there');

# ---- kills ----

for my $round (1 .. 3)
{
	make_table('t');
	sql('CHECKPOINT') if $round == 2;
	my $event = (qw(seal-before-header seal-before-page seal-after-page))[ $round - 1 ];
	sql("SELECT omendb.stop_event_set('$event', 'wait', @{[ $round * 40 ]})");
	my $seal = $node->background_psql('postgres', on_error_stop => 0);
	$seal->query_until(qr/begun/, "\\echo begun\nSELECT omendb.seal('t', true);\n");
	$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('$event') >= 2");
	kill_server($node);
	eval { $seal->quit; };
	$node->start;
	compare_twins($node, "killed at $event", 't', 't_heap');
	sql("SELECT omendb.seal('t', true)");
	is(sql("SELECT sum(cold_rows) FROM omendb.row_groups('t')"), $rows, 'the rest is sealed after recovery');
	compare_twins($node, "and sealed", 't', 't_heap');
}
check_indexes_of('t');
check_store($node, 'after kills', 't');
crash_free($node, 'helpers');
$node->stop;
done_testing();

sub check_indexes_of
{
	my ($table) = @_;
	is(sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(v) FROM $table WHERE id > 0"),
		sql("SELECT count(*), sum(v) FROM ${table}_heap"), 'the index finds all rows');
	return;
}
