# Scattered rows of sealed tables are changed: what a transaction that thaws pages
# keeps open (segments, the table's file) is right whatever happens in between, is
# loaded ahead by the columns that the segment before was asked for, even if those
# are wrong for this one, and what has gone leaves the cache.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 64,
	'omendb.reclaim_space' => 'full',
	'wal_log_hints' => 'on',
	'shared_buffers' => "'64MB'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Twins.  The later half has no values in one column, and many different texts in
# another: a dictionary of more entries than there are rows on a page.
my $rows = 60000;
foreach my $am (qw(omendb heap))
{
	sql(qq{
CREATE TABLE t_$am (id int PRIMARY KEY, n int, s text, late int, f float8, d numeric) USING $am;
INSERT INTO t_$am SELECT g, g % 7, 'name' || g % 900, CASE WHEN g > $rows / 2 THEN g END, g / 8.0, g / 3.0
FROM generate_series(1, $rows) g;
VACUUM (FREEZE, ANALYZE) t_$am});
}

sub same
{
	my ($what) = @_;
	my $q = 'SELECT count(*), sum(hashtext(t::text)::bigint) FROM t_%s t';

	is(sql(sprintf($q, 'omendb')), sql(sprintf($q, 'heap')), $what);
}

# Sealed anew, nothing of it in the cache, its blocks given back
sub seal_again
{
	seal_all($node, 't_omendb');
	sql('CHECKPOINT');
	sql('VACUUM t_omendb');
	sql('SELECT omendb.cache_reset()');
}

my $scattered = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;";
sub update
{
	my ($am, $from) = @_;

	return "UPDATE t_$am t SET n = n + 1 FROM generate_series($from, $rows, 611) g WHERE t.id = g % $rows * 7919 % $rows + 1;";
}

seal_again();
sql($scattered . update('omendb', 1));
sql($scattered . update('heap', 1));
same('an update of scattered rows');

# reads of one column, then changes: the guess is wrong both ways
seal_again();
foreach my $am (qw(omendb heap))
{
	sql("$scattered SELECT sum(n) FROM t_$am WHERE id IN (1, 20000, 40000, 60000);
		BEGIN; " . update($am, 2) . "
		SAVEPOINT a; " . update($am, 3) . " ROLLBACK TO a; " . update($am, 4) . "
		SELECT sum(late) FROM t_$am WHERE id IN (5, 20005, 40005, 59005);
		COMMIT");
}
same('reads before, and a subtransaction that fails');

# an error in the midst of it, with rows locked
seal_again();
foreach my $am (qw(omendb heap))
{
	$node->psql('postgres', "$scattered BEGIN; " . update($am, 5) . 'SELECT 1 / 0');
	sql("$scattered BEGIN; SELECT count(*) FROM (SELECT 1 FROM t_$am WHERE id % 100 = 3 AND id > 0 FOR KEY SHARE) x; ROLLBACK; BEGIN; "
		  . update($am, 6) . 'COMMIT');
}
same('transactions that fail, and locks');

# little memory: segments are closed and opened again
seal_again();
foreach my $am (qw(omendb heap))
{
	sql("SET work_mem = '64kB'; $scattered BEGIN; " . update($am, 7) . update($am, 8) . 'COMMIT');
}
same('little memory');

# the file is another one within the transaction that has thawed pages of it
seal_again();
foreach my $am (qw(omendb heap))
{
	sql("$scattered BEGIN; " . update($am, 9) . "
		CREATE TABLE keep_$am AS SELECT * FROM t_$am;
		SAVEPOINT a; TRUNCATE t_$am; ROLLBACK TO a; " . update($am, 10) . "
		SAVEPOINT b; CLUSTER t_$am USING t_${am}_pkey; " . update($am, 11) . ' ROLLBACK TO b; ' . update($am, 12) . '
		COMMIT');
}
same('the file is exchanged, and comes back');

# two-phase commit ends a transaction, too
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$node->restart;
seal_again();
foreach my $am (qw(omendb heap))
{
	sql("$scattered BEGIN; " . update($am, 13) . "PREPARE TRANSACTION 'p_$am'; SELECT 1");
	sql("COMMIT PREPARED 'p_$am'");
}
same('a prepared transaction');

# crash: what was thawed comes back from WAL
seal_again();
foreach my $am (qw(omendb heap))
{
	sql($scattered . update($am, 14));
}
$node->stop('immediate');
$node->start;
same('a crash');

# Chunks of row groups that have gone are not in the cache any more.  They go when
# a checkpoint has begun after their tombstones were written, whenever that is.
my $filenode = sql("SELECT pg_relation_filenode('t_omendb')");
my $cached = "SELECT coalesce(sum(chunks), 0) FROM omendb.cache_contents() WHERE filenode = $filenode";
sql('SELECT omendb.cache_reset()');
sql('SELECT count(t::text) FROM t_omendb t');
cmp_ok(sql($cached), '>', 0, 'the cache has chunks of the table');
sql('DROP TABLE t_omendb');
for my $try (1 .. 60)
{
	sql('CHECKPOINT');
	last if sql($cached) eq '0';
	sleep(1);
}
is(sql($cached), 0, 'those of a table that was dropped leave it');

$node->stop;
done_testing();
