# A hot standby: queries with one snapshot while the primary freezes, seals,
# thaws and vacuums; every page compared in replay (wal_consistency_checking);
# the standby killed in the middle of redo; promotion.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $rows = 3000;
my $rounds = $ENV{ROUNDS} // 3;

my $primary = omen_node('primary', page_checksums => 'default', 'wal_consistency_checking' => "'all'", 'max_wal_size' => "'2GB'");
make_twins($primary, $rows);
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 20s\nhot_standby_feedback = off\n");
$standby->start;

sub fingerprint
{
	my ($table) = @_;
	return "SELECT count(*), sum(v), sum(hashtext(a::text)::bigint) FROM $table a";
}

sub caught_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}

# one snapshot on the standby while the primary does everything to the table
caught_up();
my $session = $standby->background_psql('postgres');
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $before = $session->query_safe(fingerprint('acct'));

seal_all($primary, 'acct');
caught_up();
is($standby->safe_psql('postgres', "SELECT cold_rows('acct')"), $rows, 'the standby has the sealed rows');
is($session->query_safe(fingerprint('acct')), $before, 'REPEATABLE READ on the standby: sealed meanwhile');
# a cursor that stands on a sealed row does not hold up the replay of its thaw
# (on a hot page its pin would hold up the replay of a seal, as of a vacuum)
$session->query_safe('DECLARE c CURSOR FOR SELECT id, v FROM acct ORDER BY id');
my $first = $session->query_safe('FETCH 100 FROM c');
my $reads = $standby->safe_psql('postgres', 'SELECT misses + hits FROM omendb.cache_stats()');
cmp_ok($reads, '>', 0, 'the standby reads them from its own store');
$primary->safe_psql('postgres', 'UPDATE acct SET v = v + 1 WHERE id % 50 = 0; UPDATE acct_heap SET v = v + 1 WHERE id % 50 = 0');
caught_up();
is($session->query_safe(fingerprint('acct')), $before, 'REPEATABLE READ on the standby: thawed and updated meanwhile');
$primary->safe_psql('postgres', "SELECT omendb.unseal('acct')");
caught_up();
is($session->query_safe(fingerprint('acct')), $before, 'REPEATABLE READ on the standby: unsealed meanwhile');
is(scalar(split /\n/, $session->query_safe('FETCH 100 FROM c')), 100, 'the cursor goes on');
is($session->query_safe("SELECT count(*) FROM acct WHERE id BETWEEN 1 AND 500"), '500', 'index scans too');
$session->query_safe('COMMIT');
caught_up();
is($standby->safe_psql('postgres', fingerprint('acct')), $primary->safe_psql('postgres', fingerprint('acct')),
	'a new snapshot sees the updates');
$session->quit;

# what a standby refuses
foreach my $sql ("SELECT omendb.seal('acct', true)", "SELECT omendb.unseal('acct')", 'SELECT omendb.gc()')
{
	my ($rc, $out, $err) = $standby->psql('postgres', $sql);
	like($err, qr/recovery|read-only/, "on the standby: $sql is refused");
}

# load on the primary, readers on the standby, the standby killed in mid-redo
my $dir = PostgreSQL::Test::Utils::tempdir;
twin_scripts($dir, $rows);
for my $round (1 .. $rounds)
{
	my $load = start_load($primary, 6, [ "$dir/change.sql", 2 ], [ "$dir/maintain.sql", 1 ]);
	my $readers = start_load($standby, 6, [ "$dir/read.sql", 2 ]);
	my $readonly = $standby->background_psql('postgres');
	$readonly->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	my ($mismatch, $looks) = (0, 0);
	my $one = $readonly->query(fingerprint('acct'));
	my $two = $readonly->query(fingerprint('acct_heap'));
	# the twins' rows print alike, so the fingerprints must be equal
	is($one, $two, "round $round: both twins agree in one snapshot of the standby");
	usleep(1_500_000);
	my $again = $readonly->query(fingerprint('acct'));
	# a query may be cancelled by a conflict; if it was not, it saw the same rows
	if (defined $again && $again =~ /^\d+\|/)
	{
		is($again, $one, "round $round: and later in the same snapshot");
	}
	eval { $readonly->quit; };
	if ($round % 2 == 1)
	{
		kill_server($standby);
		stop_load($readers);
		$standby->start;
	}
	else
	{
		stop_load($readers);
	}
	stop_load($load);
	caught_up();
	compare_twins($standby, "round $round: on the standby");
	is($standby->safe_psql('postgres', fingerprint('acct')), $primary->safe_psql('postgres', fingerprint('acct')),
		"round $round: primary and standby agree");
}

# files of row groups are dropped on the standby as well
$primary->safe_psql('postgres', 'VACUUM (FREEZE) acct');
seal_all($primary, 'acct');
check_store($primary, 'primary', 'acct');
caught_up();
my @want = stored_ids($primary);
my @have;
for (1 .. 100)
{
	@have = stored_ids($standby);
	last if "@want" eq "@have";
	# what has been dropped waits for a checkpoint, and a restartpoint at it
	$_->safe_psql('postgres', 'CHECKPOINT') for $primary, $standby;
	usleep(200_000);
}
is("@have", "@want", 'the standby holds the same files');

# promotion
crash_free($primary, 'primary');
crash_free($standby, 'standby');
$primary->stop;
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
compare_twins($standby, 'promoted');
$standby->safe_psql('postgres', 'UPDATE acct SET v = v + 1 WHERE id < 1500; UPDATE acct_heap SET v = v + 1 WHERE id < 1500');
seal_all($standby, 'acct');
compare_twins($standby, 'promoted, written and sealed');
check_indexes($standby, 'promoted');
check_store($standby, 'promoted', 'acct');
crash_free($standby, 'promoted');
$standby->stop;

done_testing();
