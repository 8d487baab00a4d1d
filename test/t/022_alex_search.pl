# What searches in alex indexes remember.  The root: it may have been unlinked
# and recycled since.  The buffer of a leaf: using it must count as a use.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('alex_search');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'omendb'\nomendb.seal = off\nautovacuum = off\njit = off\n");
$node->start;

# six rows to a leaf, 403 leaves to an inner page
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION omendb;
CREATE TABLE r (a int, pad text);
ALTER TABLE r ALTER pad SET STORAGE EXTERNAL;
CREATE INDEX r_a ON r USING alex (a) INCLUDE (pad);
INSERT INTO r SELECT i, repeat('x', 1200) FROM generate_series(1, 20) i;
});

# A session that has seen the index with its first root.  It holds its locks,
# so its later statements take in no invalidations, but neither a snapshot nor
# a transaction id, so nothing waits for it.
my $old = $node->background_psql('postgres');
$old->query_safe($_) foreach (
	'SET enable_seqscan = off',
	'SET enable_bitmapscan = off',
	'SET plan_cache_mode = force_generic_plan',
	q{PREPARE ins (int) AS INSERT INTO r SELECT 5000, repeat('x', 1200) FROM generate_series(1, $1)},
	'PREPARE upd AS UPDATE r SET a = a WHERE a = -1',
	'EXECUTE ins(1)',
	'EXECUTE upd',
	'BEGIN',
	'EXECUTE upd',
	'EXECUTE ins(0)');
is($node->safe_psql('postgres', "SELECT height FROM omendb.alex_stats('r_a')"), 1, 'the first root');

# it gets a new root above it, is unlinked with all its leaves, recycled
$node->safe_psql('postgres', "INSERT INTO r SELECT i, repeat('x', 1200) FROM generate_series(21, 6000) i");
is($node->safe_psql('postgres', "SELECT height FROM omendb.alex_stats('r_a')"), 2, 'a root above it');
$node->safe_psql('postgres', 'DELETE FROM r WHERE a < 3000; VACUUM r');
my $deleted = "SELECT deleted_pages FROM omendb.alex_stats('r_a')";
my $before = $node->safe_psql('postgres', $deleted);
$node->safe_psql('postgres', 'SELECT txid_current()') for 1 .. 2;
$node->safe_psql('postgres', 'VACUUM r');
$node->safe_psql('postgres', "INSERT INTO r SELECT i, repeat('x', 1200) FROM generate_series(10001, 13100) i");
cmp_ok($node->safe_psql('postgres', $deleted), '<', $before - 400, 'pages have been recycled');

# leaves are found by the directory; their splits need the level above
$old->query_safe('EXECUTE ins(10)');
$old->query_safe('COMMIT');
$old->quit;
is($node->safe_psql('postgres', "SELECT omendb.alex_check('r_a', true); SELECT count(*) FROM r WHERE a = 5000"),
	"\n12", 'a split below a forgotten root');

# The same, but the block of the first root is a leaf when the session splits
# that very leaf: it must not go for the page that it has locked itself.
SKIP:
{
	skip 'no pageinspect', 2
	  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'pageinspect'") == 0;
	$node->safe_psql(
		'postgres', q{
CREATE EXTENSION pageinspect;
CREATE TABLE s (a int, pad text);
ALTER TABLE s ALTER pad SET STORAGE EXTERNAL;
CREATE INDEX s_a ON s USING alex (a) INCLUDE (pad);
INSERT INTO s SELECT i, repeat('x', 1200) FROM generate_series(1, 20) i;
});
	# the meta page names the root
	my $root = $node->safe_psql('postgres',
		"SELECT get_byte(p, 40) + 256 * get_byte(p, 41) FROM get_raw_page('s_a', 0) p");
	$old = $node->background_psql('postgres');
	$old->query_safe($_) foreach (
		'SET enable_seqscan = off',
		'SET enable_bitmapscan = off',
		'SET plan_cache_mode = force_generic_plan',
		q{PREPARE ins (int, int) AS INSERT INTO s SELECT $1, repeat('x', 1200) FROM generate_series(1, $2)},
		'PREPARE upd AS UPDATE s SET a = a WHERE a = -1',
		'EXECUTE ins(5000, 1)',
		'EXECUTE upd',
		'BEGIN',
		'EXECUTE upd',
		'EXECUTE ins(5000, 0)');
	$node->safe_psql('postgres', "INSERT INTO s SELECT i, repeat('x', 1200) FROM generate_series(21, 6000) i");
	$node->safe_psql('postgres', 'DELETE FROM s WHERE a < 3000; VACUUM s');
	$node->safe_psql('postgres', 'SELECT txid_current()') for 1 .. 2;
	$node->safe_psql('postgres', 'VACUUM s');
	# kind 3 is a leaf; its low key's image is the first thing in it
	my ($kind, $key, $next) = (2, 0, 10001);
	while ($kind != 3 && $next < 14000)
	{
		my $last = $next + 99;
		$node->safe_psql('postgres', "INSERT INTO s SELECT i, repeat('x', 1200) FROM generate_series($next, $last) i");
		$next = $last + 1;
		my $low;
		($kind, $low) = split /\|/, $node->safe_psql('postgres',
			"SELECT get_byte(p, 8185), encode(substr(p, 25, 8), 'hex') FROM get_raw_page('s_a', $root) p WHERE get_byte(p, 8186) & 1 = 0")
		  || '0|0000000000000000';
		$key = unpack('L', pack('H*', $low));
	}
	is($kind, 3, 'the first root has become a leaf');
	$old->query_until(qr/going/, "\\echo going\nEXECUTE ins($key, 10);\n");
	ok($node->poll_query_until('postgres',
			"SELECT state LIKE 'idle%' AND query LIKE 'EXECUTE ins($key%' FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
		'it is split by a session that remembers it as the root')
	  or $node->stop('immediate'), done_testing(), exit 1;
	$old->query_safe('COMMIT');
	$old->quit;
	is($node->safe_psql('postgres', "SELECT omendb.alex_check('s_a', true); SELECT count(*) FROM s WHERE a = $key"),
		"\n11", 'the index is sound');
}

# leaves that are read often stay in the buffer cache
SKIP:
{
	skip 'no pg_buffercache', 1
	  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache'") == 0;
	$node->safe_psql(
		'postgres', q{
CREATE EXTENSION pg_buffercache;
CREATE TABLE often (a int, b int);
INSERT INTO often SELECT i, i FROM generate_series(1, 10000) i;
CREATE INDEX often_a ON often USING alex (a);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		PERFORM b FROM often WHERE a = 5000;
	END LOOP;
END $$;
});
	cmp_ok(
		$node->safe_psql(
			'postgres',
			"SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('often_a') AND usagecount = 5"),
		'>=', 1, 'the buffer of a leaf in the directory counts its uses');
}
$node->stop;
done_testing();
