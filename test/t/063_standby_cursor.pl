# Idle cursors on a standby do not stop replay of sealing, nor are they ended by
# it, as on heap tables.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OmenTest;

my $primary = omen_node('primary', 'autovacuum' => 'off', 'omendb.row_group_blocks' => 8,
	# VACUUM is not to seal
	'omendb.seal_delay' => 600);
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 4s\nhot_standby_feedback = off");
$standby->start;

$primary->safe_psql(
	'postgres', q{
CREATE TABLE t (id int PRIMARY KEY, k int, note text) USING omendb;
INSERT INTO t SELECT g, g % 100, repeat(md5(g::text), 3) FROM generate_series(1, 4000) g;
CREATE INDEX ON t (k);
VACUUM (FREEZE) t;
});
# pages with rows that nobody sees any more, or not yet
$primary->safe_psql(
	'postgres', q{
CREATE TABLE changed (id int, note text) USING omendb;
INSERT INTO changed SELECT g, repeat('x', 50) FROM generate_series(1, 3000) g;
UPDATE changed SET note = 'changed' WHERE id % 3 = 0;
DELETE FROM changed WHERE id % 5 = 0;
});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

is($standby->safe_psql('postgres', "SELECT cold_rows('t')"), 0, 'nothing is sealed yet');

for my $sample ('BERNOULLI (100)', 'SYSTEM (100)')
{
	is($standby->safe_psql('postgres', "SELECT count(*), count(DISTINCT id) FROM changed TABLESAMPLE $sample"),
		'2400|2400', "TABLESAMPLE $sample: the rows that the snapshot sees");
}

my %cursors = (
	'sequential' => ['', 'SELECT id, note FROM t'],
	'index' => ['SET enable_seqscan = off; SET enable_bitmapscan = off', 'SELECT id, note FROM t WHERE id > 0 ORDER BY id'],
	'bitmap' => ['SET enable_seqscan = off; SET enable_indexscan = off', 'SELECT id, note FROM t WHERE k >= 0 AND id > 0'],
	'lossy bitmap' => ["SET enable_seqscan = off; SET enable_indexscan = off; SET work_mem = '64kB'", 'SELECT id, note FROM t WHERE k >= 0'],
	'TID' => ['', "SELECT id, note FROM t WHERE ctid = ANY (ARRAY(SELECT format('(%s,%s)', b, l)::tid FROM generate_series(0, 80) b, generate_series(1, 64) l))"],
	'TID range' => ['SET enable_seqscan = off', "SELECT id, note FROM t WHERE ctid >= '(0,1)' AND ctid < '(100000,1)'"],
	'join' => ['SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET enable_bitmapscan = off',
		'SELECT a.id, b.note FROM t a JOIN t b USING (id) WHERE a.id > 0'],
	# few rows of a page: heap would look at them one by one
	'sample' => ['', 'SELECT id, note FROM t TABLESAMPLE BERNOULLI (20) REPEATABLE (3)'],
	'large sample' => ['', 'SELECT id, note FROM t TABLESAMPLE BERNOULLI (50) REPEATABLE (3)']);
my (%session, %others);
for my $kind (sort keys %cursors)
{
	my ($settings, $query) = @{ $cursors{$kind} };
	$others{$kind} = $standby->safe_psql('postgres', "$settings; SELECT count(*) - 101 FROM ($query) q");
	my $s = $session{$kind} = $standby->background_psql('postgres', on_error_die => 1);
	$s->query_safe("$settings; BEGIN; DECLARE c NO SCROLL CURSOR FOR $query");
	my ($row) = $s->query_safe('FETCH 1 FROM c');
	like($row, qr/^\d+\|[0-9a-f]{96}$/, "$kind: a row");
	# in the middle of a page
	$s->query_safe('MOVE 100 FROM c');
}

$primary->safe_psql('postgres', 'VACUUM t');
seal_all($primary, 't');
my $lsn = $primary->lsn('insert');
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
# well below the time after which the cursors would be ended
my $caught_up = 0;
for (1 .. 30)
{
	$caught_up = $standby->safe_psql('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'") eq 't';
	last if $caught_up;
	select(undef, undef, undef, 0.1);
}
ok($caught_up, 'sealing is replayed under open cursors');
is($standby->safe_psql('postgres', "SELECT sum(cold_rows) FROM omendb.row_groups('t')"), 4000, 'all rows are sealed there');
for my $kind (sort keys %session)
{
	my $s = $session{$kind};
	my $rows = $s->query_safe('FETCH ALL FROM c');
	my @rows = split /\n/, $rows;
	is(scalar @rows, $others{$kind}, "$kind: the other rows");
	my %seen = map { (split /\|/)[0] => 1 } @rows;
	is(scalar keys %seen, $others{$kind}, "$kind: each of them once");
	$s->query_safe('COMMIT');
	$s->quit;
}
is($standby->safe_psql('postgres', 'SELECT sum(confl_snapshot + confl_bufferpin + confl_lock) FROM pg_stat_database_conflicts'), 0, 'there was no conflict');

$standby->stop;
$primary->stop;
crash_free($_, $_->name) for ($primary, $standby);
done_testing();
