# The end of WAL is lost (pg_resetwal -f, or a record that is torn, so that
# recovery ends there in silence): a heap table loses at most what was written
# since the last checkpoint, and an omendb table no more than that, because what
# a header page on disk may name is still in the store.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rows = 20000;
my $node = omen_node(
	'lost',
	'omendb.row_group_blocks' => 16,
	'omendb.reclaim_space' => 'off',
	'omendb.trash_retention' => "'1h'",
	'autovacuum' => 'off',
	# nothing reaches the disk but by a checkpoint
	'shared_buffers' => "'128MB'",
	'bgwriter_lru_maxpages' => 0,
	'checkpoint_timeout' => "'1h'");
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Row groups of $table with their ids
sub groups { return sql("SELECT string_agg(first_block || ' ' || coalesce(id, state), ',' ORDER BY first_block) FROM omendb.row_groups('$_[0]')"); }

sub make_pair
{
	sql(qq{
DROP TABLE IF EXISTS o, h;
CREATE TABLE o (id int PRIMARY KEY, v int, note text) USING omendb;
CREATE TABLE h (id int PRIMARY KEY, v int, note text) USING heap;
INSERT INTO h SELECT g, 0, repeat(md5(g::text), 2) FROM generate_series(1, $rows) g;
INSERT INTO o SELECT * FROM h;
VACUUM h;
});
	seal_all($node, 'o');
	return;
}

# What must be there: all rows, and those that were not touched as they were
sub check_pair
{
	my ($what, $untouched) = @_;
	for my $plan ('enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off',
		'enable_seqscan = off; SET enable_bitmapscan = off')
	{
		my $check = "SELECT count(*) || ' ' || count(*) FILTER (WHERE $untouched) || ' ' || sum(hashtext(note)::bigint) FILTER (WHERE $untouched) FROM %s WHERE id > 0";
		my ($heap, $omen);
		$heap = sql("SET $plan; " . sprintf($check, 'h'));
		(undef, $omen) = $node->psql('postgres', "SET $plan; " . sprintf($check, 'o'));
		is($omen, $heap, "$what: the rows that heap has ($plan)");
	}
	return;
}

my @ends = (
	[ 'pg_resetwal', \&lose_tail_by_reset, 'off' ],
	[ 'a torn record', \&lose_tail_by_zeroes, 'off' ],
	# with this, sealing writes header and markers at once
	[ 'a torn record, half pages given back', \&lose_tail_by_zeroes, 'half' ]);

for my $end (@ends)
{
	my ($how, $lose, $reclaim) = @$end;
	sql("ALTER SYSTEM SET omendb.reclaim_space = $reclaim");
	sql('SELECT pg_reload_conf()');

	# -- sealed anew
	make_pair();
	my $before = groups('o');
	sql('CHECKPOINT');
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	sql('UPDATE o SET v = v + 1 WHERE id % 97 = 0; UPDATE h SET v = v + 1 WHERE id % 97 = 0');
	sql('VACUUM o; VACUUM h');
	sql(q{SELECT omendb.seal('o', true)});
	my $after = groups('o');
	isnt($after, $before, "$how, re-sealed: other versions");
	usleep(1_500_000);
	$node->stop('immediate');
	$lose->($node, $lsn);
	$node->start;
	is(sql('SELECT count(*) FROM h WHERE v <> 0'), 0, "$how, re-sealed: heap has lost the updates");
	is(groups('o'), $reclaim eq 'off' ? $before : $after,
		"$how, re-sealed: the headers name what they named on disk");
	# the updated rows are on disk then, and their index entries are not
	sql('REINDEX TABLE o') if $reclaim ne 'off';
	check_pair("$how, re-sealed", 'id % 97 <> 0');
	# garbage collection must not take it for garbage now
	sql('SELECT omendb.gc(); CHECKPOINT; SELECT omendb.gc(); CHECKPOINT');
	usleep(1_500_000);
	$node->restart;
	check_pair("$how, re-sealed, after garbage collection", 'id % 97 <> 0');
	seal_all($node, 'o');
	check_store($node, "$how, re-sealed, sealed once more", 'o');

	# -- unsealed: two rows of block 0
	make_pair();
	$before = groups('o');
	sql('CHECKPOINT');
	$lsn = sql('SELECT pg_current_wal_insert_lsn()');
	for my $t ('o', 'h')
	{
		sql("UPDATE $t SET v = 7 WHERE ctid IN ('(0,1)', '(16,1)')");
		sql("UPDATE $t SET v = 7 WHERE ctid IN ('(32,1)', '(48,1)')");
	}
	sql(q{SELECT omendb.unseal('o')});
	unlike(groups('o'), qr/[0-9a-f]{32}/, "$how, unsealed: no row group is sealed");
	usleep(1_500_000);
	$node->stop('immediate');
	$lose->($node, $lsn);
	$node->start;
	is(groups('o'), $before, "$how, unsealed: the headers name their versions");
	check_pair("$how, unsealed", 'true');
	sql('SELECT omendb.gc(); CHECKPOINT; SELECT omendb.gc(); CHECKPOINT');
	usleep(1_500_000);
	check_pair("$how, unsealed, after garbage collection", 'true');
}

$node->stop;
crash_free($node, 'the log');
done_testing();
