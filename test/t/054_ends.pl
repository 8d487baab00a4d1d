# Ends of tables: what the store has of blocks that VACUUM cuts off goes before them,
# and what has lost a whole segment of its file is kept.  And SET TABLESPACE of many
# row groups is one record.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $group = 64;
my $node = omen_node(
	'ends',
	'omendb.row_group_blocks' => $group,
	'omendb.gc_interval' => 0,
	'omendb.trash_retention' => 0,
	'allow_in_place_tablespaces' => 'on',
	'restart_after_crash' => 'on',
	'autovacuum' => 'off');
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub wait_for_drops
{
	for (1 .. 100)
	{
		sql('CHECKPOINT');
		last unless my @left = glob("$data/omendb/drops/*");
		usleep(100_000);
	}
	return;
}

# -- a seal that crashed leaves a file; its blocks are cut off before anybody looks
sql(q{CREATE TABLE cut (id int, note text) USING omendb;
INSERT INTO cut SELECT g, repeat('x', 400) FROM generate_series(1, 4000) g});
sql(q{SELECT omendb.stop_event_set('seal-before-header', 'kill')});
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT omendb.seal('cut', true)});
isnt($rc, 0, 'a sealer dies after its file was published');
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
my @left = stored_ids($node);
is(scalar(@left), 1, 'and leaves it');
is(sql(q{SELECT count(*) FROM omendb.row_groups('cut') WHERE state = 'sealed'}), 0, 'which no header names');
sql('DELETE FROM cut; VACUUM cut');
is(sql(q{SELECT pg_relation_size('cut')}), 0, 'the table is emptied');
wait_for_drops();
is(join(' ', stored_ids($node)), '', 'and the file has gone with the blocks');
is(sql('SELECT omendb.gc()'), 0, 'nothing is left to be collected');

# -- the same with pages that are lost: neither blocks nor file go
sql(q{INSERT INTO cut SELECT g, repeat('x', 400) FROM generate_series(1, 4000) g});
seal_all($node, 'cut');
sql('CHECKPOINT');
my $path = "$data/" . sql(q{SELECT pg_relation_filepath('cut')});
my @files = stored_ids($node);
$node->stop;
my $whole = slurp_file($path);
my $size = -s $path;
open(my $fh, '+<', $path) or die $!;
binmode $fh;
# all but the first row group
sysseek($fh, $group * 8192, 0);
syswrite($fh, "\0" x ($size - $group * 8192));
close $fh;
$node->start;
($rc, $out, $err) = $node->psql('postgres', 'VACUUM cut');
like($err, qr/WARNING:  the end of table "cut" is not given back: pages from block $group on are lost/,
	'zeroes at the end that the store has rows of: not cut off');
sql('SET client_min_messages = error; SELECT omendb.gc()');
wait_for_drops();
is(join(' ', stored_ids($node)), "@files", 'and no file goes');
$node->stop;
is(-s $path, $size, 'the file is as long as before');
open($fh, '>', $path) or die $!;
binmode $fh;
print $fh $whole;
close $fh;
$node->start;
is(sql('SELECT count(*), sum(id) FROM cut'), '4000|8002000', 'put back: all rows are there');

# -- a version that was superseded, while its successor's file is lost
my %old = map { $_ => 1 } @files;
sql('UPDATE cut SET note = note WHERE id = 3900');
seal_all($node, 'cut');
my @new = grep { !$old{$_} } referenced_ids($node, 'cut');
is(scalar(@new), 1, 'one row group was sealed anew');
$node->stop;
my $successor = (glob("$data/omendb/sst/$new[0]-*"))[0];
rename($successor, "$data/successor") or die $!;
system_or_bail('rm', '-rf', "$data/omendb/pgsql_tmp_rocksdb");
my $offset = -s $node->logfile;
$node->start;
wait_for_drops();
like(slurp_file($node->logfile, $offset), qr/has been dropped, but its successor $new[0] has no file: it is kept/,
	'a version whose successor has no file is kept');
sql('SET client_min_messages = error; SELECT omendb.gc()');
wait_for_drops();
my %have = map { $_ => 1 } stored_ids($node);
is(scalar(grep { !$have{$_} } @files), 0, 'and no garbage either');
$node->stop;
rename("$data/successor", $successor) or die $!;
$node->start;
is(sql('SELECT count(*), sum(id) FROM cut'), '4000|8002000', 'the file is back: all rows are there');
check_store($node, 'the file is back', 'cut');
@files = stored_ids($node);

# -- many row groups change their tablespace
sql(q{CREATE TABLESPACE elsewhere LOCATION ''});
sql('CREATE EXTENSION pg_walinspect');
my $ngroups = @files;
cmp_ok($ngroups, '>', 1, "$ngroups row groups");
my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
sql('ALTER TABLE cut SET TABLESPACE elsewhere');
my $to = sql('SELECT pg_current_wal_flush_lsn()');
is(sql("SELECT count(*), min(description) ~ 'n $ngroups;' FROM pg_get_wal_records_info('$lsn', '$to') WHERE resource_manager = 'omendb' AND description LIKE 'xid %'"),
	'1|t', 'SET TABLESPACE: one record for all of them');
is(scalar(my @marks = glob("$data/omendb/marks/*.own")), $ngroups, 'and a mark for each');
is(sql('SELECT count(*), sum(id) FROM cut'), '4000|8002000', 'all rows are there');
check_store($node, 'moved', 'cut');
sql('DROP TABLE cut');
sql('SELECT omendb.gc()');
wait_for_drops();
is(join(' ', stored_ids($node), glob("$data/omendb/marks/*")), '', 'dropped: nothing is left');

# -- a table of two segments, of which the first is a hole but for its end
my $segment = 131072;
SKIP:
{
	skip "segments are not of 1 GB", 8
	  unless sql(q{SELECT setting FROM pg_settings WHERE name = 'segment_size'}) == $segment;
	sql('CREATE TABLE big (id int, note text) USING omendb');
	$path = "$data/" . sql(q{SELECT pg_relation_filepath('big')});
	$node->stop;
	truncate($path, $segment * 8192) or die $!;
	$node->start;
	sql(q{INSERT INTO big SELECT g, repeat('y', 400) FROM generate_series(1, 4000) g});
	ok(-s "$path.1", 'there is a second segment');
	sql(q{VACUUM (FREEZE) big});
	sql(q{SELECT omendb.seal('big', true)});
	@files = stored_ids($node);
	cmp_ok(scalar(@files), '>', 1, 'row groups of it are sealed');
	sql('CHECKPOINT');
	for my $restart (0, 1)
	{
		$node->stop;
		rename("$path.1", "$data/away") or die $!;
		$node->start;
		$node->restart if $restart;
		$node->psql('postgres', 'VACUUM big');
		$node->psql('postgres', q{SELECT omendb.seal('big', true)});
		($rc, $out, $err) = $node->psql('postgres', 'SELECT omendb.gc()');
		like($err, qr/WARNING:  row group .* of relation "big" is kept.*DETAIL:  .*the table's storage ends before block \d+/s,
			"the second segment is away, restart $restart: that is said");
		wait_for_drops();
		is(join(' ', stored_ids($node)), "@files", "the second segment is away, restart $restart: every file is kept");
		$node->stop;
		unlink("$path.1");
		rename("$data/away", "$path.1") or die $!;
		$node->start;
		is(sql('SELECT count(*), sum(id) FROM big WHERE id > 0'), '4000|8002000',
			"the second segment is back, restart $restart: all rows are there");
	}
	sql('DROP TABLE big');
}

$node->stop;
crash_free($node, 'the log');
done_testing();
