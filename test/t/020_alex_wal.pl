# The index access method alex: replay of every kind of record with the pages
# compared (wal_consistency_checking), a hot standby, promotion, and death at
# each pause point of splits and page deletion.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest qw(wait_restarted);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('alex_primary');
$primary->init(allows_streaming => 1);
$primary->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'omendb'
omendb.stop_events = on
omendb.seal = off
omendb.alex_retrain = off
wal_consistency_checking = 'all'
wal_keep_size = '2GB'
max_wal_size = '4GB'
autovacuum = off
restart_after_crash = on
jit = off
});
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('alex_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf',
	"max_standby_streaming_delay = 10s\nhot_standby_feedback = off\n");
$standby->start;

sub caught_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}

my @indexes = qw(w_a w_u w_f w_w w_m w_x w_j w_p w_c);
my $check = 'SELECT '
  . join(', ', map { "omendb.alex_check('$_', true)" } @indexes);
my $state = q{
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(a) FROM (SELECT a FROM w ORDER BY a) x;
SELECT count(*), sum(a) FROM (SELECT a FROM w ORDER BY f DESC) x;
SELECT count(*), sum(length(pad)) FROM (SELECT wide, pad FROM w ORDER BY wide DESC) x;
SELECT u, a FROM w WHERE u < 50 ORDER BY u;
SELECT count(*), sum(a) FROM (SELECT a FROM w ORDER BY wide, f DESC NULLS LAST, a) x;
SELECT count(*), count(f) FROM (SELECT f, x, u FROM w ORDER BY x DESC, u) x;
SELECT count(*), sum(a) FROM (SELECT a FROM w ORDER BY ARRAY[a]) x;
SELECT count(*), md5(string_agg(k, ',')) FROM (SELECT k FROM c ORDER BY k) x;
};

# nothing is in doubt: the same from the table itself
my $truth = q{
SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(a) FROM w;
SELECT count(*), sum(a) FROM w;
SELECT count(*), sum(length(pad)) FROM w;
SELECT u, a FROM w WHERE u < 50 ORDER BY u;
SELECT count(*), sum(a) FROM w;
SELECT count(*), count(f) FROM w;
SELECT count(*), sum(a) FROM w;
SELECT count(*), md5(string_agg(k, ',' ORDER BY k)) FROM c;
};

sub same_everywhere
{
	my ($what) = @_;
	my $expected = $primary->safe_psql('postgres', $truth);
	$primary->safe_psql('postgres', $check);
	is($primary->safe_psql('postgres', $state), $expected, "$what: primary");
	caught_up();
	$standby->safe_psql('postgres', $check);
	is($standby->safe_psql('postgres', $state), $expected, "$what: standby");
	return;
}

# inserts into every kind of leaf: random, ascending, duplicates, floats that
# keep their originals, wide payloads (which make the tree high)
$primary->safe_psql(
	'postgres', q{
CREATE TABLE w (a int8, u int, f float8, wide int, pad text,
  x text COLLATE "C" GENERATED ALWAYS AS ('tenant-0000-0000-0000-' || repeat('x', coalesce(wide, 0) % 300) || coalesce(a, 0)) STORED);
ALTER TABLE w ALTER pad SET STORAGE EXTERNAL;
CREATE INDEX w_a ON w USING alex (a);
CREATE UNIQUE INDEX w_u ON w USING alex (u);
CREATE INDEX w_f ON w USING alex (f DESC);
CREATE INDEX w_w ON w USING alex (wide) INCLUDE (pad);
-- several columns; keys whose images are all the same; keys without images
CREATE INDEX w_m ON w USING alex (wide, f DESC NULLS LAST, a);
CREATE INDEX w_x ON w USING alex (x, u) INCLUDE (f);
CREATE INDEX w_j ON w USING alex ((ARRAY[a]));
SELECT setseed(0.5);
INSERT INTO w SELECT (random() * 1e12)::int8, i,
    CASE WHEN i % 10 = 0 THEN '-0' ELSE random() END, (random() * 1e6)::int,
    repeat(md5(i::text), 22)
  FROM generate_series(1, 6000) i;
INSERT INTO w (a) SELECT i % 3 FROM generate_series(1, 4000) i;
INSERT INTO w (u) SELECT NULL FROM generate_series(1, 2000) i;
-- images behind a prefix, which the meta page has
CREATE INDEX w_p ON w USING alex (x DESC, wide) INCLUDE (pad);
-- images in a code, which the meta page has too
CREATE TABLE c (k text COLLATE "C");
INSERT INTO c SELECT (ARRAY['libboost-filesystem', 'libboost-program-options', 'postgresql-server'])[1 + i % 3] || '-dev_' || i % 500 || '.' || i / 500
  FROM generate_series(1, 6000) i;
CREATE INDEX w_c ON c USING alex (k);
});
is($primary->safe_psql('postgres', "SELECT prefix_length FROM omendb.alex_stats('w_p')"), length('tenant-0000-0000-0000-'),
	'an index with a prefix');
# what is logged of the meta page leaves the code as it is: a new root, VACUUM's count
$primary->safe_psql(
	'postgres', q{
INSERT INTO c SELECT 'libboost-' || md5(i::text) FROM generate_series(1, 80000) i;
DELETE FROM c WHERE k < 'libboost-8';
VACUUM c;
});
is($primary->safe_psql('postgres', "SELECT version || ' ' || (height > 1) || ' ' || (deleted_pages > 0) FROM omendb.alex_stats('w_c')"),
	'6 true true', 'an index with a code, a new root and deleted pages');
cmp_ok($primary->safe_psql('postgres', "SELECT height FROM omendb.alex_stats('w_w')"), '>=', 2,
	'inner pages have been split');
same_everywhere('inserts');

# removal by VACUUM, unlinking, recycling
$primary->safe_psql(
	'postgres', q{
DELETE FROM w WHERE u BETWEEN 500 AND 4000 OR a = 1;
VACUUM w;
DELETE FROM w WHERE wide BETWEEN 100000 AND 700000;
VACUUM w;
});
cmp_ok($primary->safe_psql('postgres', "SELECT deleted_pages FROM omendb.alex_stats('w_w')"), '>', 100,
	'leaves have been unlinked');
same_everywhere('vacuum');
$primary->safe_psql('postgres', 'SELECT txid_current()') for 1 .. 3;
my $pages = $primary->safe_psql('postgres', "VACUUM w; SELECT pages FROM omendb.alex_stats('w_w')");
$primary->safe_psql(
	'postgres', q{
INSERT INTO w SELECT i * 77, 10000 + i, random(), (random() * 1e6)::int,
    repeat(md5(i::text), 22)
  FROM generate_series(1, 700) i;
});
is($primary->safe_psql('postgres', "SELECT pages FROM omendb.alex_stats('w_w')"), $pages,
	'unlinked leaves are recycled');
same_everywhere('recycling');

# branches: inner pages go with their last leaf
$primary->safe_psql(
	'postgres', q{
CREATE TABLE q (a int, pad text, l text COLLATE "C");
ALTER TABLE q ALTER pad SET STORAGE EXTERNAL, ALTER l SET STORAGE EXTERNAL;
CREATE INDEX q_a ON q USING alex (a) INCLUDE (pad);
CREATE UNIQUE INDEX q_l ON q USING alex (l);
INSERT INTO q SELECT i, repeat('x', 1200), repeat('x', 800 + 280 * (i % 2)) || lpad((i * 7919 % 6007)::text, 8, '0') FROM generate_series(1, 6000) i;
});
my $q_check = "SELECT omendb.alex_check('q_a', true), omendb.alex_check('q_l', true)";
$primary->safe_psql('postgres', $q_check);
cmp_ok($primary->safe_psql('postgres', "SELECT height FROM omendb.alex_stats('q_l')"), '>=', 3,
	'keys of the greatest length make a high tree');
my $inner = "SELECT inner_pages FROM omendb.alex_stats('q_a')";
my $inner_before = $primary->safe_psql('postgres', $inner);
$primary->safe_psql('postgres', 'DELETE FROM q WHERE a < 5500; VACUUM q');
cmp_ok($primary->safe_psql('postgres', $inner), '<', $inner_before - 1, 'branches have been unlinked');
$primary->safe_psql('postgres', $q_check);
caught_up();
$standby->safe_psql('postgres', $q_check);
is($standby->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*), sum(a) FROM (SELECT a FROM q ORDER BY l) x'),
	'501|2880750', 'and by the long keys');
is($standby->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), min(a), max(a) FROM q WHERE a > 0'),
	'501|5500|6000', 'on the standby too');

# killed entries
$primary->safe_psql(
	'postgres', q{
SET enable_seqscan = off; SET enable_bitmapscan = off;
CREATE TABLE k (a int);
CREATE INDEX k_a ON k USING alex (a);
DO $$
BEGIN
  FOR i IN 1..20 LOOP
    INSERT INTO k SELECT generate_series(1, 200);
    DELETE FROM k WHERE a > 5;
    COMMIT;
    PERFORM count(*) FROM k WHERE a > 0;
  END LOOP;
END $$;
});
cmp_ok($primary->safe_psql('postgres', "SELECT entries FROM omendb.alex_stats('k_a')"), '<', 2000,
	'killed entries have been removed');
caught_up();
$standby->safe_psql('postgres', "SELECT omendb.alex_check('k_a', true)");

# grouped leaves: they come about, are filled, split, emptied, get gaps for keys
# of their own and for payloads, and become grouped again
$primary->safe_psql(
	'postgres', q{
CREATE TABLE g (a int, f float8, id int);
CREATE INDEX g_a ON g USING alex (a DESC);
CREATE INDEX g_f ON g USING alex (f NULLS FIRST);
CREATE INDEX g_id ON g USING alex (id);
});
my $g_check = "SELECT omendb.alex_check('g_a', true), omendb.alex_check('g_f', true)";
my $g_state = q{
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(id), min(a), max(a) FROM (SELECT a, id FROM g ORDER BY a) x;
SELECT count(*), sum(id), count(f) FROM (SELECT f, id FROM g ORDER BY f NULLS FIRST) x;
SELECT count(*), sum(id) FROM g WHERE a = 3; SELECT count(*), sum(id) FROM g WHERE f IS NULL;
};
my $g_truth = q{
SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(id), min(a), max(a) FROM g;
SELECT count(*), sum(id), count(f) FROM g;
SELECT count(*), sum(id) FROM g WHERE a = 3; SELECT count(*), sum(id) FROM g WHERE f IS NULL;
};
foreach my $step (
	[ 'filled', 'INSERT INTO g SELECT i % 7, NULLIF(i % 5, 3), i FROM generate_series(1, 12000) i' ],
	[ 'in another order', 'INSERT INTO g SELECT i % 50, i % 200, i FROM generate_series(12001, 20000) i ORDER BY md5(i::text)' ],
	[ 'killed', 'DELETE FROM g WHERE id % 3 = 0; SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT sum(id) FROM g WHERE a >= 0; SELECT sum(id) FROM g WHERE f >= 0 OR f IS NULL;'
		  . 'INSERT INTO g SELECT i % 7, i % 5, i FROM generate_series(20001, 30000) i' ],
	[ 'versions', 'UPDATE g SET id = -id; UPDATE g SET id = -id; UPDATE g SET id = -id' ],
	[ 'vacuum', 'DELETE FROM g WHERE a IN (1, 2) OR f = 1 OR id % 2 = 0; VACUUM g' ],
	[ 'single keys', 'INSERT INTO g SELECT i * 7919 % 9973, i, i FROM generate_series(1, 9000) i' ],
	[ 'payloads', q{INSERT INTO g SELECT 3, CASE WHEN i % 50 = 0 THEN '-0'::float8 ELSE 0 END, i FROM generate_series(1, 5000) i} ],
	[ 'emptied', 'DELETE FROM g WHERE a > 3 OR f > 0; VACUUM g; INSERT INTO g SELECT i % 3, i % 2, i FROM generate_series(1, 5000) i; DELETE FROM g WHERE id > 10; VACUUM g' ],
	[ 'built', 'INSERT INTO g SELECT i % 9, i % 5, i FROM generate_series(1, 20000) i; REINDEX TABLE g' ])
{
	$primary->safe_psql('postgres', $step->[1]);
	my $expected = $primary->safe_psql('postgres', $g_truth);
	$primary->safe_psql('postgres', $g_check);
	is($primary->safe_psql('postgres', $g_state), $expected, "groups, $step->[0]: primary");
	cmp_ok($primary->safe_psql('postgres', "SELECT entries / leaf_pages FROM omendb.alex_stats('g_a')"), '>', 600, "groups, $step->[0]: more than slots")
	  if $step->[0] =~ /filled|built/;
	caught_up();
	$standby->safe_psql('postgres', $g_check);
	is($standby->safe_psql('postgres', $g_state), $expected, "groups, $step->[0]: standby");
}

# a query on the standby with one snapshot while the primary vacuums
my $session = $standby->background_psql('postgres');
$session->query_safe('SET enable_seqscan = off; SET enable_bitmapscan = off');
$session->query_safe('BEGIN; DECLARE c SCROLL CURSOR FOR SELECT a FROM w WHERE a > 0 ORDER BY a');
my $first = $session->query_safe('FETCH 100 FROM c');
$primary->safe_psql('postgres', 'INSERT INTO w (a) SELECT i FROM generate_series(1, 3000) i');
caught_up();
is(scalar(split /\n/, $session->query_safe('FETCH 500 FROM c')), 500, 'a standby cursor goes on amid splits');
$session->query_safe('MOVE ABSOLUTE 0 FROM c');
is($session->query_safe('FETCH 100 FROM c'), $first, 'and back');
$session->query_safe('COMMIT');
$session->quit;
same_everywhere('standby cursor');

# death at each pause point; recovery, then the repair of what was left
my %script = (
	'alex-split-before' => 'ins',
	'alex-split-after-right' => 'ins',
	'alex-split-before-downlink' => 'ins',
	'alex-split-inner' => 'ins',
	'alex-unlink-before' => 'del',
	'alex-unlink-after' => 'del',
	'alex-vacuum-leaf' => 'del');
my $round = 0;
foreach my $event (sort keys %script)
{
	$round++;
	my $lo = $round * 100000;
	my $rows = $event eq 'alex-split-inner' ? 4000 : 1000;
	my $fill = qq{INSERT INTO w SELECT $lo + i, NULL, i, 2000000 + $lo + i,
		repeat(md5(i::text), 22)
		FROM generate_series(1, $rows) i;};
	my $sql = $fill;
	if ($script{$event} eq 'del')
	{
		$primary->safe_psql('postgres', $fill);
		$sql = "DELETE FROM w WHERE a BETWEEN $lo AND $lo + 4000; VACUUM w;";
	}
	my $skip = $event eq 'alex-split-inner' ? 0 : 5 + $round;
	my $start = -s $primary->logfile;
	$primary->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'kill', $skip)");
	my ($ret, $out, $err) = $primary->psql('postgres', $sql);
	isnt($ret, 0, "$event: died there");
	wait_restarted($primary, $start);
	like(slurp_file($primary->logfile, $start), qr/was terminated by signal 9/, "$event: by SIGKILL");
	same_everywhere("$event: recovered");
	# the same work again meets what was left undone
	$primary->safe_psql('postgres', $sql);
	same_everywhere("$event: repaired");
}

# a split that stands still: readers and other writers
$primary->safe_psql('postgres', q{
CREATE TABLE s (a int);
INSERT INTO s SELECT i * 10 FROM generate_series(1, 5000) i;
-- leaves with room: only the writer below splits one
CREATE INDEX s_a ON s USING alex (a) WITH (fillfactor = 60);
SELECT omendb.stop_event_set('alex-split-before-downlink', 'wait')});
my $writer = $primary->background_psql('postgres');
$writer->query_until(qr/begun/, "\\echo begun\nINSERT INTO s SELECT 20000 + i % 10 FROM generate_series(1, 600) i;\n\\echo done\n");
$primary->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('alex-split-before-downlink') > 0")
  or die 'nobody reached the split';
is($primary->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM s WHERE a < 15000'),
	1499, 'reads left of a standing split');
is($primary->safe_psql('postgres', 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM s WHERE a > 30000'),
	2000, 'reads right of it');
$primary->safe_psql('postgres', 'INSERT INTO s VALUES (5), (49995)');
$primary->safe_psql('postgres', "SELECT omendb.stop_event_clear('alex-split-before-downlink')");
$writer->quit;
is($primary->safe_psql('postgres', "SELECT omendb.alex_check('s_a', true); SELECT count(*) FROM s"),
	"\n5602", 'and it goes on');

# the standby takes over
caught_up();
$primary->stop('immediate');
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
$standby->safe_psql('postgres', $check);
$standby->safe_psql('postgres', q{
INSERT INTO w (a, u) SELECT i * 3, 1000000 + i FROM generate_series(1, 5000) i;
DELETE FROM w WHERE a % 2 = 0;
VACUUM w;
});
is($standby->safe_psql('postgres', $state), $standby->safe_psql('postgres', $truth), 'after promotion');
$standby->safe_psql('postgres', $check);
$standby->stop;

done_testing();
