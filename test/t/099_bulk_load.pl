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

my $eighth = 64 * 128 / 8;		# as much as a ring has here
my $node = omen_node('load', 'shared_buffers' => "'64MB'", 'autovacuum' => 'off',
	'bgwriter_lru_maxpages' => 0, 'omendb.row_group_blocks' => 1024);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_buffercache');

# some 1,000 bytes a row: 7 rows a block
my $file = $node->basedir . '/rows';
sub make_rows
{
	my ($blocks) = @_;
	open(my $out, '>', $file) or die;
	print $out "$_\t", 'x' x 1000, "\n" for 1 .. 7 * $blocks;
	close $out;
	chmod 0644, $file;
	return;
}
sub make_table
{
	my ($name, $of) = @_;
	$node->safe_psql('postgres', $of ? "CREATE TABLE $name $of USING omendb" : "CREATE TABLE $name (id int, pad text) USING omendb");
	$node->safe_psql('postgres', "ALTER TABLE $name ALTER pad SET STORAGE PLAIN");
	return;
}
# Load it by COPY; how many buffers have it, if none had before?
sub load
{
	my ($table) = @_;
	$node->restart;
	$node->safe_psql('postgres', "COPY $table FROM '$file'");
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_buffercache
		WHERE relforknumber = 0 AND relfilenode IN (SELECT pg_relation_filenode(oid) FROM pg_class WHERE relkind = 'r' AND relname ~ '^${table}[0-9]*\$')");
}

make_table('t');
make_rows(1800);
my $n = load('t');
cmp_ok($n, '>=', 1700, "of a table of 1,800 blocks nearly all are in buffers ($n)");
make_rows(4000);
$node->safe_psql('postgres', 'TRUNCATE t');
$n = load('t');
cmp_ok($n, '>=', 2 * $eighth - 100, "of a large one what a ring has, and an eighth of the cache ($n)");
cmp_ok($n, '<=', 2 * $eighth + 150, 'and no more');

# partitions by turns: each has a ring, but what they fill before is one account
$node->safe_psql('postgres', 'CREATE TABLE p (id int, pad text) PARTITION BY RANGE ((id % 4))');
make_table("p$_", "PARTITION OF p FOR VALUES FROM ($_) TO ($_ + 1)") for 0 .. 3;
make_rows(7000);
$n = load('p');
cmp_ok($n, '<=', 5 * $eighth + 400, "of four partitions by turns an eighth and four rings ($n)");

# several loads of a transaction are one account, too; each has a ring
$node->safe_psql('postgres', 'TRUNCATE t');
make_rows(1500);
$node->restart;
$n = $node->safe_psql('postgres', "BEGIN; COPY t FROM '$file'; COPY t FROM '$file'; COPY t FROM '$file'; COPY t FROM '$file'; COMMIT;
	SELECT count(*) FROM pg_buffercache WHERE relforknumber = 0 AND relfilenode = pg_relation_filenode('t')");
cmp_ok($n, '<=', 5 * $eighth + 150, "of four loads in a transaction as well ($n)");
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t'), 4 * 10500 . '|' . 4 * (10500 * 10501 / 2), 'all rows are there');
like($node->safe_psql('postgres', "SELECT omendb.seal('t', true)"), qr/^\(\d+,[1-9]\d*,[1-9]/, 'and can be sealed');
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t'), 4 * 10500 . '|' . 4 * (10500 * 10501 / 2), 'to the same rows');
$node->stop;
done_testing();
