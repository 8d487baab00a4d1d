# Sealing freezes pages without pruning them where nothing is dead.  What pruning
# would have put right otherwise is put right: the hint when to prune again.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('main', 'autovacuum' => 'off');
my ($rc) = $node->psql('postgres', 'CREATE EXTENSION pageinspect');
plan skip_all => 'pageinspect is not installed' if $rc != 0;
$node->safe_psql(
	'postgres', q{
CREATE TABLE t (a int, pad text) USING omendb;
INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 500) g;
BEGIN;
DELETE FROM t WHERE a % 10 = 0;
ROLLBACK});
my $hints = q{SELECT count(*) FROM generate_series(0, 3) b, page_header(get_raw_page('t', b)) WHERE prune_xid <> '0'};
cmp_ok($node->safe_psql('postgres', $hints), '>', 0, 'pages may be worth pruning');

$node->safe_psql('postgres', q{SELECT omendb.stop_event_set('seal-before-file', 'wait')});
my $sealer = $node->background_psql('postgres');
$sealer->query_until(qr/start/, "\\echo start\nSELECT omendb.seal('t', true);\n");
ok($node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('seal-before-file') = 1}), 'pages have been frozen');
is($node->safe_psql('postgres', $hints), 0, 'nobody is told to prune them, whatever becomes of transaction ids');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('seal-before-file')});
$sealer->quit;
is($node->safe_psql('postgres', 'SELECT count(*), sum(a) FROM t'), '500|125250', 'all rows are there');
$node->stop;

done_testing();
