# What PostgreSQL opens from 18 on to unique indexes that are not btrees: on
# partitioned tables, as what foreign keys refer to, for ON CONFLICT through a
# partitioned table, and for REFRESH MATERIALIZED VIEW CONCURRENTLY.  With alex
# indexes, on rows that are sealed when they are met, by concurrent sessions, and
# after a kill.  Older majors refuse each of them, and say why.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('opened');
my $opened = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 180000}) eq 't';

$node->safe_psql(
	'postgres', q{
CREATE TABLE part (a int NOT NULL, n int, note text) PARTITION BY RANGE (a);
CREATE TABLE part_0 PARTITION OF part FOR VALUES FROM (0) TO (200) USING omendb;
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (200) TO (400) USING heap;
CREATE TABLE part_2 (a int NOT NULL, n int, note text) USING omendb;
CREATE UNIQUE INDEX part_2_own ON part_2 USING alex (a);
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (400) TO (600);
CREATE TABLE parent (a int NOT NULL, note text) USING omendb;
CREATE UNIQUE INDEX parent_a ON parent USING alex (a);
INSERT INTO parent SELECT g, md5(g::text) FROM generate_series(1, 2000) g;
CREATE MATERIALIZED VIEW seen USING omendb AS SELECT a, length(note) AS l FROM parent;
CREATE UNIQUE INDEX seen_a ON seen USING alex (a);
});
seal_all($node, $_) foreach qw(parent seen);

# refused(what, sql, SQLSTATE, what the message says)
sub refused
{
	my ($what, $sql, $state, $text) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:  $state: .*$text/, "$what: refused");
	return;
}

if (!$opened)
{
	refused('unique index of a partitioned table', 'CREATE UNIQUE INDEX part_a ON part USING alex (a)',
		'0A000', 'access method "alex"');
	refused('foreign key', 'CREATE TABLE child (a int REFERENCES parent (a))',
		'[0-9A-Z]{5}', 'only unique index is not a btree');
	refused('ON CONFLICT through a partitioned table', 'INSERT INTO part VALUES (450, 1) ON CONFLICT DO NOTHING',
		'0A000', 'unique alex index');
	refused('REFRESH CONCURRENTLY', 'REFRESH MATERIALIZED VIEW CONCURRENTLY seen', '55000', 'concurrently');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM part'), '0', 'and nothing has happened');
	crash_free($node, 'at the end');
	$node->stop;
	done_testing();
	exit;
}

# pgbench(script, clients, transactions of each): all of them have to succeed
my $dir = PostgreSQL::Test::Utils::tempdir;

sub write_script
{
	my ($name, $text) = @_;
	append_to_file("$dir/$name", $text);
	return "$dir/$name";
}

# start(script, clients, transactions of each)
sub start
{
	my ($script, $clients, $count) = @_;
	my $out = '';
	my $handle = IPC::Run::start(
		[
			'pgbench', '-n', '-f', $script, '-c', $clients, '-j', 1, '-t', $count, '-h', $node->host, '-p',
			$node->port, '-U', $ENV{PGUSER} // (getpwuid($<))[0], 'postgres'
		],
		'<', \undef, '>', \$out, '2>', \$out);
	return { handle => $handle, out => \$out };
}

# ended(what, runs): each ended without an error
sub ended
{
	my ($what, @runs) = @_;
	foreach my $run (@runs)
	{
		IPC::Run::finish($run->{handle});
		ok($run->{handle}->result(0) == 0 && ${ $run->{out} } !~ /ERROR|aborted/, $what)
		  or diag(${ $run->{out} });
	}
	return;
}

# the same by sequential and by index scans
sub both_ways
{
	my ($query) = @_;
	return join '|', map { $node->safe_psql('postgres', "SET enable_$_ = off; SET enable_bitmapscan = off; $query") }
	  qw(seqscan indexscan);
}

# ---- a unique index of a partitioned table --------------------------------

$node->safe_psql('postgres', 'CREATE UNIQUE INDEX part_a ON part USING alex (a)');
is( $node->safe_psql(
		'postgres', q{
SELECT string_agg(a.amname, ',') || ' ' || (SELECT i.relname FROM pg_inherits h JOIN pg_class i ON i.oid = h.inhrelid
	WHERE h.inhparent = 'part_a'::regclass AND i.relname LIKE 'part_2%')
FROM pg_partition_tree('part_a') t JOIN pg_class c ON c.oid = t.relid JOIN pg_am a ON a.oid = c.relam}),
	'alex,alex,alex,alex part_2_own', 'each partition has an alex index, one had it before');
$node->safe_psql('postgres', "INSERT INTO part SELECT g, 0, repeat('p', g % 100) FROM generate_series(0, 599) g");
seal_all($node, $_) foreach qw(part_0 part_2);
refused('a key that is there', 'INSERT INTO part VALUES (450, 1)', '23505', 'part_2_own');
refused('a key that is moved to where it is', 'UPDATE part SET a = 50 WHERE a = 450', '23505', 'part_0_a_idx');
refused('an index without the partition key', 'CREATE UNIQUE INDEX ON part USING alex (n)', '0A000',
	'must include all partitioning columns');

# ---- ON CONFLICT through the partitioned table ----------------------------

my $upsert = write_script(
	'upsert', q{
\set k random(0, 599)
INSERT INTO part VALUES (:k, 1, 'new') ON CONFLICT (a) DO UPDATE SET n = part.n + 1;
});
my $nothing = write_script(
	'nothing', q{
\set k random(0, 599)
INSERT INTO part VALUES (:k, 1000000, 'never') ON CONFLICT DO NOTHING;
});
my $maintain = write_script(
	'maintain', q{
VACUUM part_0, part_2;
SELECT omendb.seal('part_0', true), omendb.seal('part_2', true);
});
my @runs = (start($upsert, 4, 300), start($nothing, 1, 300), start($maintain, 1, 15));
ended('rows inserted or changed through the partitioned table', @runs);
is(both_ways('SELECT count(*), count(DISTINCT a), sum(n) FROM part WHERE a >= 0'),
	'600|600|1200|600|600|1200', 'each statement has changed one row');

# ---- foreign keys ----------------------------------------------------------

$node->safe_psql(
	'postgres', q{
CREATE TABLE child (a int REFERENCES parent (a) ON DELETE CASCADE ON UPDATE CASCADE, w int) USING omendb;
CREATE INDEX child_a ON child USING alex (a);
CREATE TABLE part_child (a int REFERENCES part (a) ON DELETE SET NULL, w int) USING omendb;
INSERT INTO child SELECT g, g FROM generate_series(1, 2000) g;
INSERT INTO part_child SELECT g, g FROM generate_series(0, 599) g;
});
seal_all($node, $_) foreach qw(parent child part_child part_0 part_2);
is($node->safe_psql('postgres', q{SELECT a.amname FROM pg_constraint k JOIN pg_class i ON i.oid = k.conindid
	JOIN pg_am a ON a.oid = i.relam WHERE k.conname = 'child_a_fkey'}), 'alex', 'the foreign key rests on alex');
refused('a child without a parent', 'INSERT INTO child VALUES (2001, 1)', '23503', 'child_a_fkey');
refused('a child without a parent among partitions', 'INSERT INTO part_child VALUES (600, 1)', '23503',
	'part_child_a_fkey');
$node->safe_psql('postgres', 'UPDATE parent SET a = 3000 WHERE a = 7; DELETE FROM parent WHERE a = 8;
DELETE FROM part WHERE a IN (10, 450)');
is($node->safe_psql('postgres', 'SELECT a FROM child WHERE w IN (7, 8)'), '3000', 'cascades from a sealed row');
is($node->safe_psql('postgres', 'SELECT w FROM part_child WHERE a IS NULL ORDER BY w'), "10\n450",
	'and from sealed partitions');

# children come and parents go: whichever is first, no child is left alone
my $come = write_script(
	'come', q{
\set k random(1, 2000)
INSERT INTO child SELECT :k, 0 WHERE EXISTS (SELECT FROM parent WHERE a = :k);
});
my $go = write_script(
	'go', q{
\set k random(1, 2000)
DELETE FROM parent WHERE a = :k;
});
my $seal = write_script(
	'seal', q{
VACUUM parent, child;
SELECT omendb.seal('parent', true), omendb.seal('child', true);
});
# a child whose parent has gone between the check and the key's own check fails:
# that is what the key is for
@runs = (start($come, 2, 400), start($go, 2, 300), start($seal, 1, 15));
IPC::Run::finish($_->{handle}) foreach @runs;
unlike(join('', map { ${ $_->{out} } } @runs), qr/ERROR:  (?!insert or update on table "child" violates)/,
	'no other error than the key\'s');
my $orphans = 'SELECT count(*) FROM child c WHERE NOT EXISTS (SELECT FROM parent p WHERE p.a = c.a)';
is(both_ways($orphans), '0|0', 'no child without a parent');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM parent'), '<', 1999, 'and some parents have gone');

# ---- EXPLAIN ANALYZE counts descents ----------------------------------------

$node->safe_psql(
	'postgres', 'CREATE TABLE long (a int); INSERT INTO long SELECT generate_series(1, 100000);
CREATE INDEX long_a ON long USING alex (a); VACUUM ANALYZE long');

sub searches
{
	my ($query) = @_;
	my $plan = $node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off;
SET max_parallel_workers_per_gather = 0; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $query");
	return $plan =~ /Scan using long_a .*Index Searches: (\d+)/s ? $1 : $plan;
}
is(searches('SELECT count(a) FROM long WHERE a = 7'), '1', 'searches for one key');
is(searches('SELECT count(a) FROM long WHERE a > 7'), '1', 'of a range over many leaves');
is(searches('SELECT count(a) FROM long WHERE a > 7 AND a < 5'), '0', 'of what cannot be');
is(searches('SELECT count(a) FROM long WHERE a = ANY (ARRAY[7, 50000, 99999])'), '3', 'of three keys far apart');
is(searches('SELECT count(l.a) FROM generate_series(1, 10) g, LATERAL (SELECT a FROM long WHERE a = g OFFSET 0) l'),
	'10', 'of ten rescans');

# ---- REFRESH CONCURRENTLY ----------------------------------------------------

$node->safe_psql('postgres', "INSERT INTO parent SELECT g, repeat('r', g % 50) FROM generate_series(4000, 4200) g;
UPDATE parent SET note = 'changed' WHERE a % 10 = 3");
my $read = write_script('read', "SELECT count(l), sum(a) FROM seen;\n");
@runs = (start($read, 2, 100));
$node->safe_psql('postgres', 'REFRESH MATERIALIZED VIEW CONCURRENTLY seen');
ended('readers of what is refreshed', @runs);
my $differ = q{SELECT count(*) FROM (
	(SELECT a, length(note) FROM parent EXCEPT ALL SELECT a, l FROM seen) UNION ALL
	(SELECT a, l FROM seen EXCEPT ALL SELECT a, length(note) FROM parent)) d};
is(both_ways($differ), '0|0', 'the view is what its query gives');
seal_all($node, 'seen');
$node->safe_psql('postgres', 'DELETE FROM parent WHERE a % 7 = 0; REFRESH MATERIALIZED VIEW CONCURRENTLY seen');
is(both_ways($differ), '0|0', 'and when its rows are sealed again');

# ---- after a kill --------------------------------------------------------------

my $before = $node->safe_psql('postgres', 'SELECT count(*), sum(a), sum(n) FROM part');
kill_server($node);
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(a), sum(n) FROM part'), $before, 'after a kill: partitions');
is(both_ways($orphans), '0|0', 'children');
is(both_ways($differ), '0|0', 'the view');
$node->safe_psql('postgres', qq{SELECT omendb.alex_check(i.oid, true) FROM pg_class i JOIN pg_am a ON a.oid = i.relam
WHERE a.amname = 'alex' AND i.relkind = 'i'});
pass('and the indexes');
refused('a key that is there', 'INSERT INTO part VALUES (451, 1)', '23505', 'part_2_own');
crash_free($node, 'at the end', 1);
$node->stop;

done_testing();
