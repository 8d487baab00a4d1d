# Records that a logical slot on a standby has to know of say whether logical
# decoding may look at the index's table (from 16 on redo invalidates the slots
# that still need what is removed).

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('decoded');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', omen_conf('omendb.seal' => 'off', 'autovacuum' => 'off'));
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION pg_walinspect');

# The flags of the records of one type, from an LSN on
sub flags
{
	my ($type, $from) = @_;
	return $node->safe_psql(
		'postgres', qq{
SELECT string_agg(DISTINCT substring(description FROM 'catalog ([01])'), ',')
FROM pg_get_wal_records_info('$from', pg_current_wal_flush_lsn())
WHERE record_type = '$type' AND resource_manager LIKE 'omendb%'});
}

foreach my $case ([ 'ordinary', 'false', 0 ], [ 'catalog', 'true', 1 ])
{
	my ($table, $option, $flag) = @$case;
	$node->safe_psql(
		'postgres', qq{
CREATE TABLE $table (k int, v int) WITH (user_catalog_table = $option);
CREATE INDEX ${table}_k ON $table USING alex (k);
INSERT INTO $table SELECT g, 0 FROM generate_series(1, 30000) g;
});
	my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');

	# entries of dead rows, met by a scan, go when room is needed
	$node->safe_psql(
		'postgres', qq{
DELETE FROM $table WHERE k BETWEEN 100 AND 2000;});
	$node->safe_psql(
		'postgres', qq{
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT count(*) FROM $table WHERE k BETWEEN 1 AND 3000;
INSERT INTO $table SELECT 500 + g % 500, 1 FROM generate_series(1, 2000) g;
SELECT pg_switch_wal();});
	is(flags('DELETE', $from), $flag, "$table: entries removed");

	# deleted pages, recycled when no snapshot needs them
	$node->safe_psql('postgres', "DELETE FROM $table WHERE k > 5000; VACUUM $table;");
	$node->safe_psql('postgres', 'SELECT txid_current()') for 1 .. 2;
	$node->safe_psql('postgres', "VACUUM $table;");
	$node->safe_psql(
		'postgres', "
INSERT INTO $table SELECT g, 2 FROM generate_series(40000, 60000) g;
SELECT pg_switch_wal();");
	is(flags('REUSE_PAGE', $from), $flag, "$table: pages recycled");
	$node->safe_psql('postgres', "SELECT omendb.alex_check('${table}_k', true)");
}
crash_free($node, 'at the end');
$node->stop;

done_testing();
