# Damaged files of alex indexes: each kind of damage is reported by a clear
# error, from alex_check or from the first use, and the server lives on.

use strict;
use warnings;
no warnings 'portable';
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('alex_damage');
$node->init;
no_checksums($node);
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'omendb'\nomendb.seal = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION omendb;
CREATE TABLE d (a int, b text);
INSERT INTO d SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 60) i;
INSERT INTO d SELECT i, 'b' || i FROM generate_series(2, 5000) i;
CREATE INDEX d_a ON d USING alex (a) INCLUDE (b);
});

my $block = 8192;

# damage(where, bytes): the file with these bytes at an offset; or what a
# function makes of the block there
sub damage
{
	my ($offset, $bytes) = @_;
	my $page;
	$node->safe_psql('postgres', 'REINDEX INDEX d_a; CHECKPOINT');
	my $path = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('d_a')");
	$node->stop;
	open my $fh, '+<:raw', $path or die "$path: $!";
	sysseek $fh, $offset, 0;
	if (ref $bytes)
	{
		sysread $fh, $page, $block;
		$bytes = $bytes->($page);
		sysseek $fh, $offset, 0;
	}
	syswrite $fh, $bytes;
	close $fh;
	$node->start;
	return;
}

# fails(query, message, name)
sub fails
{
	my ($sql, $message, $name) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off; $sql");
	isnt($ret, 0, "$name: an error");
	like($err, $message, "$name: which says so");
	return;
}

my $check = "SELECT omendb.alex_check('d_a', true)";
my $use = 'SELECT a FROM d WHERE a = 17';

is($node->safe_psql('postgres', $check), '', 'undamaged');

# the header of the first leaf (block 1) is 24 + 88 bytes; counts at 24 + 72
damage($block + 24 + 72, pack('S', 60000));
fails($check, qr/corrupted page at block 1/, 'slots of a leaf: check');
fails($use, qr/corrupted page at block 1/, 'slots of a leaf: use');
fails('INSERT INTO d VALUES (17)', qr/corrupted page at block 1/, 'slots of a leaf: insert');
fails("SELECT omendb.alex_stats('d_a')", qr/corrupted page at block 1/, 'slots of a leaf: statistics');
damage($block + 24 + 74, pack('S', 3));
fails($check, qr/is corrupt.*entries found/s, 'entries of a leaf');
damage($block + 24, pack('QQ', 1, 0x0002000000000000));
fails($check, qr/corrupt/, 'low key of a leaf');
# an image in the middle: used bitmaps first, two words of 8 bytes each at least
damage($block + 112 + 600, pack('Q', 0xFFFFFFFFFFFFFFFF));
fails($check, qr/corrupt/, 'an image');
# payloads: where they lie is told by offsets behind images and TIDs; damage
# all of one leaf at once: $offsets makes the new ones from those there are
sub damage_payloads
{
	my ($offsets) = @_;
	damage($block, sub {
		my ($page) = @_;
		my $nslots = unpack('S', substr($page, 24 + 72, 2));
		my $at = 112 + 16 * int(($nslots + 63) / 64) + 14 * $nslots;
		my @new = $offsets->(unpack("S$nslots", substr($page, $at, 2 * $nslots)));
		substr($page, $at, 2 * $nslots) = pack('S*', @new);
		return $page;
	});
	return;
}
my $log = -s $node->logfile;
damage_payloads(sub { map { 40000 } @_ });
fails($check, qr/payload offset 40000 out of range/, 'payloads: check');
fails('DELETE FROM d WHERE a = 20; VACUUM d', qr/payload offset 40000 out of range/, 'payloads: VACUUM');
# one wide entry, taken for the payload of all
$node->safe_psql('postgres', q{REINDEX INDEX d_a; INSERT INTO d SELECT 0, string_agg(md5(i::text), '') FROM generate_series(1, 30) i});
damage_payloads(sub { my ($max) = sort { $b <=> $a } @_; map { $_ && $max } @_ });
fails('SELECT sum(length(b)) FROM d WHERE a >= 0', qr/corrupted leaf page/, 'payloads over each other: use');
fails(q{INSERT INTO d SELECT -1, repeat('b', 100) FROM generate_series(1, 500)}, qr/corrupted leaf page/,
	'payloads over each other: insert');
damage($block + 24 + 74, pack('S', 1));
fails(q{INSERT INTO d SELECT -1, repeat('b', 100) FROM generate_series(1, 500)}, qr/corrupted leaf page|contains corrupted page at block 1/,
	'entries of a leaf: insert');
unlike(slurp_file($node->logfile, $log), qr/PANIC|was terminated by signal|TRAP/, 'nobody died of it');

# an entry that has lost its payload, in an index whose entries all have one
$log = -s $node->logfile;
damage_payloads(sub { map { 0 } @_ });
fails('SELECT sum(length(b)) FROM d WHERE a < 100', qr/corrupted page at block 1/, 'no payload: index-only scan');
fails($check, qr/lacks its included columns/, 'no payload: check');
unlike(slurp_file($node->logfile, $log), qr/PANIC|was terminated by signal|TRAP/, 'nobody died of it');

# links and levels: whoever follows them must neither wait for himself nor go
# round for ever; every statement ends by itself
my $opaque = 2 * $block - 16;
my $grow = 'INSERT INTO d SELECT 17, repeat(md5(i::text), 20) FROM generate_series(1, 100) i';
foreach my $what (
	[ 'a right link to the page itself', $opaque + 4, pack('L', 1) ],
	[ 'a right link to the meta page', $opaque + 4, pack('L', 0) ],
	[ 'no right link', $opaque + 4, pack('L', 0xFFFFFFFF) ],
	[ 'a left link to the page itself', $opaque, pack('L', 1) ],
	[ 'a level', $opaque + 8, pack('C', 1) ],
	[ 'a kind', $opaque + 9, pack('C', 2) ],
	[ 'a flag: deleted', $opaque + 10, pack('S', 1) ],
	[ 'class of a leaf', $block + 24 + 76, pack('S', 3) ])
{
	my ($name, $offset, $bytes) = @$what;
	damage($offset, $bytes);
	fails($_->[1], qr/corrupt|is not the right sibling/, "$name: $_->[0]")
	  foreach (
		[ 'use', $use ],
		[ 'insert', $grow ],
		[ 'VACUUM', 'DELETE FROM d WHERE a BETWEEN 10 AND 30; VACUUM d' ],
		[ 'check', $check ]);
}
# a link to some other leaf, and the levels of the root
damage($opaque + 4, pack('L', 5));
fails($grow, qr/is not the right sibling/, 'a right link that skips leaves: insert');
my $root = $node->safe_psql('postgres', "SELECT get_byte(p, 40) + 256 * get_byte(p, 41) FROM pg_read_binary_file(pg_relation_filepath('d_a'), 0, 8192) p");
foreach my $level (0, 2, 77)
{
	damage(($root + 1) * $block - 8, pack('C', $level));
	$node->safe_psql('postgres', 'SELECT 1');
	fails($grow, qr/corrupt|could not/, "level $level of the root: insert");
	fails($use, qr/corrupt|could not/, "level $level of the root: use");
}

# a damaged kill bitmap hides no row, and lets none in twice; nothing is removed
# by it either
$node->safe_psql('postgres', 'DELETE FROM d WHERE b LIKE repeat(md5(\'%\'), 1) OR a = 17');
$node->safe_psql('postgres', 'DROP INDEX d_a; DELETE FROM d WHERE a IN (0, -1); VACUUM d; CREATE UNIQUE INDEX d_a ON d USING alex (a) WHERE a > 30');
damage($block, sub {
	my ($page) = @_;
	my $nslots = unpack('S', substr($page, 24 + 72, 2));
	my $bytes = 8 * int(($nslots + 63) / 64);
	# all entries are killed, says the bitmap
	substr($page, 112 + $bytes, $bytes) = substr($page, 112, $bytes);
	return $page;
});
my $all = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM d WHERE a > 30';
my $seq = 'SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM d WHERE a > 30';
my $rows = $node->safe_psql('postgres', $seq);
is($node->safe_psql('postgres', $all), $rows, 'a damaged kill bitmap hides no row');
fails('INSERT INTO d VALUES (40)', qr/duplicate key value/, 'nor is it believed by the check of uniqueness');
fails('INSERT INTO d VALUES (40); SELECT 1 / 0', qr/duplicate key value/, 'again');
$node->safe_psql('postgres', 'INSERT INTO d SELECT i, NULL FROM generate_series(10000, 12000) i');
is($node->safe_psql('postgres', $all), $node->safe_psql('postgres', $seq), 'and an insertion forgets it');
is($node->safe_psql('postgres', $check), '', 'the index is sound');
# entries that are marked as killed do not count
$node->safe_psql('postgres', 'REINDEX INDEX d_a');
damage($block, sub {
	my ($page) = @_;
	my $nslots = unpack('S', substr($page, 24 + 72, 2));
	my $bytes = 8 * int(($nslots + 63) / 64);
	my ($slot) = grep { vec($page, 8 * 112 + $_, 1) } 0 .. $nslots - 1;
	vec($page, 8 * (112 + $bytes) + $slot, 1) = 1;
	# its weight in the sum: murmurhash32 of the slot's number
	my $h = $slot + 1;
	$h = (($h ^ ($h >> 16)) * 0x85ebca6b) & 0xFFFFFFFF;
	$h = (($h ^ ($h >> 13)) * 0xc2b2ae35) & 0xFFFFFFFF;
	substr($page, 24 + 84, 4) = pack('L', ($h ^ ($h >> 16)) | 1);
	return $page;
});
is($node->safe_psql('postgres', "SELECT omendb.alex_check('d_a')"), '', 'a live entry marked as killed: the structure is sound');
fails($check, qr/lacks matching index tuple within index "d_a"/, 'a live entry marked as killed: heapallindexed');
$node->safe_psql('postgres', 'DROP INDEX d_a; CREATE INDEX d_a ON d USING alex (a) INCLUDE (b)');
damage($block, "\0" x $block);
fails($check, qr/is corrupt.*not in use|unexpected zero page/s, 'a zero page: check');
fails($use, qr/unexpected zero page at block 1/, 'a zero page: use');
damage(2 * $block - 2, pack('S', 0x1234));
fails($use, qr/corrupted page at block 1/, 'no page of alex');
damage(24 + 4, pack('L', 99));
fails($use, qr/alex format version mismatch .* file version 99/, 'another version');
damage(24, pack('L', 0));
fails($use, qr/is not an alex index/, 'no meta page');

# the prefix that images are formed behind: its length, and its bytes
$node->safe_psql('postgres', q{REINDEX INDEX d_a});
damage(24 + 32, pack('L', 99));
fails($use, qr/corrupted page at block 0/, 'a prefix that is too long');
$node->safe_psql('postgres', q{REINDEX INDEX d_a});
damage(24 + 32, pack('L', 3));
fails($use, qr/corrupted page at block 0/, 'another prefix');

$node->safe_psql('postgres', q{DROP INDEX d_a; CREATE INDEX d_a ON d USING alex (('/usr/share/doc/' || md5(a::text)) COLLATE "C")});
is($node->safe_psql('postgres', "SELECT prefix_length > 10 FROM omendb.alex_stats('d_a')"), 't', 'an index with a prefix');
damage(24 + 32, pack('L', 0));
fails(q{SELECT count(*) FROM d WHERE '/usr/share/doc/' || md5(a::text) = '/usr/share/doc/x' COLLATE "C"}, qr/corrupted page at block 0/, 'no prefix');

# the code that images are in: its length, its bytes, and a text in it
$node->safe_psql('postgres', q{
DROP INDEX d_a;
CREATE INDEX d_a ON d USING alex (((ARRAY['libboost-filesystem', 'libboost-program-options', 'postgresql-server'])[1 + a % 3] || '-dev_' || a % 500 || '.' || a / 500 || '/' || md5(a::text)) COLLATE "C")});
is($node->safe_psql('postgres', "SELECT version FROM omendb.alex_stats('d_a')"), 6, 'an index with a code');
damage(24 + 128, pack('L', 0));
fails($check, qr/corrupted page at block 0/, 'a code of no length');
damage(24 + 128, pack('L', 8000));
fails($check, qr/corrupted page at block 0/, 'a code that is too long');
damage(24 + 128 + 8 + 100, pack('L', 0x12345678));
fails($check, qr/corrupted page at block 0/, 'another code');
foreach my $version (4, 5)
{
	damage(24 + 4, pack('L', $version));
	fails($check, qr/corrupted page at block 0/, "no code, version $version: check");
	fails(q{SELECT count(*) FROM d WHERE (ARRAY['libboost-filesystem', 'libboost-program-options', 'postgresql-server'])[1 + a % 3] || '-dev_' || a % 500 || '.' || a / 500 || '/' || md5(a::text) = 'z' COLLATE "C"},
		qr/corrupted page at block 0/, "no code, version $version: use");
}
# the first entry of a leaf: the number of its text's bytes that the images hold
damage($block, sub {
	my ($page) = @_;
	my ($upper) = unpack('x14 S', $page);
	substr($page, $upper + 7, 1) = pack('C', 77);
	return $page;
});
fails($check, qr/not one of its columns|other images|corrupt/, 'a text that is cut elsewhere');
$node->safe_psql('postgres', 'DROP INDEX d_a; CREATE INDEX d_a ON d USING alex (a) INCLUDE (b)');

# rows that the index does not have
$node->safe_psql('postgres', q{
REINDEX INDEX d_a;
SET allow_system_table_mods = on;
UPDATE pg_index SET indisready = false WHERE indexrelid = 'd_a'::regclass;
});
$node->safe_psql('postgres', "INSERT INTO d VALUES (6000, 'lost')");
$node->safe_psql('postgres', q{
SET allow_system_table_mods = on;
UPDATE pg_index SET indisready = true WHERE indexrelid = 'd_a'::regclass;
});
is($node->safe_psql('postgres', "SELECT omendb.alex_check('d_a')"), '', 'a lost entry: the structure is sound');
fails($check, qr/lacks matching index tuple within index "d_a"/, 'a lost entry: heapallindexed');

$node->safe_psql('postgres', 'REINDEX INDEX d_a');
is($node->safe_psql('postgres', $check), '', 'REINDEX mends it');
$node->stop;
done_testing();
