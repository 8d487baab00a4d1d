# Versions of rows whose key does not change: an alex index must not grow beyond
# the size of nbtree's on the same table, and what it removes must be dead; with
# the pages compared on a standby, which a snapshot holds up for a while.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('alex_churn');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.seal = off
omendb.alex_retrain = off
wal_consistency_checking = 'omendb_alex'
fsync = off
wal_keep_size = '2GB'
max_wal_size = '4GB'
autovacuum = off
jit = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('alex_churn_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf',
	"max_standby_streaming_delay = -1\nhot_standby_feedback = off\n");
$standby->start;

sub churn_done
{
	my ($what, $table, @indexes) = @_;
	foreach my $index (@indexes)
	{
		my ($alex, $btree) = split /\|/, $node->safe_psql('postgres',
			"SELECT pg_relation_size('${table}_a_$index'), pg_relation_size('${table}_b_$index')");
		# an empty index has four pages, nbtree's one; and with INCLUDE the key
		# is there twice, which is one page of 18 more
		cmp_ok($alex, '<=', $btree + 4 * 8192, "$what: $index is not larger than nbtree's and four pages");
		$node->safe_psql('postgres', "SELECT omendb.alex_check('${table}_a_$index', true)");
	}
	my $plain = $node->safe_psql('postgres',
		"SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k), sum(v) FROM $table");
	is( $node->safe_psql('postgres', qq{
			SET enable_seqscan = off; SET enable_bitmapscan = off;
			SELECT count(*), sum(k), sum(v) FROM $table WHERE k > 0;}),
		$plain, "$what: all rows through the index");
	return $plain;
}

foreach my $am (qw(heap omendb))
{
	# few rows, many rounds; with a payload, with a unique key
	$node->safe_psql('postgres', qq{
		CREATE TABLE few_$am (k int, v int, pad text) USING $am;
		INSERT INTO few_$am SELECT i, 0, repeat('x', 100) FROM generate_series(1, 300) i;
		CREATE INDEX few_${am}_v ON few_$am (v);
		CREATE INDEX few_${am}_a_plain ON few_$am USING alex (k);
		CREATE INDEX few_${am}_b_plain ON few_$am (k);
		CREATE UNIQUE INDEX few_${am}_a_unique ON few_$am USING alex (k) INCLUDE (pad);
		CREATE UNIQUE INDEX few_${am}_b_unique ON few_$am (k) INCLUDE (pad);
		CREATE TABLE many_$am (k int, v int) USING $am;
		INSERT INTO many_$am SELECT i, 0 FROM generate_series(1, 5000) i;
		CREATE INDEX many_${am}_v ON many_$am (v);
		CREATE INDEX many_${am}_a_plain ON many_$am USING alex (k);
		CREATE INDEX many_${am}_b_plain ON many_$am (k);
		CREATE UNIQUE INDEX many_${am}_a_unique ON many_$am USING alex (k);
		CREATE UNIQUE INDEX many_${am}_b_unique ON many_$am (k);
	});
	$node->safe_psql('postgres', qq{
		DO \$\$ BEGIN FOR r IN 1..60 LOOP UPDATE few_$am SET v = v + 1; COMMIT; END LOOP; END \$\$;
		DO \$\$ BEGIN FOR r IN 1..10 LOOP UPDATE many_$am SET v = v + 1; COMMIT; END LOOP; END \$\$;
	});
	churn_done("$am, few rows", "few_$am", 'plain', 'unique');
	churn_done("$am, many rows", "many_$am", 'plain', 'unique');

	# a unique key deleted and inserted again, which is no UPDATE
	$node->safe_psql('postgres', qq{
		CREATE TABLE again_$am (k int, v int) USING $am;
		INSERT INTO again_$am SELECT i, 0 FROM generate_series(1, 500) i;
		CREATE UNIQUE INDEX again_${am}_a_unique ON again_$am USING alex (k);
		CREATE UNIQUE INDEX again_${am}_b_unique ON again_$am (k);
		DO \$\$ BEGIN FOR r IN 1..50 LOOP
			DELETE FROM again_$am;
			INSERT INTO again_$am SELECT i, r FROM generate_series(1, 500) i; COMMIT;
		END LOOP; END \$\$;
	});
	churn_done("$am, deleted and inserted", "again_$am", 'unique');

	# where VACUUM has made room, rows are no longer in the order of their age
	$node->safe_psql('postgres', "VACUUM many_$am");
	$node->safe_psql('postgres', qq{
		DO \$\$ BEGIN PERFORM setseed(0.3); FOR r IN 1..50 LOOP
			UPDATE many_$am SET v = v + 1 WHERE k IN (SELECT 1 + (random() * 4999)::int FROM generate_series(1, 500));
			COMMIT;
		END LOOP; END \$\$;
	});
	churn_done("$am, after VACUUM", "many_$am", 'plain', 'unique');
}

# rows that a snapshot still needs stay in the index, here and on a standby.
# Pages of "roomy" are never pruned, as they have room, if not for one row more:
# no other record than that of the index tells the standby to wait.
$node->safe_psql('postgres', q{
	CREATE TABLE seen (k int, v int);
	INSERT INTO seen SELECT i, 0 FROM generate_series(1, 2000) i;
	CREATE INDEX seen_v ON seen (v);
	CREATE INDEX seen_a_plain ON seen USING alex (k);
	CREATE INDEX seen_b_plain ON seen (k);
	CREATE TABLE roomy (k int, v int, pad text);
	INSERT INTO roomy SELECT i, 0, repeat('x', 1700) FROM generate_series(1, 200) i;
	CREATE UNIQUE INDEX roomy_k ON roomy USING alex (k);
});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
sub by_index { return "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k), sum(v) FROM $_[0] WHERE k > 0;"; }
# until replay has to wait for a snapshot, or has come to the end without
sub replay_waits
{
	my $lsn = $node->lsn('insert');
	$standby->poll_query_until('postgres',
		"SELECT pg_last_wal_replay_lsn() >= '$lsn' OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryConflictSnapshot')")
	  or die 'replay neither goes on nor waits';
}
my @sessions = ($node->background_psql('postgres'), $standby->background_psql('postgres'));
foreach my $session (@sessions)
{
	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is($session->query_safe(by_index('seen')), '2000|2001000|0', 'a snapshot before');
	is($session->query_safe(by_index('roomy')), '200|20100|0', 'and of another table');
}
my $churn = q{DO $$ BEGIN FOR r IN 1..10 LOOP UPDATE seen SET v = v + 1; COMMIT; END LOOP; END $$};
my $again = q{DO $$ BEGIN FOR r IN 1..10 LOOP
	DELETE FROM roomy; COMMIT;
	INSERT INTO roomy SELECT i, r, repeat('x', 1700) FROM generate_series(1, 200) i; COMMIT;
END LOOP; END $$};
$node->safe_psql('postgres', $_) foreach $churn, $again;
is($sessions[0]->query_safe(by_index('seen')), '2000|2001000|0', 'the same after updates');
is($sessions[0]->query_safe(by_index('roomy')), '200|20100|0', 'and after keys were inserted again');
$sessions[0]->query_safe('COMMIT');
$sessions[0]->quit;
$node->safe_psql('postgres', $again);
replay_waits();
is($sessions[1]->query_safe(by_index('roomy')), '200|20100|0', 'the same on a standby when killed entries are removed');
$node->safe_psql('postgres', $churn) foreach 1 .. 3;
is($sessions[1]->query_safe(by_index('seen')), '2000|2001000|0', 'the same on a standby when old versions are removed');
$sessions[1]->query_safe('COMMIT');
$sessions[1]->quit;
my $by_index = by_index('seen');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $by_index), '2000|2001000|80000', 'standby has all');
is($node->safe_psql('postgres', $by_index), '2000|2001000|80000', 'and the primary');
$standby->safe_psql('postgres', "SELECT omendb.alex_check('seen_a_plain', true)");

# entries of rows that are sealed meanwhile are none of these
$node->safe_psql('postgres', q{
	CREATE TABLE cold (k int, v int, w int) USING omendb;
	INSERT INTO cold SELECT i % 5000, i, 0 FROM generate_series(1, 20000) i;
	CREATE INDEX cold_v ON cold (v);
	CREATE INDEX cold_a_plain ON cold USING alex (k);
	CREATE INDEX cold_b_plain ON cold (k);
	VACUUM (FREEZE) cold;
	SELECT omendb.seal('cold');
	DO $$ BEGIN FOR r IN 1..10 LOOP UPDATE cold SET v = v + 1 WHERE v % 10 = 0 OR w > 0; UPDATE cold SET w = 1, v = v + 1 WHERE k = r; COMMIT; END LOOP; END $$;
});
$node->safe_psql('postgres', "SELECT omendb.alex_check('cold_a_plain', true)");
is( $node->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(k) FROM cold WHERE k >= 0'),
	'20000|49990000', 'sealed rows keep their entries');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->stop;
crash_free($standby, 'the log of the standby');
crash_free($node, 'the log');
$node->stop;
done_testing();
