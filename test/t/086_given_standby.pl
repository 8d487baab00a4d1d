# omendb.reclaim_space = full beyond one server: a standby that gives back its own
# blocks, with queries; base backups taken while tables are sealed, given back,
# thawed and vacuumed; pg_rewind; a promoted standby.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $backups = $ENV{BACKUPS} // 3;
my $rows = 12000;
my $primary = omen_node(
	'primary',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 64,
	'omendb.reclaim_space' => 'full',
	'wal_consistency_checking' => "'all'",
	'wal_keep_size' => "'1GB'",
	'max_wal_size' => "'2GB'",
	'wal_log_hints' => 'on');
$primary->safe_psql(
	'postgres', qq{
CREATE TABLE t (id int PRIMARY KEY, v int, pad text) USING omendb;
CREATE TABLE h (id int PRIMARY KEY, v int, pad text) USING heap;
INSERT INTO t SELECT g, g % 100, repeat('x', 200) FROM generate_series(1, $rows) g;
INSERT INTO h SELECT * FROM t;
CREATE PROCEDURE change(n int) LANGUAGE plpgsql AS \$\$
DECLARE k int;
BEGIN
	FOR i IN 1..n LOOP
		k := 1 + random() * $rows;
		UPDATE t SET v = v + 1 WHERE id = k;
		UPDATE h SET v = v + 1 WHERE id = k;
		COMMIT;
	END LOOP;
END \$\$;
});

# Blocks of t that read as zeros
sub zeros
{
	my ($node) = @_;
	my $file = relation_file($node, 't');
	return scalar grep { read_block($file, $_) eq "\0" x 8192 } 0 .. (-s $file) / 8192 - 1;
}

sub punch
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
	seal_all($node, 't');
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->safe_psql('postgres', 'VACUUM t');
	return;
}

sub same
{
	my ($node, $what) = @_;
	foreach my $set ('SET enable_indexscan = off; SET enable_bitmapscan = off',
		'SET enable_seqscan = off; SET enable_bitmapscan = off')
	{
		is( $node->safe_psql('postgres',
				"$set; SELECT (SELECT count(*) FROM t WHERE id > 0), (SELECT count(*) FROM (SELECT * FROM t WHERE id > 0 EXCEPT SELECT * FROM h) x)"),
			$node->safe_psql('postgres', 'SELECT count(*) FROM h') . '|0',
			"$what: rows as in heap ($set)");
	}
	return;
}

sub caught_up
{
	my ($standby) = @_;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "wal_log_hints = on\n");
$standby->start;

# -- the standby gives back what the primary has, but not before a restartpoint
punch($primary);
my $given = zeros($primary);
plan(skip_all => 'the file system has no holes') unless $given > 0;
caught_up($standby);
is(zeros($standby), 0, 'nothing is given back before a restartpoint');
same($standby, 'standby');
my $session = $standby->background_psql('postgres');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $sum = $session->query_safe('SELECT sum(v) FROM t');
$standby->safe_psql('postgres', 'CHECKPOINT');
# The next record of ours, some seconds later, finds it.  Each round updates a row
# of another page: a page touched twice could be pruned, and its record would wait
# for the session's snapshot and then cancel it, as on any standby.
my $zeros = 0;
for my $n (1 .. 20)
{
	$primary->safe_psql('postgres', "UPDATE $_ SET v = v + 1 WHERE id = $n * 500") foreach 't', 'h';
	caught_up($standby);
	$zeros = zeros($standby);
	last if $zeros > $given * 0.9;
	usleep(1_000_000);
}
cmp_ok($zeros, '>', $given * 0.9, "then it is ($zeros of $given)");
same($standby, 'standby that has given back its own');
is($session->query_safe('SELECT sum(v) FROM t'), $sum, 'a snapshot from before sees its rows');
$session->query_safe('COMMIT');
$session->quit;
# thawed blocks come back, and go again
$primary->safe_psql('postgres', 'CALL change(300)');
caught_up($standby);
same($standby, 'standby, after changes');
kill_server($standby);
$standby->start;
caught_up($standby);
same($standby, 'standby, killed and restarted');
punch($primary);
$primary->safe_psql('postgres', 'CALL change(10)');
caught_up($standby);
same($standby, 'standby, sealed anew');

# -- base backups while all that goes on
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/change.sql", "CALL change(20);\n");
append_to_file("$dir/seal.sql", "SELECT omendb.seal('t', true);\n");
append_to_file("$dir/vacuum.sql", "VACUUM t;\n");
append_to_file("$dir/checkpoint.sql", "CHECKPOINT;\n");
for my $n (1 .. $backups)
{
	my $load = start_load($primary, 4, [ "$dir/change.sql", 3 ], [ "$dir/seal.sql", 2 ],
		[ "$dir/vacuum.sql", 2 ], [ "$dir/checkpoint.sql", 2 ]);
	usleep(700_000);
	$primary->backup("b$n");
	stop_load($load);
	my $copy = PostgreSQL::Test::Cluster->new("copy$n");
	$copy->init_from_backup($primary, "b$n", has_streaming => 1);
	$copy->start;
	caught_up($copy);
	same($copy, "backup $n");
	$copy->promote;
	$copy->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
	$copy->safe_psql('postgres', "INSERT INTO t SELECT g, 1, 'new' FROM generate_series(100001, 102000) g; INSERT INTO h SELECT * FROM t WHERE id > 100000");
	same($copy, "backup $n, promoted");
	punch($copy);
	same($copy, "backup $n, sealed and given back");
	crash_free($copy, "backup $n");
	$copy->stop('immediate');
	$copy->clean_node;
}
same($primary, 'primary, after the load');

# -- promotion and pg_rewind: both sides thaw, seal and give back differently
punch($primary);
$primary->safe_psql('postgres', 'CALL change(5)');
# and one whose header page the other side does not have like that
$primary->safe_psql('postgres', "CREATE TABLE r (id int, pad text) USING omendb; INSERT INTO r SELECT id, pad FROM h");
seal_all($primary, 'r');
caught_up($standby);
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
# the old primary goes on alone
$primary->safe_psql('postgres', 'CALL change(100)');
punch($primary);
$primary->safe_psql('postgres', 'VACUUM r');
cmp_ok($primary->safe_psql('postgres', q{SELECT marker_bytes < cold_pages * 2048 FROM omendb.table_size('r'), (SELECT sum(cold_pages) AS cold_pages FROM omendb.row_groups('r')) g}), 'eq', 't', 'the old primary has given back blocks');
$primary->safe_psql('postgres', 'CALL change(50)');
$standby->safe_psql('postgres', 'CALL change(100)');
punch($standby);
$standby->safe_psql('postgres', 'CALL change(50)');
$standby->safe_psql('postgres', 'CHECKPOINT');
same($standby, 'promoted');
$primary->stop;
my $conf = slurp_file($primary->data_dir . '/postgresql.conf');
command_ok(
	[
		'pg_rewind', '-D', $primary->data_dir, '--source-server',
		$standby->connstr('postgres'), '--no-sync'
	],
	'pg_rewind');
open(my $fh, '>', $primary->data_dir . '/postgresql.conf') or die;
print $fh $conf;
close $fh;
$primary->append_conf('postgresql.conf', "primary_conninfo = '" . $standby->connstr . "'\n");
$primary->set_standby_mode;
$primary->start;
$standby->wait_for_catchup($primary, 'replay', $standby->lsn('insert'));
same($primary, 'rewound');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM r'), $rows, 'rewound: blocks that only the old primary had given back');
is($primary->safe_psql('postgres', "SELECT count(*) FROM r WHERE ctid = '(70,1)'"), 1, 'rewound: likewise, by TID');
crash_free($_, $_->name) foreach $primary, $standby;
$primary->stop;
$standby->stop;

done_testing();
