# Random queries by sqlsmith against sealed tables, with the vectorised nodes
# forced: no crash, and no internal error that the row path does not have, too.
#
#   SMITH_QUERIES   how many (default 300)
#   SMITH_SEED      (default 1)

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IPC::Run ();
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'sqlsmith is not installed' if system('sqlsmith --version >/dev/null 2>&1') != 0;

my $queries = $ENV{SMITH_QUERIES} // 300;
my $seed = $ENV{SMITH_SEED} // 1;
my $node = omen_node('smith', 'log_line_prefix' => "'%m [%p] %q%e '", 'work_mem' => "'256kB'",
	'log_min_error_statement' => 'error', 'log_min_messages' => 'error');
$node->safe_psql('postgres', q{
CREATE TABLE ints (id int PRIMARY KEY, a int2, b int4, c int8, d int4[], e oid) USING omendb;
INSERT INTO ints SELECT g, g % 300, nullif(g % 17, 3), g * 1000000007::int8, ARRAY[g % 3, NULL], g FROM generate_series(1, 3000) g;
CREATE TABLE reals (id int, x float8, y float4, n numeric, m numeric(12,2)) USING omendb;
INSERT INTO reals SELECT g, CASE g % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN 'Infinity' ELSE g / 7.0 END, g % 100, g / 3.0, nullif(g, 77) / 100.0 FROM generate_series(1, 3000) g;
CREATE TABLE texts (id int, s text, v varchar(20), c char(4), b bytea, u uuid, l bool) USING omendb;
INSERT INTO texts SELECT g, 's' || g % 40, nullif(md5(g::text), '')::varchar(20), 'c' || g % 5, decode(md5(g::text), 'hex'), md5((g % 9)::text)::uuid, g % 3 = 0 FROM generate_series(1, 3000) g;
CREATE TABLE times (id int, d date, t timestamp, z timestamptz, i interval, o time) USING omendb;
INSERT INTO times SELECT g, date '2020-01-01' + g % 400, timestamp '2020-01-01' + g * interval '1 hour', timestamptz '2020-01-01 00:00+00' + g * interval '1 min', g * interval '1 day', time '00:00' + g * interval '1 sec' FROM generate_series(1, 3000) g;
CREATE TABLE parts (id int, k int, note text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (1000) USING omendb;
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000) TO (MAXVALUE) USING omendb;
INSERT INTO parts SELECT g, g % 10, 'n' || g % 100 FROM generate_series(1, 2000) g;
ALTER TABLE reals ADD COLUMN later text DEFAULT 'later';
ALTER TABLE texts DROP COLUMN b;
CREATE VIEW totals AS SELECT b, count(*) AS n, sum(c) AS total, max(a) AS top FROM ints GROUP BY b;
CREATE MATERIALIZED VIEW kept USING omendb AS SELECT id, s FROM texts WHERE l;
ANALYZE;
});
seal_all($node, $_) for qw(ints reals texts times parts_1 parts_2);
# some rows hot again, some thawed
$node->safe_psql('postgres', q{
UPDATE ints SET a = a + 1 WHERE id BETWEEN 100 AND 200;
DELETE FROM texts WHERE id % 100 = 5;
INSERT INTO times (id) SELECT g FROM generate_series(5000, 5050) g;
CREATE ROLE smith LOGIN;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO smith;
ALTER ROLE smith SET omendb.enable_vectorized_scan = force;
ALTER ROLE smith SET omendb.enable_vectorized_agg = force;
ALTER ROLE smith SET statement_timeout = '1s';
ALTER ROLE smith SET default_transaction_read_only = on;
});

my ($out, $err) = ('', '');
my $conn = join(' ', 'host=' . $node->host, 'port=' . $node->port, 'dbname=postgres', 'user=smith');
my $start = -s $node->logfile;
my $before = $node->safe_psql('postgres', 'SELECT vector_scans + vector_aggs FROM omendb.scan_stats()');
my $ok = eval
{
	IPC::Run::run([ 'sqlsmith', "--target=$conn", '--exclude-catalog', "--seed=$seed", "--max-queries=$queries" ],
		'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default + $queries));
};
ok($ok, "sqlsmith has sent $queries queries") or diag(substr($err, -1000));
my $used = $node->safe_psql('postgres', 'SELECT vector_scans + vector_aggs FROM omendb.scan_stats()') - $before;
cmp_ok($used, '>', $queries / 3, "the nodes were used $used times");

# internal errors, with their statements
my @internal;
my $log = substr(slurp_file($node->logfile), $start);
while ($log =~ /^\S+ \S+ \S+ \[\d+\] XX\w+ ERROR:  ([^\n]*)\n(?:\S+ \S+ \S+ \[\d+\] XX\w+ (?!STATEMENT)[^\n]*\n)*\S+ \S+ \S+ \[\d+\] XX\w+ STATEMENT:  (.*?)\n(?=\S+ \S+ UTC \[|\S+ \S+ \S+ \[\d+\] |\z)/gsm)
{
	push @internal, [ $1, $2 ];
}
my @ours;
foreach my $e (@internal)
{
	my ($rc, $o, $message) = $node->psql('postgres',
		"SET ROLE smith; SET statement_timeout = '10s'; SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off; $e->[1]");
	push @ours, $e unless $message =~ /\Q$e->[0]\E/;
}
note(scalar(@internal) . ' internal errors, of which ' . scalar(@ours) . ' only on vectors');
is(scalar @ours, 0, 'no internal error that is ours');
diag("$_->[0]\n$_->[1]") for @ours > 3 ? @ours[0 .. 2] : @ours;
crash_free($node, 'the log');
$node->stop;
done_testing();
