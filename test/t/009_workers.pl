# The sealing launcher and its worker, and commands that need a database for
# themselves.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('workers', 'autovacuum' => 'off', 'omendb.seal_naptime' => 1);
$node->safe_psql('postgres', 'CREATE DATABASE one');
$node->safe_psql('one', q{CREATE EXTENSION omendb;
CREATE TABLE t (id int) USING omendb; INSERT INTO t SELECT generate_series(1, 3000)});

my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'omendb sealer'};
my $sealed = q{SELECT count(*) > 0 FROM omendb.row_groups('t') WHERE state = 'sealed'};

# Stop a worker there
sub stopped_worker
{
	my ($event) = @_;
	$node->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'wait')");
	$node->append_conf('postgresql.conf', 'omendb.seal = on');
	$node->reload;
	return $node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('$event') = 1");
}

# A command that is cancelled while it waits for the worker (which holds a
# content lock and does not heed SIGTERM) bars nobody for good
ok(stopped_worker('seal-before-header'), 'a worker is sealing');
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query(q{SET statement_timeout = '300ms'; DROP DATABASE one});
$session->query('RESET statement_timeout');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'one'}), '1',
	'DROP DATABASE was cancelled');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('seal-before-header')});
$node->poll_query_until('postgres', $workers, '0');
$node->safe_psql('one', q{SELECT omendb.unseal('t')});
ok($node->poll_query_until('one', $sealed), 'the database is visited again');
$session->quit;

# A new launcher leaves the old one's worker its place, where it can be found
$node->safe_psql('one', q{SELECT omendb.unseal('t')});
ok(stopped_worker('seal-before-file'), 'a worker is sealing');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'omendb sealing launcher'});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'omendb sealing launcher'}),
	'the launcher is back');
$node->safe_psql('postgres', 'SELECT pg_sleep(2)');
is($node->safe_psql('postgres', $workers), '1', 'there is one worker');
$node->safe_psql('postgres', 'DROP DATABASE one');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'one'}), '0',
	'DROP DATABASE sends it away');

# What an interrupted DROP DATABASE has left is not visited
$node->safe_psql('postgres', q{CREATE DATABASE half; UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'});
my $offset = -s $node->logfile;
$node->safe_psql('postgres', 'SELECT pg_sleep(2.5)');
unlike(slurp_file($node->logfile, $offset), qr/invalid database/, 'an invalid database is left alone');
$node->safe_psql('postgres', 'DROP DATABASE half');

# Who may not copy a database learns that at once
$node->safe_psql('postgres', 'CREATE DATABASE theirs; CREATE ROLE maker LOGIN CREATEDB');
my $guest = $node->background_psql('theirs');
$guest->query_safe('SELECT 1');
my ($rc, $out, $err) = $node->psql('postgres', 'CREATE DATABASE mine TEMPLATE theirs', extra_params => [ '-U', 'maker' ]);
like($err, qr/permission denied to copy database "theirs"/, 'CREATE DATABASE from a database of others');
$guest->quit;

# A database that is gone when its turn comes, and the end of the server: nothing
# that the log calls fatal
$offset = -s $node->logfile;
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('seal-before-file')});
$node->safe_psql('postgres', 'CREATE DATABASE gone');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_set('launcher-before-visits', 'wait')});
ok($node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('launcher-before-visits') = 1}), 'the launcher has its list of databases');
$node->safe_psql('postgres', 'DROP DATABASE gone');
$node->safe_psql('postgres', q{CREATE TABLE marker (id int) USING omendb; INSERT INTO marker SELECT generate_series(1, 3000)});
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('launcher-before-visits')});
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM omendb.row_groups('marker') WHERE state = 'sealed'}), 'the others are visited');

crash_free($node, 'the log');
$node->stop;
unlike(slurp_file($node->logfile, $offset), qr/FATAL/, 'normal ends are not fatal');

done_testing();
