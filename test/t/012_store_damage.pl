# Damage and bad input: each costs what it must, says so, and the server lives.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.stop_events = on
omendb.seal = off
omendb.alex_retrain = off
omendb.gc_interval = 0
omendb.trash_retention = 0
log_min_messages = warning
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub sql_error
{
	my ($ret, $out, $err) = $node->psql('postgres',
		'\set VERBOSITY verbose' . "\n" . $_[0]);
	return $err;
}

sub write_file { return sql('SELECT omendb.test_file_write(20, 50000)'); }
sub read_file { return sql("SELECT omendb.test_file_read('$_[0]', 20, 50000)"); }

sub read_error
{
	return sql_error("SELECT omendb.test_file_read('$_[0]', 20, 50000)");
}

sub sst_path
{
	my ($id) = @_;
	my @found = glob("$data/omendb/sst/$id-*.sst");
	return $found[0];
}

# Overwrite bytes in place: RocksDB's link sees it too.
sub overwrite
{
	my ($path, $offset, $bytes) = @_;
	open(my $fh, '+<:raw', $path) or die "$path: $!";
	seek($fh, $offset, 0);
	print $fh $bytes;
	close $fh;
}

sub flip
{
	my ($path, $offset, $bits) = @_;
	open(my $fh, '<:raw', $path) or die "$path: $!";
	seek($fh, $offset, 0);
	read($fh, my $byte, 1);
	close $fh;
	overwrite($path, $offset, chr(ord($byte) ^ ($bits // 0x10)));
}

# numbers as RocksDB writes them: seven bits a byte, the lowest first
sub varints
{
	my @numbers;
	my ($number, $shift) = (0, 0);
	foreach my $byte (unpack('C*', $_[0]))
	{
		$number |= ($byte & 0x7F) << $shift;
		$shift += 7;
		next if $byte >= 0x80;
		push @numbers, $number;
		($number, $shift) = (0, 0);
	}
	return @numbers;
}

my $log_offset = 0;

sub new_log
{
	my $log = slurp_file($node->logfile, $log_offset);
	$log_offset = -s $node->logfile;
	return $log;
}

my @ids = map { write_file() } 1 .. 8;
my $good = shift @ids;

# -- a flipped byte: that chunk is lost, its row group named
my $flipped = shift @ids;
my $path = sst_path($flipped);
flip($path, int((-s $path) / 2));
$node->restart;
my $error = read_error($flipped);
like($error, qr/ERROR:  XX001: could not read row group $flipped of relation/,
	'flipped byte: error');
like($error, qr/omendb\/sst\/$flipped-.*checksum/s,
	'flipped byte: file and reason');
is(sql("SELECT omendb.test_file_read('$flipped', 2, 50000)"),
	2, 'flipped byte: other chunks of the file are fine');
is(read_file($good), 20, 'flipped byte: other files are fine');

# every region of a file, one byte at a time: error or right, never else
my $victim = shift @ids;
$path = sst_path($victim);
my $size = -s $path;
my %outcome = (error => 0, right => 0);
for my $i (0 .. 40)
{
	# the tail, with index, properties and footer, more closely
	my $offset =
	  $i < 15 ? int($size * $i / 15) : $size - 1 - ($i - 15) * 53;
	flip($path, $offset);
	sql('SELECT omendb.cache_reset()');
	$node->psql('postgres',
		'SELECT pg_terminate_backend((SELECT pid FROM omendb.store_stats()), 60000)')
	  if $i % 5 == 0;
	my ($ret, $out, $err) = $node->psql('postgres',
		"SELECT omendb.test_file_read('$victim', 20, 50000)");
	if ($ret == 0)
	{
		$outcome{right}++;
		is($out, '20', "byte $offset: right") if $out ne '20';
	}
	else
	{
		$outcome{error}++;
		like($err, qr/$victim/, "byte $offset: error") if $err !~ /$victim/;
	}
	flip($path, $offset);
}
cmp_ok($outcome{error}, '>', 10, "flipped bytes are noticed ($outcome{error} errors, $outcome{right} harmless)");
is(read_file($good), 20, 'other files are fine');
$node->restart;
is(read_file($victim), 20, 'put right, readable again');

# -- truncated files
new_log();
my $short = shift @ids;
my $empty = shift @ids;
$node->stop;
my $short_path = sst_path($short);
truncate($short_path, int((-s $short_path) / 2));
truncate(sst_path($empty), 0);
$node->start;
is(read_file($good), 20, 'truncated: other files are fine');
for my $id ($short, $empty)
{
	$error = read_error($id);
	like($error, qr/ERROR:  XX001: could not read row group $id of relation/,
		'truncated: error');
	like($error, qr/omendb\/sst\/$id-/, 'truncated: file');
}
$node->poll_query_until('postgres',
	"SELECT state = 'ready' AND damaged_row_groups = 2 FROM omendb.store_stats()");
my $log = new_log();
like($log, qr/RocksDB in "omendb\/pgsql_tmp_rocksdb" could not be opened/,
	'truncated: log says that RocksDB is made again');
like($log, qr/row group $short is damaged, RocksDB does not get it/, 'truncated: log names it');
is(sql('SELECT damaged_row_groups FROM omendb.store_stats()'),
	2, 'truncated: counted');
# dropping it gets rid of it
sql("SELECT omendb.test_file_drop('$short'), omendb.test_file_drop('$empty')");
sql('CHECKPOINT');
$node->poll_query_until('postgres',
	'SELECT damaged_row_groups = 0 FROM omendb.store_stats()');
ok(!-e $short_path, 'a damaged row group can be dropped');

# -- the permanent file is lost, RocksDB has its link: it is put back
my $lost = shift @ids;
my $lost_path = sst_path($lost);
for my $running (0, 1)
{
	$node->stop unless $running;
	unlink($lost_path) or die;
	new_log();
	if ($running)
	{
		sql("SELECT omendb.cache_reset()");
		sql("SELECT pg_terminate_backend((SELECT pid FROM omendb.store_stats()), 10000)");
	}
	$node->start unless $running;
	is(read_file($lost), 20, "lost file, running $running: read");
	like(new_log(), qr/the file of row group $lost was missing from "omendb\/sst"/,
		"lost file, running $running: warning");
	ok(-e $lost_path, "lost file, running $running: it is there again");
	$node->poll_query_until('postgres',
		"SELECT state = 'ready' FROM omendb.store_stats()");
}

# -- both are lost
$node->stop;
unlink($lost_path) or die;
system('rm', '-rf', "$data/omendb/pgsql_tmp_rocksdb");
$node->start;
is(sql("SELECT omendb.test_file_read('$lost', 20, 50000)"),
	-1, 'lost file: missing');
is(read_file($good), 20, 'RocksDB lost: made again');

# -- RocksDB damaged in several ways
for my $damage (
	[ 'CURRENT', sub { overwrite($_[0], 0, "garbage garbage\n") } ],
	[ 'MANIFEST-*', sub { truncate($_[0], 10) } ],
	[ '*.sst', sub { unlink($_[0]) } ],
	[ 'omendb.owner', sub { overwrite($_[0], 0, "1 12345\n") } ])
{
	my ($pattern, $action) = @$damage;
	$node->stop;
	my @found = glob("$data/omendb/pgsql_tmp_rocksdb/$pattern");
	$action->($found[-1]);
	$node->start;
	is(read_file($good), 20, "RocksDB's $pattern damaged: still served");
	is(read_file($victim), 20, "RocksDB's $pattern damaged: still served");
}

# -- what RocksDB believes before it has verified it: the last data block of a
# file when it takes it in (the chunk of the file about itself, 52 bytes after its
# key), the end of the properties when it opens it.  RocksDB does not get such a
# file; what is intact of it is read.
{
	my $bad = write_file();
	my $bad_path = sst_path($bad);
	my $file = slurp_file($bad_path);
	my $pos = index($file, pack('H*', $bad . 'ffff'));
	cmp_ok($pos, '>', 0, 'last block found');
	$file =~ /\x00\x12.rocksdb\.properties(.{12})/s or die 'no properties';
	my ($offset, $length) = varints($1);
	for my $at ($pos - 3, $pos - 1, $pos + 5, $pos + 25, $pos + 28 + 30,
		$offset + $length - 1)
	{
		my $bits = $at < $offset ? 0x10 : 0x80;
		$node->stop;
		system('rm', '-rf', "$data/omendb/pgsql_tmp_rocksdb");
		flip($bad_path, $at, $bits);
		new_log();
		$node->start;
		ok($node->poll_query_until('postgres',
				"SELECT state = 'ready' AND damaged_row_groups = 1 FROM omendb.store_stats()"),
			"byte $at damaged: noticed before RocksDB gets the file");
		is(read_file($good), 20, "byte $at damaged: others are served");
		is(read_file($bad), 20, "byte $at damaged: what is intact is served");
		like(new_log(), qr/row group $bad is damaged, RocksDB does not get it.*checksum mismatch in the (?:last block|properties)/s,
			"byte $at damaged: said so");
		flip($bad_path, $at, $bits);
	}

	# opened and read by RocksDB: at worst its process ends, and it is made again
	for my $how ('opened', 'read')
	{
		$node->restart;
		$node->poll_query_until('postgres',
			"SELECT state = 'ready' AND damaged_row_groups = 0 FROM omendb.store_stats()");
		$node->stop if $how eq 'opened';
		flip($bad_path, $offset + $length - 1, 0x80);
		new_log();
		$node->start if $how eq 'opened';
		is(read_file($good), 20, "properties damaged, $how: others are served");
		is(read_file($bad), 20, "properties damaged, $how: chunks are intact");
		ok($node->poll_query_until('postgres',
				"SELECT state = 'ready' FROM omendb.store_stats()"),
			"properties damaged, $how: RocksDB is ready");
		is(read_file(write_file()), 20, "properties damaged, $how: sealing works");
		unlike(new_log(), qr/process.*PID.*terminated by signal/,
			"properties damaged, $how: no process of the server has crashed");
		flip($bad_path, $offset + $length - 1, 0x80);
	}
	sql("SELECT omendb.test_file_drop('$bad')");
}

# -- a file that cannot be removed is tried again, and disturbs nobody
my $stuck = write_file();
my $starts = sql('SELECT starts FROM omendb.store_stats()');
new_log();
chmod 0500, "$data/omendb/sst";
sql("SELECT omendb.test_file_drop('$stuck')");
sql('CHECKPOINT');
for (1 .. 100)
{
	last if slurp_file($node->logfile, $log_offset) =~ /could not remove/;
	usleep(100_000);
}
usleep(1_200_000);
is(scalar(() = new_log() =~ /WARNING:  could not remove file "omendb\/sst\/$stuck-/g),
	1, 'cannot be removed: one warning');
is(read_file($good), 20, 'cannot be removed: others are served');
is(sql('SELECT starts FROM omendb.store_stats()'),
	$starts, 'cannot be removed: the store has not been restarted');
chmod 0700, "$data/omendb/sst";
for (1 .. 100)
{
	last unless my @left = glob("$data/omendb/drops/*");
	usleep(100_000);
}
is(join(',', glob("$data/omendb/*/$stuck*")), '', 'can be removed: is gone');

# -- RocksDB cannot write (here: for a limit of file sizes): it can be read
SKIP:
{
	skip 'no prlimit', 4 if system('prlimit --version >/dev/null 2>&1') != 0;
	my $gone = write_file();
	my $pid = sql('SELECT rocksdb_pid FROM omendb.store_stats()');
	system('prlimit', '--pid', $pid, '--fsize=100:') == 0 or die;
	sql("SELECT omendb.test_file_drop('$gone')");
	sql('CHECKPOINT');
	ok($node->poll_query_until('postgres',
			"SELECT last_error ~ 'File too large' FROM omendb.store_stats()"),
		'no space: noticed');
	usleep(2_500_000);
	sql('SELECT omendb.cache_reset()');
	is(read_file($good), 20, 'no space: still served');
	# its process is another one each time: the limit has gone with it
	for (1 .. 100)
	{
		last unless my @left = glob("$data/omendb/drops/*");
		usleep(100_000);
	}
	is(join(',', glob("$data/omendb/*/$gone*")), '', 'space again: dropped');
	is(read_file(write_file()), 20, 'space again: written');
}

# -- a file that cannot be read costs its row group; links refused: copies
my $closed = write_file();
my $closed_path = sst_path($closed);
for my $links (1, 0)
{
	$node->stop;
	if (!$links)
	{
		system('rm', '-rf', "$data/omendb/pgsql_tmp_rocksdb");
		my $elsewhere = "/dev/shm/omendb-test-$$";
		last unless mkdir $elsewhere;
		symlink($elsewhere, "$data/omendb/pgsql_tmp_rocksdb") or die "$!";
	}
	chmod 0000, $closed_path;
	new_log();
	$node->start;
	is(read_file($good), 20, "unreadable file, links $links: others are served");
	$starts = sql('SELECT starts FROM omendb.store_stats()');
	$error = read_error($closed);
	like($error, qr/ERROR:  58030: could not read row group $closed of relation.*$closed.*Permission denied/s,
		"unreadable file, links $links: error");
	usleep(2_500_000);
	is(read_file($good), 20, "unreadable file, links $links: others are still served");
	is(sql('SELECT starts FROM omendb.store_stats()'),
		$starts, "unreadable file, links $links: the store has not been restarted");
	cmp_ok(scalar(() = new_log() =~ /could not (?:ingest|open)/g),
		'<', 4, "unreadable file, links $links: no endless attempts");
	chmod 0600, $closed_path;
	is(read_file($closed), 20, "readable again, links $links");
}
$node->stop;
if (-l "$data/omendb/pgsql_tmp_rocksdb")
{
	unlink "$data/omendb/pgsql_tmp_rocksdb";
	system('rm', '-rf', "/dev/shm/omendb-test-$$");
}
$node->start;

# -- unreadable folder
$node->stop;
chmod 0000, "$data/omendb/sst";
$node->start;
$error = read_error($good);
like($error, qr/could not read row group $good.*the omendb store cannot be used: could not open directory "omendb\/sst": Permission denied/s,
	'unreadable: reading');
$error = sql_error('SELECT omendb.test_file_write(1, 1)');
like($error, qr/ERROR:  58030: the omendb store cannot be used: could not open directory "omendb\/sst": Permission denied/,
	'unreadable: writing');
is(sql("SELECT state || ': ' || reason FROM omendb.store_stats()"),
	'refused: could not open directory "omendb/sst": Permission denied',
	'unreadable: statistics');
is(sql('CREATE TABLE h AS SELECT 1 AS a; SELECT a FROM h'),
	1, 'unreadable: heap tables are fine');
chmod 0700, "$data/omendb/sst";
$node->poll_query_until('postgres',
	"SELECT state = 'ready' FROM omendb.store_stats()");
is(read_file($good), 20, 'readable again, without a restart');

# -- missing folder
$node->stop;
rename("$data/omendb/sst", "$data/omendb/elsewhere") or die;
$node->start;
like(sql_error('SELECT omendb.test_file_write(1, 1)'),
	qr/the omendb store cannot be used: could not open directory "omendb\/sst": No such file/,
	'missing folder');
$node->stop;
rename("$data/omendb/elsewhere", "$data/omendb/sst") or die;

# -- another cluster's store, another format, no or a malformed control file
my $control = "$data/omendb/omendb.control";
my $text = slurp_file($control);
for my $case (
	[ sub { $_[0] =~ s/(system_identifier = )\d+/${1}7/ }, qr/belongs to the database system 7, this is \d+/ ],
	[ sub { $_[0] =~ s/(format_version = )3/${1}9/ }, qr/format version 9, this version of omendb reads 3/ ],
	[ sub { $_[0] =~ s/row_group.*//s }, qr/file "omendb\/omendb.control" is malformed/ ],
	[ sub { $_[0] = undef }, qr/file "omendb\/omendb.control" is missing/ ])
{
	my ($change, $message) = @$case;
	my $changed = $text;
	$change->($changed);
	unlink $control;
	if (defined $changed)
	{
		open(my $fh, '>', $control) or die;
		print $fh $changed;
		close $fh;
	}
	$node->start;
	like(sql_error('SELECT omendb.test_file_write(1, 1)'),
		$message, "writing: $message");
	like(read_error($good), $message, "reading: $message");
	is(sql('SELECT a FROM h'), 1, 'the server lives');
	$node->stop;
}
open(my $fh, '>', $control) or die;
print $fh $text;
close $fh;

# -- another row group size
$node->append_conf('postgresql.conf', 'omendb.row_group_blocks = 16');
new_log();
ok(!$node->start(fail_ok => 1), 'another row group size: no start');
$log = new_log();
like($log,
	qr/FATAL:  the omendb store was created with row groups of 1024 blocks, but omendb.row_group_blocks is 16/,
	'another row group size: message');
like($log, qr/HINT:  Set omendb.row_group_blocks = 1024/, 'hint');
$node->append_conf('postgresql.conf', 'omendb.row_group_blocks = 1024');

# -- no room for the worker
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->start;
like(read_error($good),
	qr/ERROR:  55000: the background worker "omendb store" is not running.*HINT:  .*max_worker_processes \(now 0\)/s,
	'max_worker_processes too small: reading');
like(sql_error('SELECT omendb.test_file_write(1, 1)'),
	qr/the background worker "omendb store" is not running/,
	'max_worker_processes too small: writing');
is(sql('SELECT a FROM h'), 1, 'the server lives');
$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');

# -- single-user mode
my ($stdout, $stderr);
IPC::Run::run(
	[
		'postgres', '--single', '-D', $data, 'postgres'
	],
	'<',
	\"SELECT omendb.test_file_read('$good', 1, 50000)\n",
	'>',
	\$stdout,
	'2>',
	\$stderr);
like($stderr, qr/the omendb store is not available in single-user mode/,
	'single-user mode');

$node->start;
is(read_file($good), 20, 'all is well again');
$node->stop;
done_testing();
