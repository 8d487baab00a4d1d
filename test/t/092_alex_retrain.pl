# Retraining of alex indexes: death in its middle, replay with pages compared,
# a standby's cursor, a block that is another page when its lock comes, writers
# and VACUUM beside it, who may and where; and the worker that does it by itself.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $primary = omen_node(
	'retrain_primary',
	'wal_consistency_checking' => "'all'", 'wal_keep_size' => "'1GB'", 'autovacuum' => 'off',
	'omendb.alex_retrain' => 'off', 'restart_after_crash' => 'on');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('retrain_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
$standby->start;

sub caught_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}

# keys in bursts, so that least squares are wrong for them: one column, one with
# originals of keys, several columns
my @indexes = qw(r_k r_d r_w);
my $load = q{INSERT INTO r SELECT i * 10 + i / 400 * 1000000, CASE WHEN i % 10 = 0 THEN '-0' ELSE i / 400 * 1e6 + i END,
	lpad((i / 50 * 1000000 + i)::text, 12, '0'), i FROM generate_series(%d, %d) i;};
# An index that is built has no bad leaves, one that is filled in the order of
# its keys does.
my $refill = 'CREATE TEMP TABLE rows AS TABLE r; TRUNCATE r; INSERT INTO r TABLE rows ORDER BY x, k; DROP TABLE rows;';
$primary->safe_psql(
	'postgres', q{
CREATE TABLE r (k int8, d float8, w text COLLATE "C", x int);
CREATE INDEX r_k ON r USING alex (k);
CREATE INDEX r_d ON r USING alex (d DESC) INCLUDE (x);
CREATE INDEX r_w ON r USING alex (w, x);
} . sprintf($load, 1, 20000));
my $bad = 'SELECT ' . join(' + ', map { "(SELECT bad_leaves FROM omendb.alex_stats('$_'))" } @indexes);
my $retrain = 'SELECT ' . join(' + ', map { "(SELECT retrained FROM omendb.alex_retrain('$_'))" } @indexes);
my $check = 'SELECT ' . join(', ', map { "omendb.alex_check('$_', true)" } @indexes);
my $forced = 'SET enable_seqscan = off; SET enable_bitmapscan = off;';
my $state = "$forced SELECT count(*), sum(k) FROM (SELECT k FROM r ORDER BY k) s;
SELECT count(*), sum(x) FROM (SELECT x FROM r ORDER BY d DESC) s;
SELECT count(*), sum(x) FROM (SELECT x FROM r ORDER BY w, x) s;
SELECT x FROM r WHERE k = 123 * 10 OR k = 7000 * 10 + 7000 / 400 * 1000000 ORDER BY x;
SELECT x FROM r WHERE w = lpad((7000 / 50 * 1000000 + 7000)::text, 12, '0');";

sub same_everywhere
{
	my ($what, $expected) = @_;
	$primary->safe_psql('postgres', $check);
	is($primary->safe_psql('postgres', $state), $expected, "$what: primary");
	caught_up();
	$standby->safe_psql('postgres', $check);
	is($standby->safe_psql('postgres', $state), $expected, "$what: standby");
	return;
}

my $expected = $primary->safe_psql('postgres', $state);
cmp_ok($primary->safe_psql('postgres', $bad), '>', 60, 'leaves are bad');

# death before a leaf is locked, and with it locked; what was done is kept or not
foreach my $event (qw(alex-retrain-leaf alex-retrain-before))
{
	my $start = -s $primary->logfile;
	$primary->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'kill', 7)");
	my ($ret) = $primary->psql('postgres', "SELECT pg_switch_wal(); $retrain");
	isnt($ret, 0, "$event: died there");
	wait_restarted($primary, $start);
	same_everywhere("$event: recovered", $expected);
}

# a cursor on the standby stands on a leaf that is laid out anew under it
my $session = $standby->background_psql('postgres');
$session->query_safe("$forced BEGIN; DECLARE c SCROLL CURSOR FOR SELECT x FROM r WHERE k > 0 ORDER BY k; DECLARE d CURSOR FOR SELECT x FROM r ORDER BY w DESC, x DESC");
is($session->query_safe('MOVE 5000 FROM c; FETCH 1 FROM c; MOVE 3000 FROM d; FETCH 1 FROM d'), "5001\n17000", 'cursors on the standby');
cmp_ok($primary->safe_psql('postgres', $retrain), '>', 40, 'leaves are laid out anew');
is($primary->safe_psql('postgres', $bad), '0', 'none is bad any more');
caught_up();
is($session->query_safe('FETCH 2 FROM c; FETCH 2 FROM d'), "5002\n5003\n16999\n16998", 'they go on');
is($session->query_safe('MOVE ABSOLUTE 10 FROM c; FETCH BACKWARD 1 FROM c'), '9', 'and back');
$session->query_safe('COMMIT');
$session->quit;
same_everywhere('retrained', $expected);
is($primary->safe_psql('postgres', $retrain), '0', 'there is nothing left to do');

# Between the locks the leaf is split, and entries of it are removed
$primary->safe_psql('postgres', $refill);
$primary->safe_psql('postgres', q{SELECT omendb.stop_event_set('alex-retrain-leaf', 'wait', 3)});
my $retrainer = $primary->background_psql('postgres');
$retrainer->query_until(qr/begun/, "\\echo begun\nSELECT 'retrained ' || (retrained > 0) FROM omendb.alex_retrain('r_k');\n");
ok($primary->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('alex-retrain-leaf') = 1}), 'it is about to lock a leaf');
my $leaves = q{SELECT leaf_pages FROM omendb.alex_stats('r_k')};
my $before = $primary->safe_psql('postgres', $leaves);
$primary->safe_psql('postgres', sprintf($load, 1, 20000) . 'DELETE FROM r WHERE x % 2 = 0;');
$primary->safe_psql('postgres', "$forced SELECT count(*) FROM r WHERE k > 0");
cmp_ok($primary->safe_psql('postgres', $leaves), '>=', 2 * $before - 5, 'all leaves have been split meanwhile');
$primary->safe_psql('postgres', q{SELECT omendb.stop_event_clear('alex-retrain-leaf')});
like($retrainer->query_safe('SELECT 1'), qr/retrained (true|false)/, 'it goes on');
$retrainer->quit;
same_everywhere('split', $primary->safe_psql('postgres', $state));
$primary->safe_psql('postgres', 'VACUUM r');

# With a leaf locked: other leaves are written and read.  (Once the directory
# knows them: else the way there leads over the nearest one that it knows.)
$primary->safe_psql('postgres', $refill . 'INSERT INTO r (k, x) VALUES (10000000001, 0)');
$primary->safe_psql('postgres', q{SELECT omendb.stop_event_set('alex-retrain-before', 'wait', 3)});
$retrainer = $primary->background_psql('postgres');
$retrainer->query_until(qr/begun/, "\\echo begun\nSELECT omendb.alex_retrain('r_k');\n");
ok($primary->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('alex-retrain-before') = 1}), 'it holds a leaf');
$primary->safe_psql('postgres', 'INSERT INTO r (k, x) SELECT 10000000000 + i, 0 FROM generate_series(1, 3000) i');
is($primary->safe_psql('postgres', "$forced SELECT count(*) FROM r WHERE k > 10000000000"), '3001', 'others are not kept from theirs');
# and one retrains at a time
my ($ret, $out, $err) = $primary->psql('postgres', q{SET lock_timeout = '10ms'; SELECT omendb.alex_retrain('r_k')});
like($err, qr/canceling statement due to lock timeout/, 'another one waits');
$primary->safe_psql('postgres', q{SELECT omendb.stop_event_clear('alex-retrain-before')});
$retrainer->quit;
same_everywhere('a leaf held', $primary->safe_psql('postgres', $state));

# writers, readers, VACUUM and retraining all at once
my $dir = PostgreSQL::Test::Utils::tempdir;
my %script = (
	write => q{
\set n random(1, 60000)
INSERT INTO r SELECT i * 10 + i / 400 * 1000000, CASE WHEN i % 10 = 0 THEN '-0' ELSE i / 400 * 1e6 + i END,
	lpad((i / 50 * 1000000 + i)::text, 12, '0'), i FROM generate_series(:n, :n + 40) i;
DELETE FROM r WHERE x BETWEEN :n - 100 AND :n - 60;
UPDATE r SET k = k + 1 WHERE x BETWEEN :n AND :n + 5;
},
	look => q{
\set n random(1, 60000)
SELECT count(*), 1 / (count(*) FILTER (WHERE k < before) = 0)::int FROM (SELECT k, lag(k) OVER (ORDER BY k) AS before FROM r WHERE k > :n * 10 LIMIT 300) s;
},
	vacuum => "VACUUM r;\n",
	retrain => "SELECT omendb.alex_retrain('r_k'), omendb.alex_retrain('r_d'), omendb.alex_retrain('r_w');\n");
my @runs;
foreach my $name (sort keys %script)
{
	append_to_file("$dir/$name", $script{$name});
	my ($clients, $count) = $name eq 'write' ? (3, 150) : $name eq 'look' ? (2, 150) : (1, 15);
	my ($stdout, $stderr) = ('', '');
	push @runs, [ $name, \$stderr, IPC::Run::start(
			[ 'pgbench', '-n', '-c', $clients, '-t', $count, '-f', "$dir/$name", '-h', $primary->host, '-p', $primary->port, 'postgres' ],
			'>', \$stdout, '2>', \$stderr, IPC::Run::timeout(300)) ];
}
foreach my $run (@runs)
{
	my ($name, $stderr, $handle) = @$run;
	$handle->finish;
	is($handle->result(0), 0, "$name beside the others") or diag($$stderr);
}
same_everywhere('all at once', $primary->safe_psql('postgres', "SET enable_indexscan = off; SET enable_indexonlyscan = off; " . ($state =~ s/^.*?bitmapscan = off;//sr)));

# where, and who
($ret, $out, $err) = $standby->psql('postgres', q{SELECT omendb.alex_retrain('r_k')});
like($err, qr/cannot execute omendb.alex_retrain\(\) during recovery/, 'not on a standby');
$session = $primary->background_psql('postgres');
$session->query_safe('CREATE TEMP TABLE mine (k int); CREATE INDEX mine_k ON mine USING alex (k)');
my $oid = $session->query_safe(q{SELECT 'mine_k'::regclass::oid});
foreach my $function (qw(alex_retrain alex_check alex_stats))
{
	($ret, $out, $err) = $primary->psql('postgres', "SELECT omendb.$function($oid)");
	like($err, qr/cannot access temporary indexes of other sessions/, "$function: not of another session's");
}
$session->quit;
SKIP:
{
	skip 'the privilege came with 17', 2 if $primary->safe_psql('postgres', 'SHOW server_version_num') < 170000;
	$primary->safe_psql('postgres', q{CREATE ROLE keeper LOGIN; GRANT USAGE ON SCHEMA omendb TO keeper; GRANT SELECT, INSERT, UPDATE, DELETE ON r TO keeper});
	($ret, $out, $err) = $primary->psql('postgres', q{SELECT omendb.alex_retrain('r_k')}, extra_params => [ '-U', 'keeper' ]);
	like($err, qr/permission denied to retrain index "r_k"/, 'not without MAINTAIN');
	$primary->safe_psql('postgres', q{GRANT MAINTAIN ON r TO keeper});
	($ret, $out, $err) = $primary->psql('postgres', q{SELECT omendb.alex_retrain('r_k')}, extra_params => [ '-U', 'keeper' ]);
	is($ret, 0, 'with it');
}

# The worker: whatever is due is retrained in time, also when nothing is sealed
$standby->stop;
$primary->safe_psql('postgres', $refill . 'CREATE DATABASE other');
$primary->safe_psql('other', q{CREATE EXTENSION omendb; CREATE TABLE o (k int8); CREATE INDEX o_k ON o USING alex (k);
INSERT INTO o SELECT i * 10 + i / 400 * 1000000 FROM generate_series(1, 20000) i});
cmp_ok($primary->safe_psql('postgres', $bad), '>', 60, 'leaves are bad again');
$primary->append_conf('postgresql.conf', "omendb.alex_retrain = on\nomendb.seal_naptime = 1\n");
$primary->reload;
my $o_bad = q{SELECT bad_leaves FROM omendb.alex_stats('o_k')};
ok($primary->poll_query_until('postgres', $bad, '0'), 'the worker has laid them out anew');
ok($primary->poll_query_until('other', $o_bad, '0'), 'those of another database too');
# after changes enough
$primary->safe_psql('other', q{INSERT INTO o SELECT 1000000000000 + i * 10 + i / 400 * 1000000 FROM generate_series(1, 20000) i});
ok($primary->poll_query_until('other', $o_bad, '0'), 'and what has changed since');
is($primary->safe_psql('other', q{SELECT omendb.alex_check('o_k', true)}), '', 'the index is sound');

# after a restart it fills the directory, before anybody asks
my $known = q{SELECT directory_entries >= leaf_pages - 2 FROM omendb.alex_stats('o_k')};
$primary->restart;
ok($primary->poll_query_until('other', $known), 'the directory is full');

# who wants the index sends it away: here it is so slow that it would not be done
$primary->append_conf('postgresql.conf',
	"autovacuum_vacuum_cost_delay = '100ms'\nautovacuum_vacuum_cost_limit = 1\ndeadlock_timeout = '10ms'\n");
$primary->reload;
my $offset = -s $primary->logfile;
$primary->safe_psql('other', 'REINDEX INDEX o_k');
ok( $primary->poll_query_until('other', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'o_k'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted}),
	'the worker is at it');
$primary->safe_psql('other', 'DROP INDEX o_k');
like(slurp_file($primary->logfile, $offset), qr/ERROR:  canceling statement due to user request/, 'it gives way');
$primary->safe_psql('postgres', 'DROP DATABASE other');

# turned off, it does not come
$primary->append_conf('postgresql.conf', "omendb.alex_retrain = off\n");
$primary->reload;
$primary->safe_psql('postgres', $refill);
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'omendb sealer'}),
	'no worker');
cmp_ok($primary->safe_psql('postgres', $bad), '>', 30, 'what is bad stays so');
$primary->safe_psql('postgres', $check);
$primary->stop;

done_testing();
