# Logical replication into sealed tables: the apply worker finds rows through
# the replica identity's index or, without one, by a scan with a dirty snapshot.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# one server; publisher and subscriber are two databases
my $node = omen_node('logical', 'wal_level' => 'logical');
$node->safe_psql('postgres', 'CREATE DATABASE pub');

# by primary key, by another unique index, by all columns
my %ddl = (
	keyed => 'id int PRIMARY KEY, v int NOT NULL, note text',
	named => 'id int NOT NULL UNIQUE, v int NOT NULL, note text',
	bare => 'id int, v int NOT NULL, note text');
my @tables = sort keys %ddl;
for my $table (@tables)
{
	$node->safe_psql('pub', "CREATE TABLE $table ($ddl{$table})");
	$node->safe_psql('postgres', "CREATE TABLE $table ($ddl{$table}) USING omendb");
	for my $db ('pub', 'postgres')
	{
		$node->safe_psql($db, "ALTER TABLE $table REPLICA IDENTITY USING INDEX named_id_key")
			if $table eq 'named';
		$node->safe_psql($db, "ALTER TABLE $table REPLICA IDENTITY FULL")
			if $table eq 'bare';
	}
	$node->safe_psql('pub', "INSERT INTO $table SELECT g, g % 10, repeat(md5(g::text), 4) FROM generate_series(1, 600) g");
}

my $all = join(', ', @tables);
$node->safe_psql('pub', "CREATE PUBLICATION p FOR TABLE $all");
$node->safe_psql('pub', "SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
my $connstr = $node->connstr('pub');
$node->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION \$\$$connstr\$\$ PUBLICATION p WITH (create_slot = false)");
$node->wait_for_subscription_sync($node, 's');

# The twins are equal once everything has been applied.
sub equal_after
{
	my ($what, $sql) = @_;
	$node->safe_psql('pub', $sql);
	my $lsn = $node->safe_psql('pub', 'SELECT pg_current_wal_lsn()');
	ok( $node->poll_query_until('postgres',
			"SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = 's'"),
		"$what: applied");
	for my $table (@tables)
	{
		my $rows = "SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY id)) FROM $table t";
		is($node->safe_psql('postgres', $rows), $node->safe_psql('pub', $rows), "$what: $table");
	}
	return;
}

sub each_table
{
	my ($sql) = @_;
	return join('; ', map { my $s = $sql; $s =~ s/TABLE/$_/g; $s } @tables);
}

for my $table (@tables)
{
	seal_all($node, $table);
	cmp_ok($node->safe_psql('postgres', "SELECT cold_rows('$table')"), '==', 600, "$table is sealed");
}
equal_after('updates', each_table("UPDATE TABLE SET note = 'new' WHERE id IN (1, 300, 555)"));
seal_all($node, $_) for @tables;
equal_after('deletes', each_table('DELETE FROM TABLE WHERE id IN (2, 301, 556)'));
seal_all($node, $_) for @tables;
equal_after('keys', each_table('UPDATE TABLE SET id = id + 1000 WHERE id % 100 = 50'));
seal_all($node, $_) for @tables;
equal_after('one row twice', each_table('BEGIN; UPDATE TABLE SET v = 77 WHERE id = 400; DELETE FROM TABLE WHERE id = 400; INSERT INTO TABLE VALUES (400, 1, NULL); COMMIT'));
seal_all($node, $_) for @tables;
equal_after('truncation', "TRUNCATE $all; INSERT INTO keyed VALUES (1, 1, 'x')");

$node->safe_psql('postgres', 'DROP SUBSCRIPTION s');
crash_free($node, 'the log');
$node->stop;

done_testing();
