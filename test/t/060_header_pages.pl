# Header pages hold no rows: whatever way rows come into a table, a change of a
# row in a row group's first block thaws its page and nothing else.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('primary', 'autovacuum' => 'off', 'omendb.row_group_blocks' => 64,
	'wal_consistency_checking' => "'all'");
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

$node->safe_psql('postgres', q{
CREATE FUNCTION cold_pages(t regclass) RETURNS bigint LANGUAGE sql AS
$$ SELECT coalesce(sum(cold_pages), 0) FROM omendb.row_groups(t) $$;
CREATE FUNCTION sealed_groups(t regclass) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FILTER (WHERE state = 'sealed') FROM omendb.row_groups(t) $$;
CREATE FUNCTION note(i int) RETURNS text LANGUAGE sql AS $$ SELECT repeat(md5(i::text), 25) $$;
CREATE TABLE model (id int, note text);
INSERT INTO model SELECT g, note(g) FROM generate_series(1, 1500) g;
});
my $rows = 1500;    # nine a page: three row groups

# Change one row in each block that could be a header page, and in the last one.
sub check_one_page_each
{
	my ($table, $what) = @_;
	seal_all($node, $table);
	my $groups = $node->safe_psql('postgres', "SELECT sealed_groups('$table')");
	is($groups, '3', "$what: sealed");
	my $first = $node->safe_psql('postgres', "SELECT min(ctid) FROM $table");
	is($first, '(0,1)', "$what: the first row is where heap has it");
	foreach my $block (0, 1, 17, 65, 128, 129)
	{
		my $here = "FROM $table WHERE ctid >= '($block,0)' AND ctid < '(" . ($block + 1) . ",0)'";
		next if $node->safe_psql('postgres', "SELECT count(*) $here") eq '0';
		my $before = $node->safe_psql('postgres', "SELECT cold_pages('$table')");
		$node->safe_psql('postgres', "UPDATE $table SET id = id + 10000 WHERE ctid = (SELECT min(ctid) $here)");
		my $after = $node->safe_psql('postgres',
			"SELECT cold_pages('$table') || ' ' || sealed_groups('$table')");
		is($after, ($before - 1) . ' 3', "$what: a row of block $block costs one page");
	}
	seal_all($node, $table);
	is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE note = note(id % 10000)) FROM $table"),
		"$rows|$rows|$rows", "$what: all rows are there");
	is($node->safe_psql('postgres', "SELECT omendb.unseal('$table') > 0, cold_pages('$table'), count(*) FROM $table"),
		"t|0|$rows", "$what: unsealed");
	seal_all($node, $table);
	return;
}

my $big = "SELECT * FROM model";
$node->safe_psql('postgres', "CREATE TABLE t_insert (id int, note text) USING omendb");
$node->safe_psql('postgres', "INSERT INTO t_insert $big");
check_one_page_each('t_insert', 'INSERT');

$node->safe_psql('postgres', "COPY model TO '" . $node->basedir . "/model.copy'");
$node->safe_psql('postgres', "CREATE TABLE t_copy (id int, note text) USING omendb");
$node->safe_psql('postgres', "COPY t_copy FROM '" . $node->basedir . "/model.copy'");
check_one_page_each('t_copy', 'COPY');

$node->safe_psql('postgres', "CREATE TABLE t_as USING omendb AS $big");
check_one_page_each('t_as', 'CREATE TABLE AS');

$node->safe_psql('postgres', qq{
BEGIN;
CREATE TABLE t_frozen (id int, note text) USING omendb;
COPY t_frozen FROM '@{[ $node->basedir ]}/model.copy' (FREEZE);
COMMIT});
check_one_page_each('t_frozen', 'COPY FREEZE in the transaction that creates the table');

$node->safe_psql('postgres', "CREATE TABLE t_changed USING heap AS $big; ALTER TABLE t_changed SET ACCESS METHOD omendb");
check_one_page_each('t_changed', 'SET ACCESS METHOD');

$node->safe_psql('postgres', "VACUUM FULL t_changed");
check_one_page_each('t_changed', 'VACUUM FULL');

$node->safe_psql('postgres', "CREATE INDEX ON t_as (note); CLUSTER t_as USING t_as_note_idx");
check_one_page_each('t_as', 'CLUSTER');
$node->safe_psql('postgres', q{SET enable_indexscan = on; SET enable_seqscan = off; SET enable_sort = off; CLUSTER t_as});
check_one_page_each('t_as', 'CLUSTER again');

$node->safe_psql('postgres', "CREATE UNLOGGED TABLE t_logged (id int, note text) USING omendb; INSERT INTO t_logged $big; ALTER TABLE t_logged SET LOGGED");
check_one_page_each('t_logged', 'SET LOGGED');

$node->safe_psql('postgres', "CREATE TABLE t_spec (id int UNIQUE, note text) USING omendb; INSERT INTO t_spec $big ON CONFLICT DO NOTHING");
check_one_page_each('t_spec', 'ON CONFLICT');

# Update chains that somebody may still see come along.
{
	my $old = $node->background_psql('postgres');
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$node->safe_psql('postgres', 'UPDATE t_copy SET note = note WHERE id % 3 = 0');
	$node->safe_psql('postgres', 'VACUUM FULL t_copy');
	is($old->query_safe('SELECT count(*), sum(id % 10000) FROM t_copy'), "$rows|" . $rows * ($rows + 1) / 2,
		'VACUUM FULL: an old snapshot sees its rows');
	$old->query_safe('COMMIT');
	$old->quit;
	$node->safe_psql('postgres', 'VACUUM t_copy');
	is($node->safe_psql('postgres', 'SELECT count(*), sum(id % 10000) FROM t_copy'), "$rows|" . $rows * ($rows + 1) / 2,
		'VACUUM FULL: so do new ones');
}

# A small table is sealed with its rows in the header page; when it has grown,
# another page takes over.
$node->safe_psql('postgres', "CREATE TABLE small (id int, note text) USING omendb; INSERT INTO small $big LIMIT 30");
seal_all($node, 'small');
is($node->safe_psql('postgres', "SELECT pg_relation_size('small') / 8192, cold_pages('small')"), '4|4', 'a small table has no page but for rows');
$node->safe_psql('postgres', "INSERT INTO small SELECT * FROM model WHERE id > 30");
seal_all($node, 'small');
check_one_page_each('small', 'a table that was sealed when it was small');

# Cut off by VACUUM, the page comes back.
$node->safe_psql('postgres', "CREATE TABLE cut (id int, note text) USING omendb; INSERT INTO cut $big");
$node->safe_psql('postgres', "DELETE FROM cut WHERE ctid >= '(16,0)'; VACUUM cut");
cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('cut') / 8192"), '<=', '17', 'the table was truncated');
$node->safe_psql('postgres', "INSERT INTO cut SELECT * FROM model WHERE id NOT IN (SELECT id FROM cut)");
check_one_page_each('cut', 'a table that was truncated');

# Side by side
$node->safe_psql('postgres', 'CREATE TABLE side (id int, note text) USING omendb');
$node->pgbench('-n -c 8 -j 2 -t 4', 0, [qr/processed/], [qr/^$/], 'insertions side by side',
	{ '060_side' => q{INSERT INTO side SELECT g * 8 + :client_id, note(g * 8 + :client_id) FROM generate_series(1, 100) g;} });
is($node->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE note = note(id)) FROM side'), '3200|3200', 'all rows are there');
seal_all($node, 'side');
is($node->safe_psql('postgres', q{
WITH g AS (SELECT * FROM omendb.row_groups('side') WHERE state = 'sealed')
SELECT count(*) > 0 FROM g}), 't', 'sealed');

# Writers against the sealer: pages before and behind the header page are locked
# in ascending order, so nobody waits for ever.
$node->safe_psql('postgres', 'CREATE INDEX ON side (id)');
$node->pgbench('-n -c 6 -j 2 -T 4', 0, [qr/processed/], [qr/^$/], 'updates against sealing',
	{ '060_update@8' => q{
\set id random(8, 807)
UPDATE side SET note = note(id) || repeat('x', :id % 300) WHERE id = :id;
},
		'060_seal@1' => q{SELECT omendb.seal('side', true);}, '060_vacuum@1' => 'VACUUM side;' });
is($node->safe_psql('postgres', 'SELECT count(*) FROM side'), '3200', 'no row is lost');

# dead line pointers of a few pages: VACUUM leaves them unless it is told not to
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) side');
seal_all($node, 'side');
$node->wait_for_catchup($standby);
foreach my $table (qw(t_insert t_copy t_as t_frozen t_changed t_logged t_spec small cut side))
{
	my $query = "SELECT count(*), sum(hashtext(t::text)), sum(hashtext(ctid::text)) FROM $table t";
	is($standby->safe_psql('postgres', $query), $node->safe_psql('postgres', $query), "$table on the standby");
}
check_store($node, 'after all', qw(t_insert t_copy t_as t_frozen t_changed t_logged t_spec small cut side));

kill_server($node);
$node->start;
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT id) FROM t_copy"), "$rows|$rows", 'after a crash');

# Without WAL for new tables
$node->stop;
$standby->stop;
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0");
$node->start;
$node->safe_psql('postgres', "BEGIN; CREATE TABLE t_minimal (id int, note text) USING omendb; INSERT INTO t_minimal $big; COMMIT");
$node->safe_psql('postgres', "VACUUM FULL t_changed");
kill_server($node);
$node->start;
check_one_page_each('t_minimal', 'wal_level = minimal');
check_one_page_each('t_changed', 'VACUUM FULL, wal_level = minimal');

crash_free($_, $_->name) for ($node, $standby);
$node->stop;
done_testing();
