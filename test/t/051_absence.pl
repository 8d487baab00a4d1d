# What is away is not gone: pages of zeroes, files and folders that are missing for
# a while, with garbage collection at work each second, VACUUM, sealing, restarts
# and a standby.  Nothing that could be brought back is lost, and what is garbage
# goes nevertheless, with omendb.seal = off.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use File::Copy;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rows = 3000;
my $node = omen_node(
	'absence',
	'omendb.row_group_blocks' => 16,
	'omendb.gc_interval' => 1,
	'omendb.seal_naptime' => 1,
	'omendb.trash_retention' => 0,
	'autovacuum' => 'off');
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub make_table
{
	my ($name) = @_;
	sql(qq{
CREATE TABLE $name (id int PRIMARY KEY, note text) USING omendb;
INSERT INTO $name SELECT g, repeat(md5(g::text), 2) FROM generate_series(1, $rows) g;});
	seal_all($node, $name);
	return;
}

my $right;

sub look
{
	my ($name) = @_;
	my ($rc, $out) = $node->psql('postgres',
		"SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(hashtext(note)::bigint) FROM $name WHERE id > 0");
	return $rc == 0 ? $out : 'error';
}

# Everything that might take absence for permission, twice over
sub provoke
{
	my ($name) = @_;
	for my $round (1 .. 2)
	{
		# which warns each time
		$node->psql('postgres', 'SET log_min_messages = error; SELECT omendb.gc()');
		$node->psql('postgres', "VACUUM $name");
		$node->psql('postgres', "SELECT omendb.seal('$name', true)");
		$node->psql('postgres', 'CHECKPOINT');
		usleep($round == 1 ? 100_000 : 1_300_000);
	}
	return;
}

sub overwrite
{
	my ($file, $offset, $bytes) = @_;
	open(my $fh, '+<', $file) or die "$file: $!";
	binmode $fh;
	sysseek($fh, $offset, 0);
	syswrite($fh, $bytes);
	close $fh;
	return;
}

make_table('t');
$right = look('t');
like($right, qr/^$rows\|/, 'the table is there');
my @files = stored_ids($node);
my $path = "$data/" . sql(q{SELECT pg_relation_filepath('t')});
my $folder = "$data/base/" . sql(q{SELECT oid FROM pg_database WHERE datname = 'postgres'});

# -- away while the server is down, and put back
my $log_offset = -s $node->logfile;
for my $case (
	[ 'header pages of zeroes', sub { overwrite($path, 8192 * 16 * $_, "\0" x 8192) for 0 .. 2 } ],
	[ 'a marker page of zeroes', sub { overwrite($path, 8192 * 17, "\0" x 8192) } ],
	[ 'a header page that is a marker', sub { my $copy = substr(slurp_file($path), 8192, 8192); overwrite($path, 0, $copy) } ],
	[ 'a damaged header page', sub { overwrite($path, 8192 * 16 + 64, "\xff" x 64) } ],
	[ 'all pages of zeroes', sub { my $size = -s $path; overwrite($path, 0, "\0" x $size) } ],
	[ 'a relation file cut short', sub { truncate($path, 8192 * 20) } ],
	[ 'no relation file', sub { unlink $path or die } ],
	[ 'an empty relation file', sub { truncate($path, 0) } ])
{
	my ($what, $damage) = @$case;
	for my $restart (0, 1)
	{
		next if $restart && $what !~ /header pages|no relation/;
		$node->stop;
		copy($path, "$path.saved") or die $!;
		$damage->();
		$node->start;
		provoke('t');
		if ($restart)
		{
			$node->restart;
			provoke('t');
		}
		is(join(' ', stored_ids($node)), "@files", "$what, restart $restart: all files are kept");
		$node->stop;
		rename("$path.saved", $path) or die $!;
		$node->start;
		is(look('t'), $right, "$what, restart $restart: put back, all rows are there");
	}
}
my $log = slurp_file($node->logfile, $log_offset);
like($log, qr/WARNING:  row group [0-9a-f]{32} of relation "t" is kept/, 'warnings say so');
my %warned;
$warned{$1}++ while $log =~ /WARNING:  row group ([0-9a-f]{32}) of relation "t" is kept/g;
cmp_ok((sort { $b <=> $a } values %warned)[0], '<=', 12, 'once for a row group and start of the server');

# -- one unreadable header page does not end the sweep for others
make_table('junk');
my @with_junk = stored_ids($node);
$node->stop;
copy($path, "$path.saved") or die $!;
overwrite($path, 64, "\xff" x 64);
$node->start;
sql('DROP TABLE junk');
my @left;
for (1 .. 100)
{
	sql('CHECKPOINT');
	@left = stored_ids($node);
	last if "@left" eq "@files";
	usleep(200_000);
}
is("@left", "@files", 'garbage goes beside an unreadable header page, with omendb.seal = off');
$node->stop;
rename("$path.saved", $path) or die $!;
$node->start;
is(look('t'), $right, 'put back: all rows are there');

# -- the database's folder is away; a worker of another one sweeps
sql('CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION omendb');
$node->stop;
rename($folder, "$folder.away") or die $!;
$node->start;
for (1 .. 3)
{
	$node->safe_psql('other', 'SELECT omendb.gc()');
	$node->safe_psql('other', 'CHECKPOINT');
	usleep(1_100_000);
}
is(join(' ', stored_ids($node)), "@files", 'database folder away: all files are kept');
$node->stop;
rename("$folder.away", $folder) or die $!;
$node->start;
is(look('t'), $right, 'database folder back: all rows are there');
$node->safe_psql('postgres', 'DROP DATABASE other');

# -- files of the store away: what the header names is lost for the time; the other
# versions that there are stay
my $sst = (glob("$data/omendb/sst/$files[0]-*"))[0];
$node->stop;
rename($sst, "$data/away") or die $!;
system_or_bail('rm', '-rf', "$data/omendb/pgsql_tmp_rocksdb");
$node->start;
isnt(look('t'), $right, 'a file of the store is away');
provoke('t');
rename("$data/away", $sst) or die $!;
usleep(1_200_000);
is(look('t'), $right, 'and back');
is(join(' ', stored_ids($node)), "@files", 'all files are there');

# -- a standby follows, and drops nothing of it
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('one');
$standby->init_from_backup($node, 'one', has_streaming => 1);
$standby->start;
$node->stop;
copy($path, "$path.saved") or die $!;
overwrite($path, 8192 * 16 * $_, "\0" x 8192) for 0 .. 2;
$node->start;
provoke('t');
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
usleep(1_200_000);
is(join(' ', stored_ids($standby)), "@files", 'header pages of zeroes: the standby keeps all files');
$node->stop;
rename("$path.saved", $path) or die $!;
$node->start;
is(look('t'), $right, 'the primary has all rows');
$node->wait_for_catchup($standby);
is( $standby->safe_psql('postgres', 'SELECT count(*), sum(hashtext(note)::bigint) FROM t'),
	$right, 'and so has the standby');
$standby->stop;

# -- CREATE DATABASE while the store's folder is away
sql('CREATE DATABASE plain');
$node->stop;
rename("$data/omendb/sst", "$data/omendb/away") or die $!;
$node->start;
my ($rc, $out, $err) = $node->psql('postgres', 'CREATE DATABASE copy_of_plain TEMPLATE plain');
is($rc, 0, 'no folder: other databases can be copied') or diag($err);
sql('CREATE DATABASE of_template1');
($rc, $out, $err) = $node->psql('plain', 'CREATE DATABASE copy_of_sealed TEMPLATE postgres');
like($err, qr/cannot copy database "postgres": it holds sealed row groups.*HINT:  The folder of the omendb store is missing/s,
	'no folder: those with sealed row groups cannot');
$node->stop;
rename("$data/omendb/away", "$data/omendb/sst") or die $!;
$node->start;
is(look('t'), $right, 'the folder is back');

# -- a crash inside SET TABLESPACE: marks of a transaction that is no more
$node->append_conf('postgresql.conf', 'allow_in_place_tablespaces = on');
$node->restart;
sql(q{CREATE TABLESPACE elsewhere LOCATION ''});
sql(q{SELECT omendb.stop_event_set('copy-data-after-owners', 'kill')});
$node->psql('postgres', 'ALTER TABLE t SET TABLESPACE elsewhere');
$node->stop('immediate', fail_ok => 1);
$node->_update_pid(0);
my @marks = glob("$data/omendb/marks/*.own");
cmp_ok(scalar(@marks), '>', 0, 'a crash inside SET TABLESPACE: there are marks');
$node->start;
for (1 .. 100)
{
	sql('SELECT omendb.gc()');
	last if glob("$data/omendb/marks/*.dead");
	usleep(100_000);
}
is(scalar(my @gone = glob("$data/omendb/marks/*.dead")), scalar(@marks), 'all of them are known to be nobody\'s');
is(look('t'), $right, 'all rows are there');
sql(q{SELECT omendb.unseal('t')});
sql('CHECKPOINT');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_ls_dir('omendb/drops')});
is(join(',', glob("$data/omendb/marks/*")), '', 'no marks are left');
($rc, $out, $err) = $node->psql('plain', 'CREATE DATABASE copied TEMPLATE postgres');
is($rc, 0, 'the database can be a template again') or diag($err);
is($node->safe_psql('copied', 'SELECT count(*), sum(hashtext(note)::bigint) FROM t'), $right, 'and is');
sql('DROP DATABASE copied');

# -- a copy made while omendb was not loaded has row groups that nobody owns
seal_all($node, 't');
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres STRATEGY file_copy');
$node->stop;
# garbage collection as users have it: not at once
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'\nomendb.gc_interval = -1");
$log_offset = -s $node->logfile;
$node->start;
# the original goes on at once
sql('UPDATE t SET note = note WHERE id % 3 = 0');
sql('VACUUM t');
sql(q{SELECT omendb.seal('t', true)});
sql('CHECKPOINT');
for (1 .. 100)
{
	last if slurp_file($node->logfile, $log_offset) =~ /had no owner in the store, and have one now/;
	usleep(100_000);
}
like(slurp_file($node->logfile, $log_offset), qr/had no owner in the store, and have one now/, 'adopted');
sql('CHECKPOINT');
usleep(1_500_000);
$node->safe_psql('copied', 'SELECT omendb.cache_reset()');
is($node->safe_psql('copied', 'SELECT count(*), sum(hashtext(note)::bigint) FROM t'), $right, 'the copy has all rows');
sql('DROP TABLE t');
for (1 .. 3)
{
	sql('SELECT omendb.gc()');
	sql('CHECKPOINT');
	usleep(700_000);
}
is($node->safe_psql('copied', 'SELECT count(*), sum(hashtext(note)::bigint) FROM t'), $right,
	'also when the original has gone');
$node->safe_psql('postgres', 'DROP DATABASE copied');
for (1 .. 50)
{
	sql('SELECT omendb.gc()');
	sql('CHECKPOINT');
	last unless my @some = stored_ids($node);
	usleep(200_000);
}
is(join(',', stored_ids($node)), '', 'nothing is left when the copy goes');

$node->stop;
done_testing();
