# Vectorised scans beside others: a header page that cannot be read, and pages that
# are thawed, changed and sealed while a scan is on its way.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('vector');
$node->init(extra => ['--data-checksums']);
$node->append_conf('postgresql.conf',
	omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off'));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
omen_helpers($node);

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $vector = 'SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = off';

sql(q{
CREATE TABLE t (id int PRIMARY KEY, v int, pad text) USING omendb;
INSERT INTO t SELECT g, g % 100, repeat('x', 100) FROM generate_series(1, 30000) g;
});
seal_all($node, 't');
sql('ANALYZE t');

# -- a scan that stops at one row, and all that can happen to the others
sql(q{CREATE FUNCTION wait_at(id int, at int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN IF id = at THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN id; END $$});

# while_scanning(steps ...): what a scan sees that waits while the steps are done
sub while_scanning
{
	my (@steps) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 1);
	my $reader = $node->background_psql('postgres', on_error_stop => 0);

	$holder->query_safe('SELECT pg_advisory_lock(1)');
	$reader->query_safe("$vector");
	$reader->query_until(qr/started/, qq{\\echo started
SELECT count(*), sum(id), sum(v), count(DISTINCT id) FROM (SELECT wait_at(id, 5000) AS id, v FROM t) q;
});
	$node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
	  or die 'the scan does not wait';
	sql($_) for @steps;
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	my $seen = $reader->query_safe('SELECT 1');
	$holder->quit;
	$reader->quit;
	return $seen;
}

unlike(sql("$vector; EXPLAIN SELECT wait_at(id, 5000) AS id, v FROM t"), qr/Seq Scan/, 'a vectorised scan');
my $count = q{SELECT count(*), sum(id), sum(v), count(DISTINCT id) FROM t};
my $like = sql($count);
my $seen = while_scanning(
	'UPDATE t SET v = v + 1 WHERE id % 50 = 0',
	'DELETE FROM t WHERE id % 1000 = 1',
	'INSERT INTO t SELECT g, 1, repeat($$y$$, 100) FROM generate_series(30001, 33000) g');
like($seen, qr/^\Q$like\E$/m, 'rows that are thawed and changed after a scan began');
isnt(sql($count), $like, 'others see them');

# those are hot now; some of them are sealed behind and before the scan
$like = sql($count);
$seen = while_scanning('UPDATE t SET v = v - 1 WHERE id BETWEEN 20000 AND 20100');
like($seen, qr/^\Q$like\E$/m, 'cold and hot pages in one scan');
my $held = sql(q{SELECT sum(cold_rows) FROM omendb.row_groups('t')});
$like = sql($count);
$seen = while_scanning('VACUUM t', q{SELECT omendb.seal('t', true)});
like($seen, qr/^\Q$like\E$/m, 'a table that is sealed while it is scanned');
is(sql($count), $like, 'and afterwards');

# -- a header page that cannot be read is none of the planner's business
seal_all($node, 't');
sql('ANALYZE t');
my ($block) = split /\n/, sql(q{SELECT first_block FROM omendb.row_groups('t') WHERE first_block > 0 ORDER BY 1 LIMIT 1});
my $file = relation_file($node, 't');
$node->stop;
my $page = read_block($file, $block);
write_block($file, $block, flip($page, 200, 1));
$node->start;

my $rows = 'SELECT count(*), sum(v) FROM t WHERE id <= 3000';
my $on = 'SET omendb.enable_vectorized_scan = on; SET omendb.enable_vectorized_agg = on; SET enable_bitmapscan = off; SET random_page_cost = 10;';
is(sql("$on $rows"), sql($rows), 'rows of another row group are there');
my ($rc, $out, $err) = $node->psql('postgres', "$on SELECT sum(v) FROM t");
isnt($rc, 0, 'a scan of all rows fails');
like($err, qr/invalid page in block $block /, 'and says why');
$node->stop;
write_block($file, $block, $page);
$node->start;
is(sql("$on $count"), sql($count), 'all rows are there when the page is back');
$node->stop;

done_testing();
