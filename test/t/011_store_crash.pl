# The store through crashes, on standbys and in backups.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.stop_events = on
omendb.seal = off
omendb.alex_retrain = off
omendb.gc_interval = 0
omendb.trash_retention = 0
omendb.cache_size = '8MB'
restart_after_crash = off
wal_keep_size = '256MB'
wal_writer_delay = '10s'
log_min_messages = debug1
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');

sub sql { return $_[0]->safe_psql('postgres', $_[1]); }

sub leftovers
{
	my ($n) = @_;
	return join ',',
	  map { s{.*/}{}r }
	  grep { !/\.sst$/ } (glob($n->data_dir . '/omendb/sst/*'),
		glob($n->data_dir . '/omendb/marks/*'),
		glob($n->data_dir . '/omendb/drops/*'));
}

sub list
{
	my ($n, $owner) = @_;
	return split /\n/,
	  sql($n,
		"SELECT id FROM omendb.test_file_list() WHERE owner = $owner ORDER BY id");
}

# Wait until no tombstone is left; they wait for a checkpoint, on a standby for a
# restartpoint after one that its primary has made.
sub settle
{
	my ($n, $of) = @_;
	if (defined $of)
	{
		sql($of, 'CHECKPOINT');
		$of->wait_for_catchup($n);
	}
	sql($n, 'CHECKPOINT');
	$n->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops')")
	  or die 'tombstones stay';
}

# Wait until RocksDB has all files
sub ingested
{
	my ($n) = @_;
	my ($files, $have);
	for (1 .. 1000)
	{
		$files = () = glob($n->data_dir . '/omendb/sst/*.sst');
		$have = () = glob($n->data_dir . '/omendb/pgsql_tmp_rocksdb/*.sst');
		return if $files == $have;
		usleep(10_000);
	}
	die "RocksDB has $have of $files files";
}

# -- the process dies at each boundary of publishing a file
my ($keep) = split /\n/, sql($node, 'SELECT omendb.test_file_write(20, 50000, 99)');
my $owner = 0;
for my $case (
	[ 'file-before-log', 0 ],
	[ 'file-between-records', 0 ],
	[ 'file-after-log', 1 ],
	[ 'file-after-rename', 1 ],
	[ 'file-before-ingest', 1 ],
	[ 'ingest-before-rocksdb', 1 ])
{
	my ($event, $there) = @$case;
	$owner++;
	# of this file, not of those that were there at the start
	ingested($node) if $event eq 'ingest-before-rocksdb';
	sql($node, "SELECT omendb.stop_event_set('$event', 'kill')");
	my ($ret) = $node->psql('postgres',
		"SELECT omendb.test_file_write(20, 50000, $owner)");
	isnt($ret, 0, "$event: killed");
	$node->stop('immediate', fail_ok => 1);
	$node->_update_pid(0);
	$node->start;
	my @ids = list($node, $owner);
	is(scalar(@ids), $there, "$event: file is " . ($there ? '' : 'not ') . 'there');
	is(sql($node, "SELECT omendb.test_file_read('$ids[0]', 20, 50000, $owner)"),
		20, "$event: it is right")
	  if $there;
	is(leftovers($node), '', "$event: nothing is left over");
}

# -- and of dropping one
for my $event ('drop-after-log', 'drop-before-unlink')
{
	$owner++;
	my $id = sql($node, "SELECT omendb.test_file_write(2, 500000, $owner)");
	sql($node, "SELECT omendb.stop_event_set('$event', 'kill')");
	$node->psql('postgres', $_) for "SELECT omendb.test_file_drop('$id')", 'CHECKPOINT', 'SELECT pg_sleep(5)';
	$node->stop('immediate', fail_ok => 1);
	$node->_update_pid(0);
	$node->start;
	# nothing has been flushed when the drop has not come to its end
	sql($node, "SELECT omendb.test_file_drop('$id')") if $event eq 'drop-after-log';
	settle($node);
	is(scalar(list($node, $owner)), 0, "$event: dropped after the crash");
	is(sql($node, "SELECT omendb.test_file_read('$id', 2, 500000, $owner)"),
		-1, "$event: not there");
	is(leftovers($node), '', "$event: nothing is left over");
}

# -- a tombstone whose record recovery does not find is void, and so are all of
# them after pg_resetwal
{
	$owner++;
	my $id = sql($node, "SELECT omendb.test_file_write(2, 500000, $owner)");
	my $drops = $node->data_dir . '/omendb/drops';
	sql($node, 'CHECKPOINT');
	sql($node, "SELECT omendb.test_file_drop('$id')");
	my ($tombstone) = glob("$drops/$id-*.drop");
	ok(defined $tombstone, 'there is a tombstone');
	# the record has not been flushed: recovery ends before it
	$node->stop('immediate');
	append_to_file($tombstone =~ s/-[0-9a-f]{16}-/-0123456789abcdef-/r, '');
	$node->start;
	is(join(',', glob("$drops/*")), '', 'later ones, and those of other clusters, are void');
	sql($node, 'CHECKPOINT');
	sql($node, "SELECT omendb.test_file_drop('$id'); SELECT pg_switch_wal()");
	ok(-e (glob("$drops/$id-*.drop"))[0], 'there is another one');
	$node->stop('immediate');
	system_or_bail('pg_resetwal', '-f', '-D', $node->data_dir);
	$node->start;
	is(join(',', glob("$drops/*")), '', 'pg_resetwal: all are void');
	sql($node, 'CHECKPOINT');
	usleep(1_200_000);
	is(sql($node, "SELECT omendb.test_file_read('$id', 2, 500000, $owner)"), 2, 'the file is there');
	# recovery puts back the tombstone whose record it finds
	sql($node, "SELECT omendb.test_file_drop('$id'); SELECT pg_switch_wal()");
	$node->stop('immediate');
	$node->start;
	settle($node);
	is(sql($node, "SELECT omendb.test_file_read('$id', 2, 500000, $owner)"), -1, 'dropped');
	is(leftovers($node), '', 'nothing is left over');
}

# -- errors at the same places leave nothing behind (but for file-after-log,
# where none can arise: interrupts are held off)
for my $event ('file-before-log', 'file-between-records',
	'file-after-rename', 'file-before-ingest')
{
	$owner++;
	sql($node, "SELECT omendb.stop_event_set('$event', 'error')");
	my ($ret, $out, $err) = $node->psql('postgres',
		"SELECT omendb.test_file_write(2, 500000, $owner)");
	like($err, qr/stopped at stop event "$event"/, "$event: error");
	sql($node, "SELECT omendb.stop_event_clear('$event')");
	settle($node);
	is(scalar(list($node, $owner)), 0, "$event: no file after an error");
	is(leftovers($node), '', "$event: nothing is left over");
}

# -- a checkpoint waits for the file; recovery from between its records
for my $dropped (0, 1)
{
	$owner++;
	sql($node, "SELECT omendb.stop_event_set('file-between-records', 'wait', 1)");
	my $writer = $node->background_psql('postgres');
	$writer->query_until(qr/begun/,
		"\\echo begun\nSELECT omendb.test_file_write(20, 200000, $owner);\n");
	$node->poll_query_until('postgres',
		"SELECT omendb.stop_event_waiting('file-between-records') = 1")
	  or die 'does not stop';
	my $checkpoint = $node->background_psql('postgres');
	$checkpoint->query_until(qr/begun/, "\\echo begun\nCHECKPOINT;\nSELECT 'checkpoint done';\n");
	usleep(1_000_000);
	is( sql($node,
			"SELECT count(*) FROM pg_stat_activity WHERE query = 'CHECKPOINT;'"),
		1,
		'the checkpoint waits');
	sql($node, "SELECT omendb.stop_event_clear('file-between-records')");
	$writer->query_safe('SELECT 1');
	$writer->quit;
	$checkpoint->query_safe('SELECT 1');
	$checkpoint->quit;
	my ($id) = list($node, $owner);
	if ($dropped)
	{
		# flushed, without a checkpoint
		sql($node, "SELECT omendb.test_file_drop('$id'); SELECT pg_switch_wal()");
	}
	$node->stop('immediate');
	my $offset = -s $node->logfile;
	$node->start;
	settle($node);
	like(
		slurp_file($node->logfile, $offset),
		qr/ignored the tail of "omendb.sst.$id/,
		'recovery has seen the end of the file only');
	is( sql($node, "SELECT omendb.test_file_read('$id', 20, 200000, $owner)"),
		$dropped ? -1 : 20,
		'recovery from the middle of its records, dropped: ' . $dropped);
	is(leftovers($node), '', 'nothing is left over');
}

# -- SIGKILL of the store restarts the server
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
my $store = sql($node, 'SELECT pid FROM omendb.store_stats()');
kill 'KILL', $store;
$node->poll_query_until('postgres',
	"SELECT state = 'ready' AND pid <> $store FROM omendb.store_stats()")
  or die 'store does not come back';
is(sql($node, "SELECT omendb.test_file_read('$keep', 20, 50000, 99)"),
	20, 'the store was killed and is back');

# -- standby
$node->backup('first');
ok(!-e $node->backup_dir . '/first/omendb/pgsql_tmp_rocksdb',
	'a base backup has no RocksDB');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'first', has_streaming => 1);
$standby->start;
is(sql($standby, "SELECT omendb.test_file_read('$keep', 20, 50000, 99)"),
	20, 'standby reads what the backup had');
my ($new) = split /\n/, sql($node, 'SELECT omendb.test_file_write(20, 50000, 50)');
my ($new2) = split /\n/, sql($node, 'SELECT omendb.test_file_write(20, 50000, 50)');
$node->wait_for_catchup($standby);
is(sql($standby, "SELECT omendb.test_file_read('$new', 20, 50000, 50)"),
	20, 'standby reads what was streamed');
is(leftovers($standby), '', 'standby: nothing is left over');

# a sealer gives up half-way: the standby keeps the pieces for a while only
sql($node, "SELECT omendb.stop_event_set('file-between-records', 'error')");
$node->psql('postgres', 'SELECT omendb.test_file_write(20, 50000, 50)');
sql($node, "SELECT omendb.stop_event_clear('file-between-records')");
sql($node, 'CHECKPOINT');
$node->wait_for_catchup($standby);
like(leftovers($standby), qr/^[0-9a-f]{32}\.redo$/, 'standby: a part of a file');
sql($standby, 'CHECKPOINT');
sql($node, 'SELECT omendb.test_file_write(20, 50000, 55)');
$node->wait_for_catchup($standby);
is(leftovers($standby), '', 'standby: the part has gone');

sql($node, "SELECT omendb.test_file_owner('$new', 51, true), omendb.test_file_owner('$new', 50, false); SELECT pg_switch_wal()");
$node->wait_for_catchup($standby);
is(join(',', list($standby, 51)), $new, 'standby: owner added');
is(join(',', list($standby, 50)), $new2, 'standby: owner removed');

my $reader = $standby->background_psql('postgres');
$reader->query_safe('BEGIN');
is($reader->query_safe("SELECT omendb.test_file_hold('$new', 3, 51)"),
	3, 'a standby session uses the row group');
sql($node, "SELECT omendb.test_file_drop('$new')");
$node->wait_for_catchup($standby);
settle($node);
$node->wait_for_catchup($standby);
sql($standby, 'CHECKPOINT');
usleep(1_000_000);
is(scalar(grep { /$new/ } glob($standby->data_dir . '/omendb/sst/*')),
	1, 'standby: the file stays as long as it is in use');
$reader->query_safe('ROLLBACK');
settle($standby, $node);
is(scalar(grep { /$new/ } glob($standby->data_dir . '/omendb/sst/*')),
	0, 'standby: and goes then');
$reader->quit;

# the standby is killed and replays again
$node->safe_psql('postgres', 'CHECKPOINT');
my ($new3) = split /\n/, sql($node, 'SELECT omendb.test_file_write(20, 50000, 52)');
$node->wait_for_catchup($standby);
$standby->stop('immediate');
$standby->start;
$node->wait_for_catchup($standby);
is(sql($standby, "SELECT omendb.test_file_read('$new3', 20, 50000, 52)"),
	20, 'standby: replayed once more');
is(leftovers($standby), '', 'standby: nothing is left over');
sql($node, "SELECT omendb.stop_event_set('file-between-records', 'error')");
$node->psql('postgres', 'SELECT omendb.test_file_write(20, 50000, 50)');
sql($node, "SELECT omendb.stop_event_clear('file-between-records')");
sql($node, 'CHECKPOINT');
$node->wait_for_catchup($standby);
isnt(leftovers($standby), '', 'standby: another part of a file');
$standby->promote;
is(leftovers($standby), '', 'promoted: it has gone');
is(sql($standby, "SELECT omendb.test_file_read(omendb.test_file_write(20, 50000, 60), 20, 50000, 60)"),
	20, 'a promoted standby writes');
$standby->stop;

# -- a base backup while files come and go
my $busy = $node->background_psql('postgres');
$busy->query_until(
	qr/begun/, q{\echo begun
DO $$
DECLARE
	a text[];
BEGIN
	FOR i IN 1 .. 60 LOOP
		a := a || (SELECT omendb.test_file_write(4, 100000, 70));
		IF i % 3 = 0 THEN
			PERFORM omendb.test_file_drop(a[1]);
			a := a[2:];
		END IF;
	END LOOP;
END $$;
});
$node->backup('busy');
$busy->query_safe('SELECT 1');
$busy->quit;
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'busy');
$restored->start;
settle($restored);
is( sql($restored,
		"SELECT count(*) = count(*) FILTER (WHERE omendb.test_file_read(id, 4, 100000, 70) = 4) FROM omendb.test_file_list() WHERE owner = 70"
	),
	't',
	'every file of the restored server is right');
is(sql($restored, "SELECT omendb.test_file_read('$keep', 20, 50000, 99)"),
	20, 'older ones too');
$restored->stop;
$node->stop;
done_testing();
