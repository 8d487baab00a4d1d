# The store's worker ends, or refuses, while backends ask for chunks: nobody
# hangs, nothing spins, shared lists stay sound.
#
# NOISE_SECONDS: how long each noisy run takes (default 4), NOISE_RUNS: how often.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use OmenTest;

my $seconds = $ENV{NOISE_SECONDS} // 4;
my $runs = $ENV{NOISE_RUNS} // 1;
my $rows = $ENV{NOISE_ROWS} // 6000;

my $node = omen_node(
	'main',
	'omendb.row_group_blocks' => 1,
	'omendb.cache_size' => "'512MB'",
	'shared_buffers' => "'64MB'");
my $data = $node->data_dir;

my $columns = join ', ', map { "c$_ int" } 1 .. 40;
my $values = join ', ', map { "(g * $_) % 1000" } 1 .. 40;
$node->safe_psql(
	'postgres', qq{
CREATE TABLE wide ($columns) USING omendb;
INSERT INTO wide SELECT $values FROM generate_series(1, $rows) g;
CREATE TABLE wide_heap USING heap AS SELECT c1, c7, c40 FROM wide;
CREATE TABLE keyed (id int, v int) USING omendb;
INSERT INTO keyed SELECT g, g % 1000 FROM generate_series(1, $rows) g;
CREATE INDEX ON keyed (id);
CREATE TABLE reader_log (kind text, good int, failed int, wrong int, messages text);
});
seal_all($node, 'wide');
seal_all($node, 'keyed');
my $blocks = $node->safe_psql('postgres',
	"SELECT pg_relation_size('wide') / 8192");

# SQL that may find the server hanging: result or undef
sub try_sql
{
	my ($sql, $timeout) = @_;
	my $timed_out;
	my ($out, $err);
	my $rc = $node->psql(
		'postgres', $sql,
		stdout => \$out,
		stderr => \$err,
		timeout => $timeout // 60,
		timed_out => \$timed_out);
	diag("no answer: $sql") if $timed_out;
	diag("$sql: $err") if !$timed_out && $rc != 0;
	return ($timed_out || $rc != 0) ? undef : $out;
}

sub store_pid
{
	return $node->safe_psql('postgres', 'SELECT pid FROM omendb.store_stats()');
}

# The worker uses no processor time for a second.
sub store_idles
{
	my $ticks = sub {
		my $pid = try_sql('SELECT pid FROM omendb.store_stats()', 10) or return -1;
		my $stat = eval { slurp_file("/proc/$pid/stat") } or return -1;
		my @fields = split / /, ($stat =~ s/^.*\) //sr);
		return $fields[11] + $fields[12];
	};
	for (1 .. 20)
	{
		my $before = $ticks->();
		usleep(1_000_000);
		return 1 if $before >= 0 && $ticks->() == $before;
	}
	return 0;
}

sub wait_for_event
{
	my ($event) = @_;
	return $node->poll_query_until('postgres',
		"SELECT omendb.stop_event_waiting('$event') > 0");
}

# a session in the background
sub background
{
	my ($sql) = @_;
	my $session = { out => '', err => '' };
	$session->{handle} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql,
			$node->connstr('postgres')
		],
		'<', \undef, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

# Wait for it, at most that long; false if it hangs.
sub ended
{
	my ($session, $timeout) = @_;
	my $end = time + ($timeout // 60);
	return 1 if $session->{ended};
	while (time < $end)
	{
		my $running = eval { $session->{handle}->pump_nb; $session->{handle}->pumpable };
		if (!$running)
		{
			eval { $session->{handle}->finish };
			return $session->{ended} = 1;
		}
		usleep(20_000);
	}
	return 0;
}

# A session that reads in a loop; errors do not stop it, wrong rows are counted.
sub reader
{
	my ($kind, $seconds, $row, $query) = @_;
	return background(
		qq{
DO \$\$
DECLARE
	until timestamptz := clock_timestamp() + $seconds * interval '1 s';
	good int := 0; failed int := 0; wrong int := 0; n int; k int; messages text[] := '{}'; m text;
BEGIN
	WHILE clock_timestamp() < until LOOP
		k := $row;
		BEGIN
			$query;
			IF n IS NOT NULL THEN wrong := wrong + 1; ELSE good := good + 1; END IF;
		EXCEPTION WHEN OTHERS THEN
			failed := failed + 1;
			m := regexp_replace(SQLERRM, '[0-9a-f]{32}', 'X');
			IF array_position(messages, m) IS NULL AND cardinality(messages) < 5 THEN
				messages := messages || m;
			END IF;
		END;
	END LOOP;
	INSERT INTO reader_log VALUES ('$kind', good, failed, wrong, messages::text);
END\$\$});
}

sub by_ctid
{
	my ($seconds, $column) = @_;
	# a column's value is a multiple of the row's c1, all modulo 1000
	return reader('ctid', $seconds, "(random() * ($blocks - 1))::int",
		"SELECT c$column INTO n FROM wide WHERE ctid = format('(%s,1)', k)::tid AND c$column <> (c1 * $column) % 1000"
	);
}

sub by_index
{
	my ($seconds) = @_;
	return reader('index', $seconds, "1 + (random() * ($rows - 1))::int",
		"SELECT v INTO n FROM keyed WHERE id = k AND v <> k % 1000");
}

sub refused_by_marks
{
	my ($on) = @_;
	chmod($on ? 0000 : 0700, "$data/omendb/marks") or die "$!";
	return;
}

# Nothing has leaked, no list is broken.
sub check_lists
{
	my ($what) = @_;
	my $wrong;
	for (1 .. 50)
	{
		$wrong = try_sql('SELECT omendb.test_store_check()', 30);
		last if ($wrong // '?') eq '';
		usleep(100_000);
	}
	return is($wrong, '', "$what: lists, pins and request slots are sound");
}

# After all that: everything can be read, the worker is the one it was and
# waits for work, and a fast stop is one.
sub check_sound
{
	my ($what) = @_;
	is( try_sql(
			'SET enable_indexscan = off; SET enable_bitmapscan = off;
			SELECT (SELECT count(*) FROM (SELECT c1, c7, c40 FROM wide EXCEPT ALL TABLE wide_heap) a), (SELECT sum(v) FROM keyed)'
		),
		'0|' . $node->safe_psql('postgres',
			"SELECT sum(g % 1000) FROM generate_series(1, $rows) g"),
		"$what: all rows can be read");
	ok(store_idles(), "$what: the worker waits for work");
	check_lists($what);
	return;
}

# Noisy run: the worker is terminated while columns are read.
sub noise_terminate
{
	my ($seconds) = @_;
	$node->safe_psql('postgres', 'TRUNCATE reader_log');
	my @readers = map { by_ctid($seconds, 2 + $_ * 7) } 0 .. 3;
	my $end = time + $seconds;
	my $n = 0;
	my $alive = 1;
	while (time < $end && $alive)
	{
		my $column = 3 + $n % 38;
		$alive = defined try_sql(
			"DO \$\$ BEGIN PERFORM sum(c$column) FROM wide; EXCEPTION WHEN OTHERS THEN NULL; END \$\$;
			DO \$\$ BEGIN PERFORM omendb.cache_reset(); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;
			SELECT pg_sleep(0.1);
			SELECT count(pg_terminate_backend(pid)) FROM omendb.store_stats() WHERE pid IS NOT NULL", 30);
		$n++;
		# mostly until it is back, and sometimes at once
		usleep($n % 3 == 0 ? 200_000 : 1_300_000) if $alive;
	}
	is(scalar(grep { !ended($_, 30) } @readers), 0, "$n terminations: all readers come back");
	my $log = try_sql("SELECT count(*), sum(wrong) FROM reader_log WHERE good > 0");
	is($log, '4|0', 'they have been served, and right');
	diag(try_sql('TABLE reader_log'));
	return;
}

# Noisy run: the store is refused while rows are read through an index.
sub noise_refused
{
	my ($seconds) = @_;
	$node->safe_psql('postgres', 'TRUNCATE reader_log');
	refused_by_marks(1);
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid, 20000) FROM omendb.store_stats()");
	$node->poll_query_until('postgres',
		"SELECT state = 'refused' FROM omendb.store_stats()")
	  or die "the store is not refused";
	my @readers = map { by_index($seconds) } 1 .. 6;
	ok(!(grep { !ended($_, $seconds + 30) } @readers),
		'a refused store lets nobody hang');
	is( try_sql("SELECT count(*), sum(wrong), count(*) FILTER (WHERE messages NOT LIKE '%could not%' AND messages NOT LIKE '%cannot be used%') FROM reader_log WHERE failed > 0"),
		'6|0|0', 'it gives the reason');
	diag(try_sql('TABLE reader_log'));
	refused_by_marks(0);
	my $back = try_sql("DO \$\$ BEGIN
		FOR i IN 1..400 LOOP
			IF (SELECT state FROM omendb.store_stats()) = 'ready' THEN RETURN; END IF;
			PERFORM pg_sleep(0.05);
		END LOOP;
		RAISE EXCEPTION 'still refused';
		END \$\$; SELECT 1");
	is($back, 1, 'repaired, it is used again');
	return;
}

sub stop_fast
{
	my ($what) = @_;
	my $t = time;
	my $ok = !system('pg_ctl', '-D', $data, '-m', 'fast', '-w', '-t', 60, '-s', 'stop');
	ok($ok, "$what: a fast stop is one");
	if ($ok)
	{
		$node->{_pid} = undef;
		return 1;
	}
	$node->stop('immediate');
	return 0;
}


# Load some chunks that nobody has loaded yet: SQL, and what it gives
my $fresh_group = 0;

sub fresh_read
{
	my ($id) = split /\n/,
	  $node->safe_psql('postgres', 'SELECT omendb.test_file_write(3, 20000)');
	return "SELECT omendb.test_file_read('$id', 3, 20000)";
}

sub arm
{
	my ($event, $action) = @_;
	$action //= 'wait';
	return $node->safe_psql('postgres',
		"SELECT omendb.stop_event_set('$event', '$action')");
}

sub clear
{
	my ($event) = @_;
	return $node->safe_psql('postgres',
		"SELECT omendb.stop_event_clear('$event')");
}

sub terminate_store
{
	my ($wait) = @_;
	return $node->safe_psql('postgres',
		'SELECT pg_terminate_backend(pid' . ($wait ? ', 20000' : '') . ') FROM omendb.store_stats()');
}

sub pid_at
{
	my ($what) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE query LIKE '%$what%' AND pid <> pg_backend_pid()"
	);
}

# -- the worker ends between a backend's making an entry LOADING and queueing it
{
	my $sql = fresh_read();
	arm('cache-before-queue');
	my $reader = background($sql);
	wait_for_event('cache-before-queue');
	my $pid = store_pid();
	terminate_store();
	# it cannot end before, if it wants the lock; otherwise it does
	for (1 .. 100)
	{
		last if (store_pid() // '') ne $pid;
		usleep(20_000);
	}
	clear('cache-before-queue');
	ok(ended($reader), 'worker ends before the entry is queued: the reader comes back');
	is($reader->{out}, "3\n", 'with what it wanted') or diag($reader->{err});
	check_lists('ended before queueing');
}

# -- a backend queues an entry when the ending worker has emptied the queues
{
	my $sql = fresh_read();
	arm('cache-fail-drained');
	terminate_store();
	wait_for_event('cache-fail-drained');
	my $reader = background($sql);
	usleep(300_000);
	clear('cache-fail-drained');
	ok(ended($reader), 'queued after the worker looked: the reader comes back');
	is($reader->{out}, "3\n", 'served by the next worker') or diag($reader->{err});
	check_lists('queued after the worker looked');
}

# -- the worker ends with an entry in hand, at each step
for my $event ('cache-before-load', 'cache-after-alloc', 'cache-load-done', 'cache-load-failed')
{
	my $failing = $event eq 'cache-load-failed';
	my $sql = $failing
	  ? "SELECT omendb.test_file_read('" . '0' x 32 . "', 1, 100)"
	  : fresh_read();
	my $used = $node->safe_psql('postgres',
		'SELECT used_bytes FROM omendb.cache_stats()');
	for my $action ('terminate', 'error')
	{
		# where interrupts are held off an error is none
		next if $action eq 'error' && $event =~ /done|failed/;
		arm($event, $action eq 'error' ? 'error' : 'wait');
		my $reader = background($sql);
		if ($action eq 'terminate')
		{
			wait_for_event($event);
			terminate_store();
			usleep(100_000);
		}
		else
		{
			ended($reader);
		}
		clear($event);
		ok(ended($reader), "worker ends at $event ($action): the reader comes back");
		like(
			$reader->{out} . $reader->{err},
			# its next chunk may still have been queued for the worker that ends
			$event =~ /done/ ? qr/^3$|ERROR:  the omendb store is shutting down/
			: $failing ? qr/^-1$|shutting down/
			# an error in the middle of a load ends the load alone
			: $event =~ /alloc/ && $action eq 'error' ? qr/ERROR:  could not read row group .*stopped at stop event/s
			: qr/ERROR:  the omendb store is shutting down/,
			'and knows why');
		$node->poll_query_until('postgres',
			"SELECT state = 'ready' FROM omendb.store_stats()");
		check_lists("ended at $event ($action)");
	}
	next if $failing;
	is($node->safe_psql('postgres', $sql), 3, "after $event: the next one is served");
}

# -- a backend ends at each step: cancelled, terminated, by an error
for my $event ('cache-before-queue', 'cache-before-wait', 'cache-after-wait', 'cache-before-unpin',
	'request-filling', 'request-queued', 'request-done')
{
	for my $how ('cancel', 'terminate', 'error')
	{
		# (a larger chunk than the cache goes through request slots)
		my $sql = $event =~ /^request/ ? 'SELECT omendb.cache_reset()' : fresh_read();
		arm($event, $how eq 'error' ? 'error' : 'wait');
		my $reader = background("/* $event $how */ $sql");
		if ($how ne 'error')
		{
			wait_for_event($event);
			my $pid = pid_at("$event $how");
			$node->safe_psql('postgres',
				$how eq 'cancel' ? "SELECT pg_cancel_backend($pid)" : "SELECT pg_terminate_backend($pid)");
			usleep(50_000);
		}
		else
		{
			ended($reader);
		}
		clear($event);
		ok(ended($reader), "backend ends at $event ($how)");
		check_lists("backend ends at $event ($how)");
	}
}

# -- a request's backend goes while the worker runs it, and the worker goes too
for my $who ('backend', 'worker')
{
	arm('request-before-run');
	my $reader = background('/* running */ SELECT omendb.cache_reset()');
	wait_for_event('request-before-run');
	if ($who eq 'backend')
	{
		my $pid = pid_at('running');
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		ok(ended($reader), 'a backend whose request runs can be terminated');
		clear('request-before-run');
	}
	else
	{
		terminate_store();
		ok(ended($reader), 'a request whose worker ends fails');
		like($reader->{err}, qr/shutting down/, 'with the reason');
		clear('request-before-run');
	}
	$node->poll_query_until('postgres', "SELECT state = 'ready' FROM omendb.store_stats()");
	check_lists("$who ends while a request runs");
}

# -- what recovery notes for the worker, and tombstones, survive a worker
{
	my ($id) = split /\n/, $node->safe_psql('postgres', 'SELECT omendb.test_file_write(1, 100)');
	arm('drop-before-unlink');
	$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$id')");
	wait_for_event('drop-before-unlink');
	terminate_store(1);
	clear('drop-before-unlink');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM omendb.test_file_list() WHERE id = '$id'"),
		'a tombstone that a worker had read is not forgotten');
}

for my $run (1 .. $runs)
{
	noise_terminate($seconds);
	check_sound("terminations, run $run");
	stop_fast("terminations, run $run");
	$node->start;
	noise_refused($seconds);
	check_sound("refused, run $run");
	stop_fast("refused, run $run");
	$node->start;
}

done_testing();
