# Bad input from outside: a store that is missing, unreadable, of another
# cluster or of another row group size, damaged files, too few workers, a
# cancelled fetch, a terminated store.  Each time one clear error, and a server
# that lives and works again when the cause is gone.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Copy qw(copy);
use File::Path qw(rmtree);
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $rows = 2000;
my $node = omen_node('bad', 'restart_after_crash' => 'on');
make_twins($node, $rows);
seal_all($node, 'acct');
$node->safe_psql('postgres', 'CREATE TABLE plain (id int); INSERT INTO plain VALUES (1)');
$node->safe_psql('postgres', "CREATE TABLE hot (id int PRIMARY KEY) USING omendb; INSERT INTO hot SELECT generate_series(1, 100)");
my $store = $node->data_dir . '/omendb';

# A statement must fail with a message like that; nothing else may suffer.
sub fails_like
{
	my ($what, $sql, $pattern) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql, timeout => 60);
	isnt($rc, 0, "$what: refused");
	like($err, $pattern, "$what: the message");
	unlike($err, qr/server closed|terminated|PANIC|crash/, "$what: the server lives");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM plain'), '1', "$what: other tables work");
	return $err;
}

my $read = 'SELECT count(*), sum(length(note)) FROM acct';
my $good = $node->safe_psql('postgres', $read);

sub works_again
{
	my ($what) = @_;
	my $got;
	# the worker may need a moment to start
	for (1 .. 100)
	{
		my ($rc, $out) = $node->psql('postgres', $read, timeout => 60);
		$got = $out;
		last if $rc == 0;
		usleep(100_000);
	}
	is($got, $good, "$what: works again");
	compare_twins($node, $what);
	return;
}

# ---- damaged files: the error names relation, row group and file ---------

my @ids = stored_ids($node);
cmp_ok(scalar(@ids), '>=', 3, 'there are several row groups');
my ($file) = glob("$store/sst/$ids[1]*.sst");
ok(-f $file, 'the file of a row group');
my $saved = slurp_file($file);

sub put
{
	my ($bytes) = @_;
	# in place, as a disk would damage it: the store may have hard links
	open(my $fh, '+<', $file) or die "$file: $!";
	binmode $fh;
	truncate($fh, length $bytes);
	print $fh $bytes;
	close $fh;
	return;
}

# one bit in the middle of each tenth of the file, one at a time
my $refused = 0;
for my $part (0 .. 9)
{
	my $bytes = $saved;
	my $at = int(length($bytes) * ($part + 0.5) / 10);
	substr($bytes, $at, 1) = chr(ord(substr($bytes, $at, 1)) ^ 0x10);
	$node->stop;
	put($bytes);
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', $read, timeout => 60);
	if ($rc == 0)
	{
		# a byte that nothing depends on, or that the store could restore
		is($out, $good, "flipped bit at $at: the right answer");
	}
	else
	{
		$refused++;
		like($err, qr/acct/, "flipped bit at $at: names the relation");
		like($err, qr/$ids[1]/, "flipped bit at $at: names the row group");
	}
	my ($rest) = $node->safe_psql('postgres', 'SELECT count(*) FROM hot');
	is($rest, '100', "flipped bit at $at: other tables work");
}
cmp_ok($refused, '>=', 5, 'most flipped bits are found');

$node->stop;
put(substr($saved, 0, int(length($saved) / 2)));
$node->start;
my $err = fails_like('truncated file', $read, qr/row group $ids[1].*acct|acct.*$ids[1]/s);
is( $node->safe_psql('postgres', 'SELECT damaged_row_groups FROM omendb.store_stats()'),
	'1', 'truncated file: counted in store_stats()');

# the rest of the table can be read
my $others = $node->safe_psql('postgres',
	"SELECT count(*) FROM omendb.row_groups('acct') WHERE id IS NOT NULL");
cmp_ok($others, '>', 1, 'truncated file: the list of row groups is there');
my $one = $node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT id FROM acct WHERE id = 1');
is($one, '1', 'truncated file: rows of other row groups can be read');

$node->stop;
unlink $file;
$node->start;
fails_like('missing file', $read, qr/row group $ids[1] of relation.*missing|missing.*$ids[1]/s);
$node->stop;
open(my $fh, '>', $file) or die;
binmode $fh;
print $fh $saved;
close $fh;
chmod 0600, $file;
$node->start;
works_again('file restored');

# ---- damaged header page: refused, not acted upon --------------------------

my $heapfile = $node->data_dir . '/'
	. $node->safe_psql('postgres', "SELECT pg_relation_filepath('acct')");

# Put bytes at a place of the table's first page; returns what was there.
sub poke
{
	my ($at, $bytes) = @_;
	my $old;
	$node->stop;
	open(my $fh, '+<', $heapfile) or die "$heapfile: $!";
	binmode $fh;
	seek($fh, $at, 0);
	read($fh, $old, length $bytes);
	seek($fh, $at, 0);
	print $fh $bytes;
	close $fh;
	$node->start;
	return $old;
}

# after the page header and OmenColdPageData
my $group = 24 + 16;
for my $field ([ 'count of cold pages', 26, 1 ], [ 'length', 30, 30000 ])
{
	my ($name, $at, $value) = @$field;
	my $old = poke($group + $at, pack('S', $value));
	fails_like("damaged $name, read", $read,
		qr/header page 0 of relation "acct" is damaged/);
	fails_like("damaged $name, update", 'UPDATE acct SET v = v WHERE id = 1',
		qr/header page 0 of relation "acct" is damaged/);
	poke($group + $at, $old);
	works_again("$name put back");
}

# deleted under a running server
unlink $file;
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
my ($rc, $out);
($rc, $out, $err) = $node->psql('postgres', $read, timeout => 60);
if ($rc == 0) { is($out, $good, 'file deleted under the server: its link still serves'); }
else { like($err, qr/$ids[1]/, 'file deleted under the server: named'); }
$node->stop;
open($fh, '>', $file) or die;
binmode $fh;
print $fh $saved;
close $fh;
chmod 0600, $file;
$node->start;
works_again('file put back');

# garbage among the files is left alone and harms nothing
append_to_file("$store/sst/readme.txt", 'what is this?');
append_to_file("$store/sst/" . ('0' x 32) . '-1663-5-99999-0.sst', 'no sst file');
$node->restart;
works_again('strange files in the store');
unlink "$store/sst/readme.txt", "$store/sst/" . ('0' x 32) . '-1663-5-99999-0.sst';

# RocksDB's own folder damaged or gone: rebuilt from the files
$node->stop;
rmtree("$store/pgsql_tmp_rocksdb");
$node->start;
works_again('RocksDB\'s folder removed');
$node->stop;
foreach my $name (glob("$store/pgsql_tmp_rocksdb/MANIFEST*"), glob("$store/pgsql_tmp_rocksdb/CURRENT"))
{
	open($fh, '>', $name) or die;
	print $fh "garbage\n";
	close $fh;
}
$node->start;
works_again('RocksDB\'s manifest damaged');

# ---- the whole store -----------------------------------------------------

$node->stop;
rename $store, "$store.away" or die;
$node->start;
fails_like('store missing', $read, qr/missing|store/);
is($node->safe_psql('postgres', 'SELECT count(*) FROM hot'), '100', 'store missing: tables without sealed rows work');
$node->safe_psql('postgres', 'INSERT INTO hot SELECT generate_series(1001, 1100)');
$node->stop;
rmtree($store);
rename "$store.away", $store or die;
$node->start;
works_again('store back');
$node->safe_psql('postgres', 'DELETE FROM hot WHERE id > 1000');

SKIP:
{
	skip 'root reads everything', 6 if $> == 0;
	$node->stop;
	chmod 0000, $store;
	my $started = $node->start(fail_ok => 1);
	if ($started)
	{
		fails_like('store unreadable', $read, qr/[Pp]ermission denied|cannot be used/);
		is($node->safe_psql('postgres', 'SELECT count(*) FROM hot'), '100', 'store unreadable: hot tables work');
		$node->stop;
	}
	else
	{
		like(slurp_file($node->logfile), qr/omendb.*[Pp]ermission denied/s, 'store unreadable: the server says so');
	}
	chmod 0700, $store;
	$node->start;
	works_again('store readable again');
}

# another row group size
$node->stop;
$node->append_conf('postgresql.conf', 'omendb.row_group_blocks = 16');
my $log_at = -s $node->logfile;
my $started = $node->start(fail_ok => 1);
if ($started)
{
	fails_like('another row group size', $read, qr/created with row groups of 4 blocks, but omendb.row_group_blocks is 16/);
	$node->stop;
}
else
{
	like(slurp_file($node->logfile, $log_at), qr/created with row groups of 4 blocks, but omendb.row_group_blocks is 16/,
		'another row group size: the log says so');
}
$node->append_conf('postgresql.conf', 'omendb.row_group_blocks = 4');
$node->start;
works_again('the right row group size');

# the store of another cluster
my $other = omen_node('other');
$other->safe_psql('postgres', 'CREATE TABLE x (id int) USING omendb; INSERT INTO x SELECT generate_series(1, 3000)');
seal_all($other, 'x');
$other->stop;
$node->stop;
rename $store, "$store.away" or die;
rename $other->data_dir . '/omendb', $store or die;
$log_at = -s $node->logfile;
$started = $node->start(fail_ok => 1);
if ($started)
{
	fails_like('store of another cluster', $read, qr/another|system identifier|cluster|cannot be used/);
	$node->stop;
}
else
{
	like(slurp_file($node->logfile, $log_at), qr/another|system identifier/, 'store of another cluster: the log says so');
}
rename $store, $other->data_dir . '/omendb' or die;
rename "$store.away", $store or die;
$node->start;
works_again('the own store');

# ---- workers -------------------------------------------------------------

$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->start;
fails_like('max_worker_processes = 0', "SELECT omendb.cache_reset(); $read",
	qr/background worker "omendb store" is not running.*max_worker_processes/s);
is($node->safe_psql('postgres', 'SELECT count(*) FROM hot'), '100', 'max_worker_processes = 0: hot tables work');
$node->stop;
# (the logical replication launcher takes one)
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->start;
works_again('max_worker_processes = 2');
$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$node->start;

# terminate the store: it comes back
my $pid = $node->safe_psql('postgres', 'SELECT pid FROM omendb.store_stats()');
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'the store is terminated');
works_again('store terminated');
ok( $node->poll_query_until('postgres', "SELECT pid <> $pid AND pid > 0 FROM omendb.store_stats()"),
	'store terminated: a new one runs');
# while somebody waits for it
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
$node->safe_psql('postgres', "SELECT omendb.stop_event_set('cache-before-load', 'wait')");
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/going/, "\\echo going\n$read;\n");
ok($node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('cache-before-load') > 0"), 'a load stands still in the store');

# a cancelled query in the middle of a fetch
my $second = $node->background_psql('postgres', on_error_stop => 0);
$second->query_until(qr/going/, "\\echo going\n$read;\n\\echo after\n");
usleep(300_000);
$node->safe_psql('postgres', "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%length(note)%' AND pid <> pg_backend_pid() AND state = 'active'");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%length(note)%' AND pid <> pg_backend_pid() AND state = 'active'"),
	'both queries that wait for the store are cancelled');
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('cache-before-load')");
is($waiter->query($read), $good, 'the first session can read');
like($second->query($read), qr/\Q$good\E/, 'the second session too');
$waiter->quit;
$second->quit;
works_again('after the cancelled queries');

# terminated while it stands in a load
$node->safe_psql('postgres', 'SELECT omendb.cache_reset()');
$node->safe_psql('postgres', "SELECT omendb.stop_event_set('cache-before-load', 'wait')");
$waiter = $node->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/going/, "\\echo going\n$read;\n");
$node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('cache-before-load') > 0");
$pid = $node->safe_psql('postgres', 'SELECT pid FROM omendb.store_stats()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->safe_psql('postgres', "SELECT omendb.stop_event_clear('cache-before-load')");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%length(note)%' AND pid <> pg_backend_pid() AND state = 'active'"),
	'store terminated in a load: nobody waits for ever');

eval { $waiter->quit };
works_again('store terminated in a load');

# an action that stop events do not know
($rc, $out, $err) = $node->psql('postgres', q{SELECT omendb.stop_event_set('nowhere', 'sing')});
like($err, qr/ERROR:.*unrecognized stop event action "sing".*Valid actions are/s, 'unknown action of a stop event');

# a statement timeout while sealing
$node->safe_psql('postgres', 'UPDATE acct SET v = v + 1; UPDATE acct_heap SET v = v + 1; VACUUM acct');
$good = undef;
($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '30ms'; SELECT omendb.seal('acct', true)");
$good = $node->safe_psql('postgres', 'SELECT count(*), sum(length(note)) FROM acct_heap');
works_again('a seal that ran out of time');
seal_all($node, 'acct');
check_store($node, 'at the end', 'acct');
crash_free($node, 'the log');
$node->stop;

done_testing();
