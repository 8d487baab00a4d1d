# What sealing in the background does, and does not do, when rows change.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use OmenTest;

my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => 16,
	'omendb.seal_naptime' => 1,
	'omendb.seal_delay' => 1);

sub sealing
{
	my ($on) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.seal = $on");
	$node->reload;
	return;
}

sub pages
{
	my ($table) = @_;
	return $node->safe_psql('postgres',
		"SELECT coalesce(sum(cold_pages), 0) FROM omendb.row_groups('$table')");
}

# -- uniform updates: few dead rows, below autovacuum's thresholds and VACUUM's
# own, keep most pages hot
$node->safe_psql(
	'postgres', q{
CREATE TABLE uniform (id int PRIMARY KEY, k int, note text) USING omendb;
INSERT INTO uniform SELECT g, g, repeat(md5(g::text), 3) FROM generate_series(1, 12000) g;
CREATE INDEX ON uniform (k);
CREATE TABLE quiet (LIKE uniform INCLUDING ALL) USING omendb WITH (autovacuum_enabled = off);
INSERT INTO quiet SELECT * FROM uniform;
});
sealing('on');
ok($node->poll_query_until('postgres', q{SELECT sum(cold_pages) > 150 FROM omendb.row_groups('uniform')}), 'a table is sealed');
ok($node->poll_query_until('postgres', q{SELECT sum(cold_pages) > 150 FROM omendb.row_groups('quiet')}), 'another one too');
my $before = pages('uniform');
for my $table ('uniform', 'quiet')
{
	$node->safe_psql('postgres', "UPDATE $table SET k = k + 1 WHERE id % 53 = $_") for (7, 30);
}
cmp_ok(pages('uniform'), '<', $before / 4, 'updates of 4 % of its rows thaw most pages');
ok( $node->poll_query_until('postgres',
		"SELECT sum(cold_pages) > $before * 0.9 FROM omendb.row_groups('uniform')"),
	'they are sealed again');
# it is at its work: a second table in the same state would have been sealed
cmp_ok(pages('quiet'), '<', $before / 2, 'not those of a table whose owner wants no autovacuum');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) quiet');
ok( $node->poll_query_until('postgres',
		"SELECT sum(cold_pages) > $before * 0.9 FROM omendb.row_groups('quiet')"),
	'until VACUUM has cleaned its indexes');
for my $path ('seqscan', 'indexscan')
{
	is($node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_$path = on;
		SELECT count(*), sum(k) - sum(id), sum(length(note)) FROM uniform WHERE k > 0"),
		'12000|' . $node->safe_psql('postgres', 'SELECT count(*) FROM generate_series(1, 12000) g WHERE g % 53 IN (7, 30)') . '|1152000',
		"all rows by $path");
}
sealing('off');

# -- what functions of one table's indexes set does not reach those of another
$node->safe_psql(
	'postgres', q{
CREATE FUNCTION seen(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE LOG 'indexes see (%)', coalesce(current_setting('test.left', true), '');
	PERFORM set_config('test.left', 'left', false);
	RETURN $1;
END $$;
SET log_min_messages = fatal;
CREATE TABLE one (id int PRIMARY KEY, note text) USING omendb;
CREATE TABLE two (id int PRIMARY KEY, note text) USING omendb;
INSERT INTO one SELECT g, repeat('x', 400) FROM generate_series(1, 700) g;
INSERT INTO two SELECT g, repeat('x', 400) FROM generate_series(1, 700) g;
CREATE INDEX ON one USING brin (seen(id)) WITH (pages_per_range = 32);
CREATE INDEX ON two USING brin (seen(id)) WITH (pages_per_range = 32);
-- enough for a range that has no summary yet
INSERT INTO one SELECT g, repeat('x', 400) FROM generate_series(701, 2000) g;
INSERT INTO two SELECT g, repeat('x', 400) FROM generate_series(701, 2000) g;
DELETE FROM one WHERE id % 23 = 0;
DELETE FROM two WHERE id % 23 = 0;
});
my $log_at = -s $node->logfile;
sealing('on');
ok( $node->poll_query_until('postgres',
		"SELECT (SELECT sum(cold_pages) FROM omendb.row_groups('$_')) > 30"),
	"table $_ is cleaned and sealed") for qw(one two);
my @seen = slurp_file($node->logfile, $log_at) =~ /indexes see \((.*?)\)/g;
cmp_ok(scalar(grep { $_ eq 'left' } @seen), '>', 2, 'functions of indexes were called');
cmp_ok(scalar(grep { $_ eq '' } @seen), '>=', 2, 'each table begins with the settings of the server');
sealing('off');

# -- a page whose thaw cannot be proven is tried once, not in every round
$node->safe_psql(
	'postgres', q{
CREATE TABLE odd (flag bool, big bigint) USING omendb;
INSERT INTO odd SELECT true, g FROM generate_series(1, 8000) g;
UPDATE odd SET big = 1234605616436508552 WHERE big = 5000;	-- 0x1122334455667788
INSERT INTO odd SELECT true, g FROM generate_series(8001, 16000) g;
VACUUM odd;
CHECKPOINT;
});
my $path = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('odd')");
my $block = $node->safe_psql('postgres', q{SELECT (ctid::text::point)[0] FROM odd WHERE big = 1234605616436508552});
$node->stop;
my $content = slurp_file($path);
my $at = index($content, pack('Q', 1234605616436508552), $block * 8192);
die 'no such row' if $at < 0;
# the padding between both columns, which nothing reads
substr($content, $at - 4, 1) = "\xAA";
open(my $fh, '+<', $path) or die;
binmode $fh;
print $fh $content;
close $fh;
$node->start;
sealing('on');
ok($node->poll_query_until('postgres', q{SELECT sum(cold_pages) > 30 FROM omendb.row_groups('odd')}), 'its row group is sealed');
my $group = "SELECT id, cold_pages FROM omendb.row_groups('odd') WHERE $block BETWEEN first_block AND first_block + 15";
my $sealed = $node->safe_psql('postgres', $group);
like($sealed, qr/\|15$/, 'but for that page');
# Encoding the row group again would read its cold rows: the rounds to come do
# not.  (What is counted before is that they have come.)
my $reads = 'SELECT hits + misses FROM omendb.cache_stats()';
$node->safe_psql('postgres', "UPDATE odd SET flag = false WHERE big = 3200; VACUUM (INDEX_CLEANUP on) odd");
ok( $node->poll_query_until('postgres',
		q{SELECT thawed_pages = 0 FROM omendb.row_groups('odd') WHERE first_block = 16}),
	'another row group is sealed anew');
my $before_rounds = $node->safe_psql('postgres', $reads);
usleep(4_000_000);
is($node->safe_psql('postgres', $reads), $before_rounds, 'its own is not read and encoded in every round');
is($node->safe_psql('postgres', $group), $sealed, 'nor written');
$node->safe_psql('postgres', 'DELETE FROM odd WHERE big = 1234605616436508552; VACUUM (INDEX_CLEANUP on) odd');
ok( $node->poll_query_until('postgres',
		"SELECT thawed_pages = 0 FROM omendb.row_groups('odd') WHERE $block BETWEEN first_block AND first_block + 15"),
	'changed, it is sealed');

$node->stop;
crash_free($node, 'at the end');
done_testing();
