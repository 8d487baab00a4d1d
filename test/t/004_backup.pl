# Base backups taken while rows are sealed, thawed and collected: what is
# restored is what was there.  BACKUPS sets how many (default 2).

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $backups = $ENV{BACKUPS} // 2;
my $rows = 4000;

my $node = omen_node('source', page_checksums => 'default', 'checkpoint_timeout' => "'30s'", 'max_wal_size' => "'1GB'");
make_twins($node, $rows);
seal_all($node, 'acct');
my $dir = PostgreSQL::Test::Utils::tempdir;
twin_scripts($dir, $rows);

for my $n (1 .. $backups)
{
	my $load = start_load($node, 10, [ "$dir/change.sql", 2 ], [ "$dir/maintain.sql", 2 ],
		[ "$dir/checkpoint.sql", 1 ]);
	usleep(500_000);
	# a slow backup, so that much happens meanwhile
	$node->command_ok(
		[
			'pg_basebackup', '-D', $node->backup_dir . "/b$n", '-X', 'stream',
			'--checkpoint', ($n % 2 ? 'fast' : 'spread'), '--no-sync',
			'--max-rate', '8M', '-h', $node->host, '-p', $node->port
		],
		"backup $n taken under load");
	command_ok([ 'pg_verifybackup', $node->backup_dir . "/b$n" ], "backup $n: its manifest is right");
	my $restored = PostgreSQL::Test::Cluster->new("restored$n");
	$restored->init_from_backup($node, "b$n");
	$restored->start;
	compare_twins($restored, "backup $n restored");
	check_indexes($restored, "backup $n restored");
	$restored->safe_psql('postgres', 'UPDATE acct SET v = 7 WHERE id % 10 = 0; UPDATE acct_heap SET v = 7 WHERE id % 10 = 0; VACUUM (FREEZE) acct');
	seal_all($restored, 'acct');
	compare_twins($restored, "backup $n written and sealed");
	check_store($restored, "backup $n", 'acct');
	crash_free($restored, "backup $n");
	$restored->stop;
	$restored->clean_node;
	stop_load($load);
	compare_twins($node, "the source after backup $n");
}
seal_all($node, 'acct');
check_store($node, 'the source', 'acct');
crash_free($node, 'the source');
$node->stop;

done_testing();
