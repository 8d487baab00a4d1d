# SIGKILL of the whole server under a mixed load, half of the times inside
# seal, thaw, unseal, ingest and garbage collection.  After each restart the
# committed rows are there, indexes agree, and at the end nothing has leaked.
#
# KILLS sets how often (default 12).

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep time);
use Test::More;

my $kills = $ENV{KILLS} // 12;
my $rows = 3000;
srand($ENV{SEED} // 42);

# in an order in which a short run meets each kind
my @events = qw(
  seal-before-page thaw-after-page unseal-draining file-after-rename
  drop-after-log gc-before-drop seal-after-header thaw-before-page
  unseal-before-last file-after-log drop-before-unlink file-before-ingest
  seal-after-page seal-before-file seal-before-header file-before-log
  ingest-before-rocksdb cache-before-load
);

my $node = omen_node('crash', page_checksums => 'default', 'checkpoint_timeout' => "'30s'", 'autovacuum_naptime' => 1,
	'full_page_writes' => 'on');
make_twins($node, $rows);
seal_all($node, 'acct');
my $dir = PostgreSQL::Test::Utils::tempdir;
twin_scripts($dir, $rows);
# row groups whose table goes: work for garbage collection
append_to_file(
	"$dir/garbage.sql", q{
DROP TABLE IF EXISTS junk;
CREATE TABLE junk (id int, note text) USING omendb;
INSERT INTO junk SELECT g, md5(g::text) FROM generate_series(1, 400) g;
SELECT omendb.seal('junk', true);
DROP TABLE junk;
SELECT omendb.gc();
\sleep 20 ms
});

my ($at_events, $anywhere) = (0, 0);
my %stopped_at;
for my $n (1 .. $kills)
{
	my $event;
	my $load;
	if ($n % 2 == 1)
	{
		# armed before the load, so that whatever comes first is hit
		$event = $events[ int(($n - 1) / 2) % @events ];
		my $skip = int(rand(4));
		$node->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'wait', $skip)");
	}
	$load = start_load($node, 60, [ "$dir/change.sql", 3 ], [ "$dir/maintain.sql", 1 ],
		[ "$dir/checkpoint.sql", 1 ], [ "$dir/read.sql", 1 ], [ "$dir/garbage.sql", 1 ]);
	if (defined $event)
	{
		my $until = time() + 6;
		my $waiting = 0;
		while (time() < $until)
		{
			my ($rc, $out) = $node->psql('postgres', "SELECT omendb.stop_event_waiting('$event')", timeout => 10);
			if (defined $out && $out =~ /^[1-9]/)
			{
				$waiting = 1;
				last;
			}
			usleep(20_000);
		}
		if ($waiting)
		{
			# let the others go on for a moment around the one that stands still
			usleep(int(rand(300_000)));
			$at_events++;
			$stopped_at{$event}++;
		}
		else
		{
			note("stop event $event was not reached");
			$anywhere++;
		}
	}
	else
	{
		usleep(200_000 + int(rand(1_500_000)));
		$anywhere++;
	}
	kill_server($node);
	stop_load($load);
	$node->start;
	my $what = "kill $n" . (defined $event ? " ($event)" : '');
	my $ok = compare_twins($node, $what);
	$ok = check_indexes($node, $what) && $ok;
	last unless $ok;
}
note("killed $at_events times at stop events: " . join(', ', map { "$_ $stopped_at{$_}" } sort keys %stopped_at));
note("killed $anywhere times anywhere");
cmp_ok($at_events, '>=', int($kills / 3), 'stop events were reached');

# the table can be worked with as before
$node->safe_psql('postgres', 'DROP TABLE IF EXISTS junk');
$node->safe_psql('postgres', 'VACUUM (FREEZE) acct');
seal_all($node, 'acct');
compare_twins($node, 'sealed again');
check_indexes($node, 'sealed again');
check_store($node, 'at the end', 'acct');
$node->restart;
compare_twins($node, 'after a clean restart');
check_store($node, 'after a clean restart', 'acct');
$node->safe_psql('postgres', 'DROP TABLE acct');
check_store($node, 'table dropped');
crash_free($node, 'the log');
$node->stop;

done_testing();
