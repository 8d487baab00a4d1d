# Which buffers a bulk load takes (decision 0034): ordinary ones, until it has filled an
# eighth of the cache, then the ring that PostgreSQL gives it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('load', 'shared_buffers' => "'32MB'", 'autovacuum' => 'off',
	'bgwriter_lru_maxpages' => 0, 'omendb.row_group_blocks' => 1024);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_buffercache');
my $eighth = 32 * 128 / 8;

# some 1,000 bytes a row: 7 rows a block
my $file = $node->basedir . '/rows';
sub make_rows
{
	my ($n) = @_;
	open(my $out, '>', $file) or die;
	print $out "$_\t", 'x' x 1000, "\n" for 1 .. $n;
	close $out;
	chmod 0644, $file;
	return;
}
sub cached
{
	my ($condition) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_buffercache
		WHERE relforknumber = 0 AND relfilenode IN (SELECT pg_relation_filenode(oid) FROM pg_class WHERE relkind = 'r' AND relname $condition)");
}

# (the ring is an eighth as well)
make_rows(7 * 400);
$node->safe_psql('postgres', 'CREATE TABLE small (id int, pad text) USING omendb; ALTER TABLE small ALTER pad SET STORAGE PLAIN');
$node->safe_psql('postgres', "COPY small FROM '$file'");
cmp_ok(cached("= 'small'"), '>=', 400, 'all of a small load is in ordinary buffers');

make_rows(7 * 3000);
$node->safe_psql('postgres', 'CREATE TABLE large (id int, pad text) USING omendb; ALTER TABLE large ALTER pad SET STORAGE PLAIN');
$node->safe_psql('postgres', "COPY large FROM '$file'");
my $large = cached("= 'large'");
cmp_ok($large, '>=', 2 * $eighth - 100, "of a large one an eighth of the cache beside its ring ($large buffers)");
cmp_ok($large, '<=', 2 * $eighth + 100, 'and no more');

# partitions by turns, in one load: what they take is one account
$node->safe_psql('postgres', "CREATE TABLE parted (id int, pad text) PARTITION BY RANGE ((id % 2));
	CREATE TABLE parted0 PARTITION OF parted FOR VALUES FROM (0) TO (1) USING omendb;
	CREATE TABLE parted1 PARTITION OF parted FOR VALUES FROM (1) TO (2) USING omendb;
	ALTER TABLE parted0 ALTER pad SET STORAGE PLAIN;
	ALTER TABLE parted1 ALTER pad SET STORAGE PLAIN;
	CHECKPOINT;
	COPY parted FROM '$file'");
my $parted = cached("IN ('parted0', 'parted1')");
cmp_ok($parted, '<=', 3 * $eighth + 250, "of two partitions by turns an eighth in all, and two rings ($parted buffers)");

# and the next transaction begins again
$node->safe_psql('postgres', "TRUNCATE large");
make_rows(7 * 400);
$node->safe_psql('postgres', "COPY large FROM '$file'");
cmp_ok(cached("= 'large'"), '>=', 400, 'the next load has an eighth of its own');

# a load that fails leaves no harm
make_rows(7 * 400);
open(my $out, '>>', $file) or die;
print $out "no number\tx\n";
close $out;
my ($status, undef, $errors) = $node->psql('postgres', "COPY large FROM '$file'");
isnt($status, 0, 'a bad row is an error');
like($errors, qr/invalid input syntax/, 'the usual one');
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM large'), '2800|' . (2800 * 2801 / 2), 'nothing of it is seen');
is($node->safe_psql('postgres', "SELECT omendb.seal('large', true) IS NOT NULL; SELECT count(*), sum(id) FROM large"),
	"t\n2800|" . (2800 * 2801 / 2), 'sealed from the cache');
$node->stop;
done_testing();
