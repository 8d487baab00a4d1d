# omendb.reclaim_space = full under everything at once: rows change in an omendb
# table and its heap twin while it is sealed, given back, thawed, vacuumed,
# checkpointed and read, the free space map lies, and the server is killed, at
# random times or in the midst of a punch.  Both hold the same rows afterwards.
#
# KILLS (3), SEED.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $kills = $ENV{KILLS} // 3;
my $seed = $ENV{SEED} // time;
srand($seed);
note("SEED=$seed");

my $rows = 4000;
my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 64,
	'omendb.reclaim_space' => 'full',
	'omendb.reclaim_min_run' => 1,
	'shared_buffers' => "'1MB'",
	'max_wal_size' => "'1GB'");
make_twins($node, $rows);

my $dir = PostgreSQL::Test::Utils::tempdir;
twin_scripts($dir, $rows);
append_to_file("$dir/forge.sql", q{
\set b random(0, 150)
SELECT omendb.test_free_space('acct', :b, 4000) WHERE :b < pg_relation_size('acct') / 8192;
\sleep 20 ms
});
append_to_file("$dir/punch.sql", q{
SELECT omendb.seal('acct', true);
CHECKPOINT;
VACUUM acct;
\sleep 100 ms
});

sub zeros
{
	my $file = relation_file($node, 'acct');
	return scalar grep { read_block($file, $_) eq "\0" x 8192 } 0 .. (-s $file) / 8192 - 1;
}

my $given = 0;
my $refused = 0;
for my $n (1 .. $kills)
{
	my $event = ('', 'punch-declared', 'punch-before', 'punch-run', 'punch-after', 'thaw-before-page', 'thaw-after-page')[ rand 7 ];
	my $skip = int(rand(20));
	$node->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'kill', $skip)") if $event;
	my $load = start_load($node, 4, [ "$dir/change.sql", 3 ], [ "$dir/maintain.sql", 1 ],
		[ "$dir/punch.sql", 2 ], [ "$dir/forge.sql", 1 ], [ "$dir/read.sql", 2 ]);
	usleep(500_000 + rand(2_500_000));
	if (-e $node->data_dir . '/postmaster.pid')
	{
		eval { kill_server($node) };
	}
	my $out = stop_load($load);
	# nothing else may go wrong than that the server goes away
	foreach my $error (grep { /ERROR/ } split /\n/, $out)
	{
		$refused++ if $error =~ /could not insert into block/;
		next if $error =~ /could not (insert into block|serialize)|deadlock|current transaction is aborted|terminating connection|server closed|tuple concurrently|duplicate key/;
		fail("round $n: $error");
	}
	for (1 .. 1000)
	{
		last unless -e $node->data_dir . '/postmaster.pid' && kill(0, server_pid($node));
		usleep(10_000);
	}
	$node->{_pid} = undef;
	$node->start;
	compare_twins($node, "round $n ($event, $skip)");
	check_indexes($node, "round $n");
	$node->safe_psql('postgres', 'VACUUM acct');
	compare_twins($node, "round $n, vacuumed");
	$given += zeros();
}
cmp_ok($given, '>', 0, "blocks were given back ($given), insertions refused: $refused");
$node->safe_psql('postgres', 'VACUUM (FREEZE, INDEX_CLEANUP on) acct');
seal_all($node, 'acct');
compare_twins($node, 'at the end');
check_indexes($node, 'at the end');
my $log = slurp_file($node->logfile);
my @bad = grep { /PANIC|TRAP:|inconsistent page|is lost|holds no rows|is damaged|lost its header/ } split /\n/, $log;
diag($_) foreach @bad[0 .. ($#bad > 9 ? 9 : $#bad)];
is(scalar @bad, 0, 'nothing was taken for damage');
$node->stop;

done_testing();
