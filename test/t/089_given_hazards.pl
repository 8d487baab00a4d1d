# omendb.reclaim_space = full and what a server may be like: file systems that have
# no holes, or no room; with and without checksums and wal_log_hints; without
# images of pages in WAL; a visibility map that is lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
chmod 0755, $dir;
append_to_file("$dir/space.c", <<END);
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int pretend(int mode)
{
	if ((mode & FALLOC_FL_PUNCH_HOLE) != 0)
		errno = access("$dir/no-holes", F_OK) == 0 ? EOPNOTSUPP : 0;
	else
		errno = access("$dir/no-room", F_OK) == 0 ? ENOSPC : 0;
	return errno;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	int			(*real) (int, int, off_t, off_t) = dlsym(RTLD_NEXT, "fallocate");

	return pretend(mode) ? -1 : real(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	int			(*real) (int, int, off64_t, off64_t) = dlsym(RTLD_NEXT, "fallocate64");

	return pretend(mode) ? -1 : real(fd, mode, offset, len);
}

/* no room for what is written into a hole of a table's file, either */
static int pretend_write(int fd, off64_t offset, size_t len)
{
	char		link[64];
	char		path[1024];
	ssize_t		n;
	struct stat st;
	struct fiemap map;

	if (access("$dir/no-room", F_OK) != 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	memset(&map, 0, sizeof(map));
	map.fm_start = offset;
	map.fm_length = len;
	if (strstr(path, "/base/") == NULL || fstat(fd, &st) != 0 || offset >= st.st_size ||
		ioctl(fd, FS_IOC_FIEMAP, &map) != 0 || map.fm_mapped_extents != 0)
		return 0;
	errno = ENOSPC;
	return 1;
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t		(*real) (int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");

	return pretend_write(fd, offset, len) ? -1 : real(fd, buf, len, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
	ssize_t		(*real) (int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");

	return pretend_write(fd, offset, len) ? -1 : real(fd, buf, len, offset);
}
END
plan skip_all => 'there is no C compiler'
  if system('cc', '-shared', '-fPIC', '-o', "$dir/space.so", "$dir/space.c", '-ldl') != 0;
chmod 0755, "$dir/space.so";
$ENV{LD_PRELOAD} = "$dir/space.so";

my $rows = 6000;
my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 64,
	'omendb.reclaim_space' => 'full',
	'shared_buffers' => "'16MB'",
	'wal_log_hints' => 'off');
$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pg_visibility;
CREATE EXTENSION pg_freespacemap;
CREATE TABLE t (a int PRIMARY KEY, b int, pad text) USING omendb;
INSERT INTO t SELECT g, g % 100, repeat('x', 200) FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT ctid AS tid, * FROM t});
my $file = relation_file($node, 't');

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

sub zeros
{
	return grep { read_block($file, $_) eq "\0" x 8192 } 0 .. (-s $file) / 8192 - 1;
}

sub punch
{
	value('VACUUM (INDEX_CLEANUP on) t');
	seal_all($node, 't');
	value('CHECKPOINT');
	value('VACUUM t');
	return scalar zeros();
}

sub same
{
	my ($what) = @_;
	foreach my $set ('SET enable_indexscan = off; SET enable_bitmapscan = off',
		'SET enable_seqscan = off; SET enable_bitmapscan = off')
	{
		is( value(
				"$set; SELECT count(*), (SELECT count(*) FROM (SELECT ctid, * FROM t WHERE a > 0 EXCEPT SELECT * FROM h) x) FROM t WHERE a > 0"),
			"$rows|0", "$what: all rows ($set)");
	}
	return;
}

sub messages
{
	my ($pattern) = @_;
	my @found = slurp_file($node->logfile) =~ /$pattern/g;
	return scalar @found;
}

sub restart_with
{
	my (%conf) = @_;
	$node->append_conf('postgresql.conf', join('', map { "$_ = $conf{$_}\n" } keys %conf));
	$node->restart;
	return;
}

# -- neither checksums nor wal_log_hints
is(punch(), 0, 'without checksums and wal_log_hints nothing is given back');
value('VACUUM t') for 1 .. 2;
is(messages(qr/needs data checksums or wal_log_hints/), 1, 'which the log says once');

# -- a file system without holes
restart_with('wal_log_hints' => 'on');
append_to_file("$dir/no-holes", '');
is(punch(), 0, 'a file system has no holes');
is(punch(), 0, 'nor when it is asked again');
is(messages(qr/could not give back space of file/), 1, 'the log says so once');
same('without holes');
unlink "$dir/no-holes";

# -- one that has
$node->restart;
my $given = punch();
plan(skip_all => 'the file system has no holes') unless $given > 0;
cmp_ok($given, '>', 100, "blocks are given back ($given)");

# -- no room for a block that was given back
my ($blk) = grep { $_ > 64 + 20 } zeros();
my $key = value("SELECT a FROM h WHERE tid = '($blk,2)'");
my $cold = value(q{SELECT sum(cold_pages) FROM omendb.row_groups('t')});
append_to_file("$dir/no-room", '');
foreach my $sql ("UPDATE t SET b = -1 WHERE a = $key", "DELETE FROM t WHERE a = $key", "SELECT 1 FROM t WHERE a = $key FOR UPDATE",
	q{SELECT omendb.unseal('t')})
{
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/53100: could not allocate space for block \d+ .*No space left on device/, "no room: $sql");
}
is(value(q{SELECT sum(cold_pages) FROM omendb.row_groups('t')}), $cold, 'space comes before anything is changed');
value('CHECKPOINT');
same('without room');
$node->stop('immediate');
$node->start;
same('without room, and after a crash');
unlink "$dir/no-room";
value("UPDATE t SET b = b WHERE a = $key; CHECKPOINT");
is(value("SELECT count(*) FROM t WHERE a = $key"), '1', 'with room it is changed');
value('TRUNCATE h; INSERT INTO h SELECT ctid, * FROM t');

# -- The end of WAL is lost after a thaw, and of what it changed the header page
# alone is on disk: then the marker is, too, whether or not it was in a buffer.
restart_with('bgwriter_lru_maxpages' => '0');
foreach my $how ('in its buffer', 'evicted')
{
	punch();
	$node->restart if $how eq 'evicted';
	my ($at) = grep { $_ > 64 + 20 } zeros();
	my $a = value("SELECT min(a) FROM t WHERE ctid >= '($at,0)' AND ctid < '(" . ($at + 1) . ",0)'");
	is(read_block($file, $at), "\0" x 8192, "$how: there is a hole before");
	value("UPDATE t SET b = b WHERE a = $a");
	my $page = read_block($file, $at);
	is(unpack('L', substr($page, 24, 4)), 0x4F4D454E, "$how: its marker was written before the page was thawed");
	value('CHECKPOINT');
	$node->stop('immediate');
	my $heap = read_block($file, $at);
	isnt($heap, $page, "$how: a checkpoint has written the heap page");
	write_block($file, $at, $page);
	$node->start;
	foreach my $set ('SET enable_seqscan = off; SET enable_bitmapscan = off', 'SET enable_indexscan = off; SET enable_bitmapscan = off')
	{
		my ($rc, $out, $err) = $node->psql('postgres', "$set; SELECT pad FROM t WHERE a = $a");
		isnt($rc, 0, "$how: without it, its rows are not missing in silence ($set)");
	}
	$node->stop('immediate');
	write_block($file, $at, $heap);
	$node->start;
	value('TRUNCATE h; INSERT INTO h SELECT ctid, * FROM t');
	same("$how: with it");
}

# -- VACUUM sets bits of the visibility map for markers that are in buffers, and
# not in the file; there are no images of them in WAL
punch();
restart_with('full_page_writes' => 'off');
value("SELECT omendb.unseal('t')");
seal_all($node, 't');
value('CHECKPOINT');
cmp_ok(value('SELECT count(*) FROM t WHERE ctid IN (SELECT tid FROM h)'), '>', 0, 'markers are in buffers');
value('VACUUM t');
cmp_ok(scalar zeros(), '>', 100, 'their blocks are given back');
value(q{SELECT pg_truncate_visibility_map('t')});
value('VACUUM t');
my @given = zeros();
is(value("SELECT count(*) FROM pg_freespace('t') WHERE avail > 0 AND blkno IN (" . join(',', @given, -1) . ')'), 0, 'none is offered to insertions');
$node->stop('immediate');
$node->start;
same('after a crash');
unlike(slurp_file($node->logfile), qr/invalid page|PANIC/, 'recovery missed nothing');
restart_with('full_page_writes' => 'on');

# -- checksums, switched on and off over holes
punch();
foreach my $how ('enable', 'check', 'disable')
{
	$node->stop;
	command_ok([ 'pg_checksums', "--$how", '--no-sync', '-D', $node->data_dir ], "pg_checksums --$how") if $how ne 'check';
	command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'pg_checksums --check') if $how eq 'check';
	$node->start;
	same("pg_checksums --$how");
	cmp_ok(punch(), '>', 100, "pg_checksums --$how: blocks are given back");
}

# -- then without what full needs: what was given back stays given
restart_with('wal_log_hints' => 'off');
same('wal_log_hints off again');
value("UPDATE t SET b = b WHERE a % 100 = 0; TRUNCATE h; INSERT INTO h SELECT ctid, * FROM t");
$node->stop('immediate');
$node->start;
same('wal_log_hints off, changed, killed');
value(q{SELECT omendb.unseal('t')});
same('unsealed');
crash_free($node, 'all of it');
$node->stop;

done_testing();
