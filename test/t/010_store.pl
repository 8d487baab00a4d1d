# The store without tables: files, cache, worker, owners, tombstones.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.stop_events = on
omendb.seal = off
omendb.alex_retrain = off
omendb.gc_interval = 0
omendb.cache_size = '4MB'
max_connections = 60
log_min_messages = warning
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
my $data = $node->data_dir;

sub stat_of
{
	my ($column) = @_;
	return $node->safe_psql('postgres',
		"SELECT $column FROM omendb.store_stats(), omendb.cache_stats() c(size_bytes, used_bytes, chunks, hits, misses, cache_loads, prefetches, evictions, private_copies)"
	);
}

sub write_file
{
	my ($chunks, $size, $owner, $files) = @_;
	$owner //= 0;
	$files //= 1;
	return split /\n/,
	  $node->safe_psql('postgres',
		"SELECT omendb.test_file_write($chunks, $size, $owner, $files)");
}

sub read_file
{
	my ($id, $chunks, $size, $rest) = @_;
	$rest //= '';
	return $node->safe_psql('postgres',
		"SELECT omendb.test_file_read('$id', $chunks, $size$rest)");
}

sub sst_files
{
	opendir(my $dh, "$data/omendb/sst") or die "$!";
	my @names = grep { !/^\./ } readdir $dh;
	closedir $dh;
	return @names;
}

# -- the folder
is(sprintf('%04o', (stat "$data/omendb")[2] & 07777), '0700', 'folder mode');
is(sprintf('%04o', (stat "$data/omendb/sst")[2] & 07777),
	'0700', 'sst folder mode');
like(
	slurp_file("$data/omendb/omendb.control"),
	qr/^format_version = 3\nsystem_identifier = \d+\nrow_group_blocks = 1024\n/m,
	'control file');

# -- round trips
my ($id) = write_file(40, 20000);
is(read_file($id, 40, 20000), 40, 'round trip');
is(read_file($id, 40, 20000), 40, 'round trip from the cache');
my ($sst) = sst_files();
is(sprintf('%04o', (stat "$data/omendb/sst/$sst")[2] & 07777),
	'0600', 'file mode');
like($sst, qr/^$id-1663-\d+-4000000000-0\.sst$/, 'file name');
for my $size (0, 1, 127, 128, 65536, 1000003)
{
	my ($other) = write_file(3, $size);
	is(read_file($other, 3, $size), 3, "round trip of $size bytes");
}
is( $node->safe_psql(
		'postgres',
		'SELECT omendb.test_process_threads() FROM (SELECT omendb.test_file_write(3, 100000)) s'
	),
	1,
	'writing starts no threads');

# neither a backend nor the store's worker has a thread, or RocksDB, which may throw
my $store_pid = $node->safe_psql('postgres', 'SELECT pid FROM omendb.store_stats()');
SKIP:
{
	skip 'no /proc', 4 unless -d "/proc/$store_pid/task";
	my @tasks = glob("/proc/$store_pid/task/*");
	is(scalar(@tasks), 1, 'the store has no threads');
	unlike(slurp_file("/proc/$store_pid/maps"), qr/librocksdb/,
		'nor RocksDB');
	my $rocks_pid = $node->safe_psql('postgres', 'SELECT rocksdb_pid FROM omendb.store_stats()');
	like(slurp_file("/proc/$rocks_pid/maps"), qr/librocksdb/, 'RocksDB has a process');
	unlike(slurp_file("/proc/$rocks_pid/maps"), qr{omendb\.so|/dev/zero|SYSV|PostgreSQL},
		'that shares no memory');
}

# a chunk larger than the cache is a private copy
my ($big) = write_file(2, 6 * 1024 * 1024);
my $copies = stat_of('private_copies');
is(read_file($big, 2, 6 * 1024 * 1024), 2, 'chunk larger than the cache');
is(stat_of('private_copies') - $copies, 2, 'private copies');

# -- eviction
my ($wide) = write_file(60, 300000);
for my $scan ('false', 'true')
{
	is(read_file($wide, 60, 300000, ", 0, $scan"),
		60, "more chunks than fit, scan $scan");
	is(read_file($wide, 60, 300000, ", 0, $scan, 4"),
		60, "with read-ahead, scan $scan");
}
cmp_ok(stat_of('evictions'), '>', 100, 'evictions');
cmp_ok(stat_of('used_bytes'), '<=', 4 * 1024 * 1024, 'cache stays in its size');
cmp_ok(stat_of('used_bytes'), '>', 2 * 1024 * 1024, 'cache is used');
cmp_ok(stat_of('prefetches'), '>', 0, 'prefetches');

# a scan leaves alone what others use
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(stat_of('used_bytes'), 0, 'cache_reset empties the cache');
is(read_file($id, 40, 20000), 40, 'hot set');
is(read_file($wide, 60, 300000, ', 0, true'), 60, 'scan');
my $misses = stat_of('misses');
is(read_file($id, 40, 20000), 40, 'hot set again');
is(stat_of('misses'), $misses, 'the scan has not pushed it out');

# everything pinned: private copies, not errors
my $pinner = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
$pinner->query_safe('BEGIN');
my $shared = $pinner->query_safe("SELECT omendb.test_file_hold('$wide', 30)");
cmp_ok($shared, '<', 30, 'not all pinned chunks fit');
cmp_ok($shared, '>=', 8, 'but some do');
is(read_file($id, 40, 20000), 40, 'everything pinned: small chunks');
is(read_file($wide, 60, 300000), 60, 'everything pinned: large chunks');
$pinner->query_safe('ROLLBACK');
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(stat_of('used_bytes'), 0, 'the end of the transaction has released all');

# an error releases pins and registrations too
$pinner->query('BEGIN; SAVEPOINT a');
$pinner->query("SELECT omendb.test_file_hold('$wide', 5)");
$pinner->query('SELECT 1/0');
$pinner->{stderr} = '';
$pinner->query('ROLLBACK');
$pinner->{stderr} = '';
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(stat_of('used_bytes'), 0, 'an error has released all');

# so does the end of the process
$pinner->query_safe('BEGIN');
$pinner->query_safe("SELECT omendb.test_file_hold('$wide', 5)");
my $pid = $pinner->query_safe('SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
$pinner->{run}->kill_kill;
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(stat_of('used_bytes'), 0, 'termination has released all');

# -- many want one chunk: one load
my $loads = stat_of('cache_loads');
$node->safe_psql('postgres',
	"SELECT omendb.stop_event_set('cache-before-load', 'wait')");
my @sessions;
for my $i (1 .. 20)
{
	my $session = $node->background_psql('postgres');
	$session->query_until(qr/begun/,
		"\\echo begun\nSELECT omendb.test_file_read('$id', 1, 20000);\n");
	push @sessions, $session;
}
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = 20 FROM pg_stat_activity WHERE wait_event IN ('OmendbChunkLoad', 'DataFileRead') AND query ~ 'test_file_read'"
	),
	'20 sessions wait');

# one more is cancelled meanwhile
my ($ret, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = 300; SELECT omendb.test_file_read('$id', 1, 20000)"
);
like($err, qr/canceling statement due to statement timeout/,
	'cancelled in mid-fetch');
($ret, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = 300; SELECT omendb.test_file_write(1, 100)");
like($err, qr/canceling statement due to statement timeout/,
	'cancelled in mid-ingest');
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('cache-before-load')");
my $right = 0;
for my $session (@sessions)
{
	$right += $session->query_safe('SELECT 1');
	$session->quit;
}
is($right, 20, '20 sessions have gone on');
is(stat_of('cache_loads') - $loads, 1, 'one load');
is(read_file($id, 40, 20000), 40, 'fetch after the cancelled one');

# -- the store is terminated while somebody waits
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
$node->safe_psql('postgres',
	"SELECT omendb.stop_event_set('cache-before-load', 'wait')");
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/begun/,
	"\\echo begun\nSELECT omendb.test_file_read('$id', 1, 20000);\n");
$node->poll_query_until('postgres',
	"SELECT omendb.stop_event_waiting('cache-before-load') = 1")
  or die 'nobody waits';
my $starts = stat_of('starts');
$node->safe_psql('postgres',
	'SELECT pg_terminate_backend((SELECT pid FROM omendb.store_stats()))');
$waiter->query("SELECT 'flush'");
like(
	$waiter->{stderr},
	qr/the omendb store is shutting down/,
	'waiting session gets an error');
$waiter->{stderr} = '';
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('cache-before-load')");
$waiter->quit;
is(read_file($id, 40, 20000), 40, 'the restarted store serves');
is(stat_of('starts'), $starts + 1, 'it was restarted once');

# -- tombstones spare what is in use
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe("SELECT omendb.test_file_hold('$wide', 1)");
$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$wide')");
usleep(700_000);
cmp_ok(stat_of('waiting_drops'), '>', 0, 'a tombstone waits for a checkpoint');
$node->safe_psql('postgres', 'CHECKPOINT');
usleep(1_200_000);
is(read_file($wide, 60, 300000), 60, 'dropped, but in use: still there');
my $tombstone = (glob("$data/omendb/drops/$wide-*.drop"))[0];
ok(defined $tombstone, 'tombstone waits');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM omendb.test_file_list() WHERE id = '$wide'"),
	0,
	'no longer listed');
$holder->query_safe('ROLLBACK');
ok( $node->poll_query_until(
		'postgres', "SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops') f WHERE f ~ '$wide'"),
	'dropped when released');
$holder->quit;
ok(!-e $tombstone, 'tombstone has gone');
is((grep { /^$wide/ } sst_files()) + 0, 0, 'file has gone');
$node->poll_query_until('postgres', 'SELECT trash_files > 0 FROM omendb.store_stats()')
  or die 'not in the trash';
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(read_file($wide, 60, 300000), 60, 'whoever asks for it gets it back from the trash');
$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$wide')");
$node->safe_psql('postgres', 'CHECKPOINT');
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops')");
$node->poll_query_until('postgres', 'SELECT trash_files > 0 FROM omendb.store_stats()')
  or die 'not in the trash';
cmp_ok($node->safe_psql('postgres', 'SELECT omendb.empty_trash()'), '>', 0, 'the trash is emptied');
is($node->safe_psql('postgres', 'SELECT trash_files, trash_bytes FROM omendb.store_stats()'),
	'0|0', 'and empty');
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is(read_file($wide, 1, 300000), -1, 'missing');
$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$wide')");
# what has not been counted there, as after a start, comes back as well
my ($uncounted) = write_file(1, 1000, 11);
my ($file) = glob("$data/omendb/sst/$uncounted-*.sst");
rename($file, $file =~ s{/sst/}{/pgsql_tmp_trash/}r) or die "rename: $!";
is(stat_of('trash_files'), 0, 'a file in the trash that has not been counted');
# who comes before the next worker has looked around
is($node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid, 20000) FROM omendb.store_stats(); SELECT omendb.test_file_read('$uncounted', 1, 1000)"),
	"t\n1", 'is found there');
ok(-e $file, 'and put back');

# -- owners
my ($owned) = write_file(2, 1000, 7);
my $owners =
  "SELECT string_agg(owner::text, ',' ORDER BY owner) FROM omendb.test_file_list() WHERE id = '$owned'";
$node->safe_psql('postgres',
	"SELECT omendb.test_file_owner('$owned', 8, true), omendb.test_file_owner('$owned', 9, true)"
);
is($node->safe_psql('postgres', $owners), '7,8,9', 'three owners');
$node->safe_psql('postgres', "SELECT omendb.test_file_owner('$owned', 7, false)");
$node->safe_psql('postgres', "SELECT omendb.test_file_owner('$owned', 8, false)");
is($node->safe_psql('postgres', $owners), '9', 'one is left');
$node->restart;
is($node->safe_psql('postgres', $owners), '9', 'also after a restart');
is(read_file($owned, 2, 1000), 2, 'still readable');
$node->restart;
$node->restart;
$node->poll_query_until('postgres',
	"SELECT state = 'ready' FROM omendb.store_stats()");
cmp_ok(scalar(() = glob("$data/omendb/pgsql_tmp_rocksdb/*.log")),
	'<=', 2, 'no logs pile up');
cmp_ok(scalar(() = glob("$data/omendb/pgsql_tmp_rocksdb/*.dbtmp")),
	'<=', 2, 'no files of options pile up');
is(-s "$data/omendb/pgsql_tmp_rocksdb/LOG", 0, 'RocksDB writes no log');
$node->safe_psql('postgres', "SELECT omendb.test_file_owner('$owned', 7, true)");
is($node->safe_psql('postgres', $owners), '7,9', 'the first one is back');
$node->safe_psql('postgres', "SELECT omendb.test_file_owner('$owned', 9, false)");
$node->safe_psql('postgres', "SELECT omendb.test_file_owner('$owned', 7, false)");
is($node->safe_psql('postgres', $owners), '', 'none: dropped');
$node->safe_psql('postgres', 'CHECKPOINT');
ok( $node->poll_query_until(
		'postgres', "SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops')"),
	'and deleted');
is(join(',', glob("$data/omendb/marks/*")), '', 'no marks are left');

# -- many files; start with them
my @many = write_file(2, 100, 1, 400);
is(scalar(@many), 400, '400 files');
$node->restart;
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM omendb.test_file_list() l WHERE owner = 1 AND omendb.test_file_read(l.id, 2, 100, 1) = 2"
	),
	400,
	'all are there after a restart');

# -- privileges
$node->safe_psql('postgres', 'CREATE ROLE mere; CREATE ROLE watcher; GRANT pg_monitor TO watcher');
for my $call ('omendb.store_stats()', 'omendb.cache_stats()',
	'omendb.cache_reset()', 'omendb.test_file_list()')
{
	($ret, $out, $err) =
	  $node->psql('postgres', "SET ROLE mere; SELECT $call");
	like($err, qr/permission denied for function/, "$call needs privileges");
}
# (the worker has just been started)
$node->poll_query_until('postgres', "SELECT state = 'ready' FROM omendb.store_stats()")
  or die 'the store is not ready';
is( $node->safe_psql('postgres',
		"SET ROLE watcher; SELECT state FROM omendb.store_stats()"),
	'ready',
	'pg_monitor may look');

$node->stop;
$node->append_conf('postgresql.conf', 'omendb.stop_events = off');
$node->start;
($ret, $out, $err) =
  $node->psql('postgres', 'SELECT omendb.test_file_write(1, 1)');
like($err, qr/test functions are disabled/, 'test functions are refused');

$node->stop;
done_testing();
