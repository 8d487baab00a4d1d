# Row groups of several segments, whose texts are in the dictionary of the first one:
# read, updated, sealed again, on a standby, by several processes, and damaged.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf',
	omen_conf('omendb.row_group_blocks' => 512, 'autovacuum' => 'off', 'omendb.gc_interval' => 0));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
omen_helpers($node);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# few: words of which the first segment of a row group has nearly all; many: most are
# not there; u: of fixed width; nul: mostly null; long: longer than a short header's
sql(q{
CREATE TABLE h (id int, few text COLLATE "C", many varchar, u uuid, nul text, long text, n numeric);
SELECT setseed(0.3);
INSERT INTO h SELECT g, 'word number ' || (random() * 900)::int, 'other ' || (random() ^ 3 * 6000)::int,
	md5(((random() * 500)::int)::text)::uuid, CASE WHEN random() < 0.2 THEN 'nul ' || (random() * 90)::int END,
	repeat('long ' || (random() * 60)::int, 40), (random() * 300)::int / 7::numeric
	FROM generate_series(1, 60000) g;
CREATE TABLE t (LIKE h) USING omendb;
INSERT INTO t TABLE h;
CREATE INDEX ON t (id);
});
seal_all($node, 't');
sql('ANALYZE t');
cmp_ok(sql(q{SELECT count(*) FROM omendb.row_groups('t')}), '>', 3, 'several row groups');

my $queries = q{
SELECT few, count(*), min(id), max(many) FROM t GROUP BY few
SELECT many, count(*), count(nul) FROM t GROUP BY many
SELECT u, count(*) FROM t GROUP BY u
SELECT nul, few, count(*), sum(n) FROM t GROUP BY nul, few
SELECT long, nul, count(*) FROM t GROUP BY long, nul
SELECT id, few FROM t WHERE few = 'word number 77'
SELECT id, many FROM t WHERE many LIKE '%99%' AND few < 'word number 5'
SELECT id FROM t WHERE few IN ('word number 1', 'word number 900', 'none')
SELECT id FROM t WHERE u = md5('77')::uuid
SELECT id, nul FROM t WHERE nul IS NULL OR nul > 'nul 8'
SELECT count(DISTINCT few), count(DISTINCT many), count(DISTINCT long), min(few), max(nul) FROM t
SELECT few, long, id FROM t ORDER BY few, id LIMIT 50
SELECT id, few, many, u, nul, n, md5(long) FROM t
};

# equal($what, $node, $settings): what queries of t give is what they give of h
sub equal
{
	my ($what, $on, $settings) = @_;
	my $n = 0;

	foreach my $query (grep { /\S/ } split /\n/, $queries)
	{
		my $twin = $query =~ s/FROM t\b/FROM h/r;
		my ($rc, $out, $err) = $on->psql('postgres', "$settings;
SELECT count(*) FROM ((($query) EXCEPT ALL ($twin)) UNION ALL (($twin) EXCEPT ALL ($query))) q");
		$n++ if $rc == 0 && $out eq '0';
		diag("$query: $out $err") if $rc != 0 || $out ne '0';
	}
	return is($n, scalar(grep { /\S/ } split /\n/, $queries), $what);
}

my $vectors = 'SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = force';
my $rows = 'SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off';
my $parallel = "$vectors; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2";

equal('by vectors', $node, $vectors);
equal('by rows', $node, $rows);
equal('by several processes', $node, $parallel);
like(sql("$vectors; EXPLAIN SELECT few, count(*) FROM t GROUP BY few"), qr/Omendb|Vector/i, 'there are vectors');
is(sql(q{SET enable_seqscan = off; SET enable_bitmapscan = off; SET omendb.enable_vectorized_scan = off;
SELECT count(*) FROM h JOIN LATERAL (SELECT few, many, u, nul, long, n FROM t WHERE t.id = h.id OFFSET 0) t
ON ROW(t.few, t.many, t.u, t.nul, t.long, t.n) IS NOT DISTINCT FROM ROW(h.few, h.many, h.u, h.nul, h.long, h.n)}),
	'60000', 'row by row');

# Words that the first segment has are not stored by the others: some 800 of 900 words,
# of 18 bytes, in each segment
sql('SELECT omendb.cache_reset()');
sql("$vectors; SELECT count(few) FROM t WHERE few > ''");
cmp_ok(sql(q{SELECT bytes FROM omendb.cached_columns WHERE relation = 't'::regclass AND column_name = 'few'}),
	'<', 350_000, 'dictionaries are shared');

# -- changed rows, hot beside cold, and sealed again
sql(q{UPDATE t SET few = 'changed ' || id % 7 WHERE id % 501 = 0;
UPDATE h SET few = 'changed ' || id % 7 WHERE id % 501 = 0;
DELETE FROM t WHERE id % 777 = 1; DELETE FROM h WHERE id % 777 = 1;
INSERT INTO t SELECT id + 100000, few, many, u, nul, long, n FROM h WHERE id < 2000;
INSERT INTO h SELECT id + 100000, few, many, u, nul, long, n FROM h WHERE id < 2000});
equal('changed: by vectors', $node, $vectors);
equal('changed: by rows', $node, $rows);
sql(q{ALTER TABLE t ADD COLUMN added text DEFAULT 'new'; ALTER TABLE h ADD COLUMN added text DEFAULT 'new'});
equal('a column more', $node, $vectors);

# what is in the cache of the version before is loaded of the new one, and nobody waits for it
my $cached = q{SELECT coalesce(sum(chunks), 0) FROM omendb.cached_columns WHERE relation = 't'::regclass};
my $misses = 'SELECT misses FROM omendb.cache_stats()';
sql("$rows; SELECT count(t) FROM t");
my $before = sql($cached);
sql("VACUUM (INDEX_CLEANUP on) t; CALL seal_all('t')");
$node->poll_query_until('postgres', "SELECT ($cached) >= 2 * $before") or die 'nothing is loaded';
my $missed = sql($misses);
sql("$rows; SELECT count(t) FROM t");
# (a segment may be new, of 9 chunks)
cmp_ok(sql($misses), '<=', $missed + 9, 'the new version was in the cache');
equal('sealed again: by vectors', $node, $vectors);
equal('sealed again: by rows', $node, $rows);

# -- a standby, and a server that was killed
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
sql(q{UPDATE t SET few = 'word number 5' WHERE id % 313 = 0; UPDATE h SET few = 'word number 5' WHERE id % 313 = 0});
seal_all($node, 't');
$node->wait_for_catchup($standby);
equal('standby: by vectors', $standby, $vectors);
equal('standby: by rows', $standby, $rows);
$standby->stop;
$node->stop('immediate');
$node->start;
equal('after a crash', $node, $vectors);

# change_byte($file, $at): done twice, it is as it was
sub change_byte
{
	my ($file, $at) = @_;
	open(my $fh, '+<:raw', $file) or die "$file: $!";
	seek($fh, $at, 0);
	read($fh, my $byte, 1);
	seek($fh, $at, 0);
	print $fh chr(ord($byte) ^ 0x10);
	close $fh;
	return;
}

# -- damage: what cannot be read is an error that says so, never another word
my @files = glob($node->data_dir . '/omendb/sst/*.sst');
my $failed = 0;
my $other = '';
foreach my $file (@files)
{
	my $size = -s $file;
	foreach my $part (3, 5, 7, 9)
	{
		change_byte($file, int($size * $part / 10));
		sql('SELECT omendb.cache_reset()');
		foreach my $settings ($vectors, $rows)
		{
			my ($rc, $out, $err) = $node->psql('postgres', "$settings;
SELECT count(*) FROM (SELECT few, many, u, nul, long, n FROM t EXCEPT ALL SELECT few, many, u, nul, long, n FROM h) q");
			$failed++ if $rc != 0 && $err =~ /damaged|corrupt|cannot be read|checksum/;
			$other .= "$out $err\n" if $rc == 0 ? $out ne '0' : $err !~ /damaged|corrupt|cannot be read|checksum/;
		}
		change_byte($file, int($size * $part / 10));
	}
}
cmp_ok($failed, '>', 0, 'some bytes were read');
is($other, '', 'damage is told');
sql('SELECT omendb.cache_reset()');
equal('what was damaged is whole again', $node, $vectors);

is(sql(q{SELECT omendb.unseal('t') > 0}), 't', 'unsealed');
equal('unsealed', $node, $rows);

# -- segments without texts of their own, which cannot be compressed, do not keep the first
# one's from it; and a scan that comes to that again and again does not use it often
sql(q{DROP TABLE t;
CREATE TABLE w (k text COLLATE "C") USING omendb;
INSERT INTO w SELECT repeat('customer record template ', 12) || (random() * 900)::int FROM generate_series(1, 250000);
CREATE TABLE all_shared (LIKE w) USING omendb;
INSERT INTO all_shared SELECT repeat('customer record template ', 12) || (random() * 100)::int FROM generate_series(1, 120000);
CREATE TABLE a (id int PRIMARY KEY, pad text) USING omendb;
INSERT INTO a SELECT g, md5(g::text) FROM generate_series(1, 20000) g});
seal_all($node, $_) for qw(w all_shared a);
sql('ANALYZE w; ANALYZE a');
my ($smallest, $largest) = split /\|/, sql(q{SELECT min(file_bytes), max(file_bytes) FROM omendb.row_groups('all_shared') WHERE cold_rows >
	(SELECT max(cold_rows) * 0.9 FROM omendb.row_groups('all_shared'))});
cmp_ok($largest, '<', 1.5 * $smallest, 'all dictionaries are compressed');

$node->append_conf('postgresql.conf', "omendb.cache_size = '4MB'");
$node->restart;
my $of_a = q{SELECT coalesce(sum(chunks), 0) FROM omendb.cached_columns WHERE relation = 'a'::regclass};
sql(q{SET enable_seqscan = off; SET enable_bitmapscan = off; SET omendb.enable_vectorized_scan = off;
SELECT count(a.pad) FROM generate_series(1, 20000, 100) g JOIN LATERAL (SELECT pad FROM a WHERE id = g OFFSET 0) a ON true}) for 1 .. 2;
my $hot = sql($of_a);
cmp_ok($hot, '>=', 3, 'chunks that are used');
sql("$vectors; SELECT count(*) FROM (SELECT k FROM w GROUP BY k) q") for 1 .. 2;
is(sql($of_a), $hot, 'a scan leaves them in the cache');
$node->stop;

done_testing();
