# Half of each marker page, or all of it, was given back.  On a full disk a change
# of a sealed row fails as it should, and checkpoints go on.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('primary', 'autovacuum' => 'off', 'omendb.row_group_blocks' => 64);
my $disk = $node->basedir . '/disk';
mkdir $disk or die;
mkdir "$disk.probe" or die;

# A small file system that only this server sees
my @namespace = ('unshare', '-c', '-m', '--keep-caps');
plan skip_all => 'no file systems of our own here'
  if system("@namespace mount -t tmpfs -o size=4m tmpfs $disk.probe >/dev/null 2>&1") != 0;
$node->stop;
system(@namespace, 'sh', '-c',
	"mount -t tmpfs -o size=4m,mode=700 tmpfs $disk && exec pg_ctl -w -D " . $node->data_dir . ' -l ' . $node->logfile . ' start') == 0
  or die 'could not start the server';
$node->_update_pid(1);

$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$disk'");
foreach my $reclaim (qw(half full))
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.reclaim_space = $reclaim");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('omendb.reclaim_space') = '$reclaim'") or die;
	note $reclaim;

	$node->safe_psql('postgres', q{
CREATE TABLE t (id int, note text) USING omendb WITH (fillfactor = 80) TABLESPACE small;
INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 2000) g;
CREATE TABLE h (LIKE t) USING heap WITH (fillfactor = 80) TABLESPACE small;
INSERT INTO h SELECT * FROM t;
ALTER TABLE t SET (toast_tuple_target = 8000)});
	seal_all($node, 't');
	# what a checkpoint has seen as markers is given back as a whole
	$node->safe_psql('postgres', "VACUUM h; CHECKPOINT");
	$node->safe_psql('postgres', "VACUUM t");
	cmp_ok($node->safe_psql('postgres', q{SELECT hot_bytes + marker_bytes FROM omendb.table_size('t')}), '<',
		$node->safe_psql('postgres', q{SELECT pg_relation_size('t')}) * ($reclaim eq 'full' ? 0.35 : 0.75), 'space was given back');

	# The server itself fills its disk.
	$node->safe_psql('postgres', 'CREATE TABLE filler (pad text) TABLESPACE small; ALTER TABLE filler ALTER pad SET STORAGE PLAIN');
	my ($rc, $out, $err);
	for my $size (8000, 100)
	{
		for (1 .. 2000)
		{
			($rc, $out, $err) = $node->psql('postgres', "INSERT INTO filler SELECT repeat('f', $size) FROM generate_series(1, 40)");
			last if $rc != 0;
		}
	}
	like($err, qr/could not (extend|write)/, 'the disk is full');

	is($node->safe_psql('postgres', "UPDATE h SET note = repeat('h', 500) WHERE id = 1 RETURNING id"), '1', 'heap updates in place');
	($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nUPDATE t SET note = repeat('y', 500) WHERE id = 1");
	like($err, qr/53100: could not allocate space for block \d+ .*No space left on device/, 'a change of a sealed row is refused');
	like($err, qr/Check free disk space/, 'with a hint');
	($rc, $out, $err) = $node->psql('postgres', 'SELECT count(*) FROM (SELECT * FROM t WHERE id = 2 FOR UPDATE) s');
	like($err, qr/No space left on device/, 'so is a lock');
	($rc, $out, $err) = $node->psql('postgres', q{SELECT omendb.unseal('t')});
	like($err, qr/No space left on device/, 'so is unsealing');
	is($node->safe_psql('postgres', 'CHECKPOINT; SELECT count(*), sum(id), sum(length(note)) FROM t'), '2000|2001000|1000000',
		'checkpoints go on, nothing has changed');

	$node->safe_psql('postgres', 'DROP TABLE filler; CHECKPOINT');
	is($node->safe_psql('postgres', "UPDATE t SET note = repeat('y', 500) WHERE id = 1 RETURNING id"), '1', 'with space the row is changed');
	$node->safe_psql('postgres', 'SELECT omendb.unseal(\'t\'); CHECKPOINT');
	is($node->safe_psql('postgres', 'SELECT count(*), sum(id), sum(length(note)) FROM t'), '2000|2001000|1000000', 'unsealed');
	$node->safe_psql('postgres', 'DROP TABLE t, h; CHECKPOINT');
}

crash_free($node, 'at the end');
$node->stop;
done_testing();
