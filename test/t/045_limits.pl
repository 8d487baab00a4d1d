# Limits of the operating system, and the end of RocksDB's process at each step:
# errors where they must be, but no process of the server ends by a signal, and
# everybody else is served.
#
# LIMITS_LONG=1: 500 sealed tables with 160 descriptors, address space in small steps.
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use OmenTest;

plan skip_all => 'no prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;

my $long = $ENV{LIMITS_LONG};
my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'restart_after_crash' => 'on',
	'omendb.cache_size' => "'8MB'",
	'omendb.rocksdb_timeout' => 2,
	'omendb.gc_interval' => 0,
	'max_files_per_process' => 1000);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub store
{
	my ($what) = @_;
	return sql("SELECT $what FROM omendb.store_stats()");
}

# Soft limits of a process; '' is what it may have at most
sub limit
{
	my ($pid, $what, $value) = @_;
	if ($value eq '')
	{
		($value) = `prlimit --pid $pid --$what --output HARD --noheadings` =~ /(\S+)/;
	}
	return system("prlimit --pid $pid --$what=$value: 2>/dev/null") == 0;
}

sub address_space
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+) kB/m;
	return $kb * 1024;
}

my $rows = 3000;
sql("CREATE TABLE heap (id int) USING heap; INSERT INTO heap VALUES (1)");
sub make_table
{
	my ($name) = @_;
	return sql("CREATE TABLE $name (id int PRIMARY KEY, a text, b numeric) USING omendb;
		INSERT INTO $name SELECT g, repeat(md5(g::text), 3), g / 7.0 FROM generate_series(1, $rows) g");
}

sub good
{
	my ($name, $what) = @_;
	return is(sql("SELECT count(*), sum(id), sum(length(a)) FROM $name"),
		"$rows|" . $rows * ($rows + 1) / 2 . '|' . 96 * $rows, $what);
}

# No process of the server has been ended by a signal (RocksDB's is none).  Out of
# memory at its start, core's own processes end with an error, which restarts the others.
my $seen = 0;
sub signals
{
	my ($what, $starting) = @_;
	my @lines = grep { ($starting ? /terminated by signal/ : /terminated by signal|reinitializing/) && !/RocksDB's process/ }
	  split /\n/, slurp_file($node->logfile, $seen);
	$seen = -s $node->logfile;
	return is(join("\n", @lines), '', $what);
}

my $worker = store('pid');

# -- address space of a backend: sealing, unsealing, VACUUM, reads
make_table('t');
my %results;
for my $kb (0, 60, 200, 500, 1000, 2000, 4000, 8000, 16000, 64000)
{
	# each in a backend of its own, which has loaded what it needs
	my $s = $node->background_psql('postgres', on_error_stop => 0);
	$s->query('SELECT count(*) FROM t; SELECT * FROM omendb.row_groups(\'t\'); SET max_parallel_workers_per_gather = 0');
	my $pid = $s->query('SELECT pg_backend_pid()');
	limit($pid, 'as', address_space($pid) + $kb * 1024) or die;
	for my $step ("SELECT omendb.seal('t', true) IS NOT NULL", 'SELECT count(*), max(a) FROM t', "UPDATE t SET b = b + 1 WHERE id % 500 = 0",
		'VACUUM t', "SELECT omendb.seal('t', true) IS NOT NULL", "SELECT omendb.unseal('t') IS NOT NULL")
	{
		$s->query($step);
		$results{ $s->{stderr} =~ /ERROR:  (out of memory|.*Cannot allocate memory)/ ? 'out of memory' : $s->{stderr} =~ /ERROR/ ? 'error' : 'done' }++;
		$s->{stderr} = '';
	}
	eval { $s->quit };
}
note(join ', ', map { "$_: $results{$_}" } sort keys %results);
cmp_ok($results{'out of memory'} // 0, '>', 3, 'a backend was short of memory');
cmp_ok($results{done} // 0, '>', 3, 'or was not');
good('t', 'nothing is lost');

# -- address space of the worker: cold reads, requests, deletions
seal_all($node, 't');
my $errors = 0;
for my $kb ($long ? map { $_ * 200 } 0 .. 80 : (0, 16, 64, 256, 1000, 4000, 16000))
{
	$worker = store('pid');
	limit($worker, 'as', address_space($worker) + $kb * 1024) or die;
	for (1 .. 2)
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.cache_reset(); SELECT count(*), max(a), max(b) FROM t");
		$errors++ if $rc != 0;
		$node->psql('postgres', "SELECT omendb.test_file_drop(id) FROM omendb.test_file_write(1, 3000000) id");
	}
	is(sql('SELECT id FROM heap'), 1, "worker with $kb kB more: heap tables are served");
	limit($worker, 'as', '');
	# it has ended with an error at most
	$node->poll_query_until('postgres', "SELECT state = 'ready' FROM omendb.store_stats()");
	good('t', 'with memory again, sealed rows are read');
}

# -- processes: RocksDB's cannot be started, or can start no threads
SKIP:
{
	skip 'limits of processes do not hold for root', 5 if $> == 0;
	$worker = store('pid');
	limit($worker, 'nproc', 1) or die;
	kill 'KILL', store('rocksdb_pid');
	ok($node->poll_query_until('postgres', "SELECT last_error ~ 'omendb_rocksdb|process' FROM omendb.store_stats()"),
		'the process cannot be started') or diag(store('last_error'));
	sql('SELECT omendb.cache_reset()');
	good('t', 'rows are read without it');
	my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '20s'; CREATE TABLE u (LIKE t INCLUDING ALL) USING omendb; INSERT INTO u SELECT * FROM t; SELECT omendb.seal('u', true)");
	isnt($rc, 0, 'nothing can be sealed');
	like($err, qr/could not|cannot|timed out/, 'the reason is given');
	limit($worker, 'nproc', '');
	ok($node->poll_query_until('postgres', "SELECT omendb.seal('u', true) IS NOT NULL"), 'then it can');
	is(store('pid'), $worker, 'by the same worker');
}

# -- RocksDB's process is killed, or stopped, at each step
for my $signal ('KILL', 'STOP')
{
	for my $event ('file-before-ingest', 'ingest-before-rocksdb', 'drop-before-unlink', '')
	{
		my $what = "RocksDB's process gets $signal at " . ($event || 'rest');
		$node->poll_query_until('postgres', 'SELECT rocksdb_pid IS NOT NULL FROM omendb.store_stats()');
		$worker = store('pid');
		sql('DROP TABLE IF EXISTS v');
		make_table('v');
		sql("SELECT omendb.stop_event_set('$event', 'wait')") if $event;
		my ($out, $err) = ('', '');
		my $sealer = IPC::Run::start(
			[ 'psql', '-XAtq', '-c', "SELECT omendb.seal('v', true) IS NOT NULL",
				'-c', 'SELECT omendb.test_file_drop(id) FROM omendb.test_file_write(2, 1000) id', $node->connstr('postgres') ],
			'<', \undef, '>', \$out, '2>', \$err);
		my $child = store('rocksdb_pid');
		if ($event)
		{
			# what is dropped goes when a checkpoint has seen it
			if ($event =~ /^drop/)
			{
				$sealer->finish;
				sql('CHECKPOINT');
			}
			$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('$event') > 0") or die $event;
			$child = store('rocksdb_pid');
		}
		kill $signal, $child if $child;
		sql("SELECT omendb.stop_event_clear('$event')") if $event;
		is(sql('SELECT id FROM heap'), 1, "$what: others are served");
		$sealer->finish unless $event =~ /^drop/;
		# either it was sealed, or somebody said why not, and it can be
		like("$out$err", qr/^t\s|ERROR/, "$what: sealing ends");
		ok($node->poll_query_until('postgres', "SELECT omendb.seal('v', true) IS NOT NULL"), "$what: sealing is possible");
		sql('SELECT omendb.cache_reset()');
		good('v', "$what: rows are served");
		is(store('pid'), $worker, "$what: the worker is the same");
	}
}
sql('CHECKPOINT');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops') f}), 'what was dropped is gone');
crash_free($node, 'up to here');
signals('nor has one been ended by a signal');

# -- few descriptors, many sealed tables
$node->stop;
system('prlimit', '--nofile=160:160', 'pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start') == 0 or die;
$node->_update_pid(1);
my $started = sql('SELECT pg_postmaster_start_time()');
my $tables = $long ? 500 : 220;
sql(qq{DO \$\$ BEGIN FOR i IN 1..$tables LOOP
	EXECUTE format('CREATE TABLE many%s (id int, b text) USING omendb', i);
	EXECUTE format('INSERT INTO many%s SELECT g, g FROM generate_series(1, 20) g', i);
	END LOOP; END \$\$;});
sql(join("\n", map { "CALL seal_all('many$_');" } 1 .. $tables));
for my $round (1, 2)
{
	sql('SELECT omendb.cache_reset()');
	is(sql(join(' UNION ALL ', map { "SELECT sum(id) FROM many$_" } 1 .. $tables)),
		join("\n", (210) x $tables), "160 descriptors: $tables sealed tables are read");
	is(store('errors'), 0, '160 descriptors: no error was noted') if $round == 1;
	# RocksDB opens all of them anew
	kill 'KILL', store('rocksdb_pid') if $round == 1;
	$node->poll_query_until('postgres', q{SELECT state = 'ready' AND rocksdb_pid IS NOT NULL FROM omendb.store_stats()});
}
is(sql('SELECT pg_postmaster_start_time()'), $started, '160 descriptors: no restart');
make_table('w');
seal_all($node, 'w');
good('w', '160 descriptors: sealing goes on');
unlike(store('last_error'), qr/open files|Too many/, '160 descriptors: no lack of them was noted');

# -- starts with little address space: the server comes up and serves, or says why
# not; what cannot be had is an error
{
	my ($came, $served, $sealed) = (0, 0, 0);
	my $base = address_space($node->{_pid});
	my @steps = $long ? ((map { $_ * 4000 } -3 .. 2), (map { $_ * 500 } 17 .. 60), (map { $_ * 4000 } 8 .. 20)) : (-8000, 0, 8000, 16000, 24000, 48000);
	for my $kb (@steps)
	{
		$node->stop if defined $node->{_pid};
		my $offset = -s $node->logfile;
		system('prlimit', '--as=' . ($base + $kb * 1024) . ':', 'pg_ctl', '-w', '-t', 30, '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start');
		$node->_update_pid(-1);
		if (!defined $node->{_pid} || !kill(0, $node->{_pid}))
		{
			$node->{_pid} = undef;
			like(slurp_file($node->logfile, $offset), qr/FATAL|out of memory|[Cc]annot allocate/, "start with $kb kB more: the reason is logged");
			next;
		}
		$came++;
		my @errors;
		for my $query ('SELECT id FROM heap', 'SELECT count(*), sum(id) FROM t', "SELECT omendb.seal('t', true)", 'SELECT id FROM heap')
		{
			my ($rc, $out, $err) = $node->psql('postgres', $query);
			push @errors, $err if $rc != 0;
			$served++ if $rc == 0 && $query =~ /heap/;
			$sealed++ if $rc == 0 && $query =~ /count/;
		}
		unlike("@errors", qr/server closed the connection unexpectedly(?!.*FATAL)|because of crash/s, "start with $kb kB more: errors at most");
		limit($_, 'as', '') for grep { /^\d+$/ } ($node->{_pid}, split /\s+/, `pgrep -P $node->{_pid}`);
		ok($node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()}), "start with $kb kB more: the store is ready when there is memory");
		good('t', "start with $kb kB more: all rows");
	}
	note("address space: came up at $came of " . scalar(@steps) . " limits; heap queries answered: $served, sealed ones: $sealed");
	cmp_ok($served, '>=', 2, 'little address space: connections are served');
	$node->start if !defined $node->{_pid};
	signals('little address space: no process was ended by a signal', 1);
}

# -- starts with few processes: the server comes up, or does not; RocksDB's
# threads are its own affair
SKIP:
{
	skip 'limits of processes do not hold for root', 1 if $> == 0;
	my $served = 0;
	for my $more (9, 12, 16, 20, 26, 40)
	{
		$node->stop;
		my $threads = 0;
		for my $status (glob '/proc/[0-9]*/status')
		{
			my $text = eval { slurp_file($status) } // next;
			$threads += $1 if $text =~ /^Uid:\s+$>\s/m && $text =~ /^Threads:\s+(\d+)/m;
		}
		# The limit also counts what the user has in other namespaces: where can a
		# shell, which is one more, have a child?
		my $shell = $threads + 2;
		$shell++
		  while $shell < $threads + 5000
		  && system("prlimit --nproc=$shell: sh -c '(true); :' 2>/dev/null") != 0;
		my $limit = $shell - 2 + $more;
		system('prlimit', "--nproc=$limit:", 'pg_ctl', '-w', '-t', 20, '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start');
		$node->_update_pid(-1);
		next unless defined $node->{_pid};
		usleep(1_000_000);
		my ($rc, $out) = $node->psql('postgres', 'SELECT id FROM heap');
		$served++ if $rc == 0 && $out eq '1';
		if (!defined $node->{_pid} || !kill(0, $node->{_pid}))
		{
			$node->{_pid} = undef;
			next;
		}
		limit($node->{_pid}, 'nproc', '');
	}
	cmp_ok($served, '>=', 2, "few processes: connections are served (at $served of 6 limits)");
	$node->stop if defined $node->{_pid};
	$node->start;
}
$node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()});
good('t', 'all is well without limits');
signals('no process was ended by a signal');

# -- a worker that is ended by signals again and again does not take the server
# with it for ever
for my $n (1 .. 3)
{
	$node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()}) or die;
	kill 'KILL', store('pid');
	# all are disconnected
	usleep(300_000);
	$node->poll_query_until('postgres', 'SELECT true') or die;
}
ok($node->poll_query_until('postgres', q{SELECT state = 'refused' FROM omendb.store_stats()}), 'after the third time the store is refused');
my $refused = time;
like(store('reason'), qr/terminated by a signal 3 times in a row, the last time by signal 9/, 'the reason is known');
is(sql('SELECT id FROM heap'), 1, 'heap tables are served');
# (their number is in the header pages)
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT sum(id) FROM t');
like($err, qr/the omendb store cannot be used: its worker was terminated by a signal/, 'readers of sealed rows are told');
ok($node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()}), 'after a pause it is tried again');
cmp_ok(time - $refused, '>=', 1, 'which is one');
good('t', 'and used');
kill 'KILL', store('pid');
usleep(300_000);
ok($node->poll_query_until('postgres', q{SELECT state = 'refused' FROM omendb.store_stats()}), 'the fourth time');
like(store('reason'), qr/4 times in a row.*next attempt is in (9|10) s/, 'the pause is longer');

$node->stop('fast');
done_testing();
