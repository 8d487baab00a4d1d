# Commands on whole tables, databases and tablespaces, each on a table with
# sealed rows, with its heap twin beside it.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 2500;
my $node = omen_node('ddl', 'omendb.row_group_blocks' => $ENV{BLOCKS} // 4,
	'allow_in_place_tablespaces' => 'on', 'autovacuum' => 'off');
make_twins($node, $rows);

# both('ALTER TABLE %s ...'): on each of the twins
sub both
{
	my ($sql) = @_;
	foreach my $table ('acct', 'acct_heap')
	{
		(my $one = $sql) =~ s/%s/$table/g;
		$node->safe_psql('postgres', $one);
	}
	return;
}

sub sealed { return $node->safe_psql('postgres', "SELECT cold_rows('acct')"); }

# run on a sealed table; then the rows are right, and again after sealing
sub check
{
	my ($what, @commands) = @_;
	seal_all($node, 'acct');
	both($_) for @commands;
	compare_twins($node, $what);
	check_indexes($node, $what);
	seal_all($node, 'acct');
	compare_twins($node, "$what, sealed again");
	return;
}

check('UPDATE of everything', 'UPDATE %s SET v = v + 1');
check('DELETE of a third', 'DELETE FROM %s WHERE id % 3 = 0');
check('VACUUM', 'DELETE FROM %s WHERE id % 7 = 0', 'VACUUM %s');
check('VACUUM (FREEZE)', 'VACUUM (FREEZE) %s');
check('VACUUM (DISABLE_PAGE_SKIPPING)', 'VACUUM (DISABLE_PAGE_SKIPPING) %s');
check('VACUUM (TRUNCATE on)', 'DELETE FROM %s WHERE ctid > \'(20,0)\'', 'VACUUM (TRUNCATE on) %s');
check('VACUUM (INDEX_CLEANUP off)', 'UPDATE %s SET v = v + 1 WHERE id % 5 = 0', 'VACUUM (INDEX_CLEANUP off) %s', 'VACUUM %s');
check('VACUUM (PARALLEL 2)', 'UPDATE %s SET v = v + 1 WHERE id % 5 = 0', 'VACUUM (PARALLEL 2) %s');
check('VACUUM (PROCESS_TOAST off, ANALYZE)', 'VACUUM (PROCESS_TOAST off, ANALYZE) %s');
check('INSERT', q{INSERT INTO %s SELECT g, g % 1000, repeat(md5(g::text), 3), '2024-01-01', g FROM generate_series(100001, 102000) g});
check('VACUUM FULL', 'VACUUM FULL %s');
check('CLUSTER by index', 'CREATE INDEX %s_cl ON %s (v)', 'CLUSTER %s USING %s_cl');
check('CLUSTER again', 'UPDATE %s SET v = -v WHERE id % 11 = 0', 'CLUSTER %s');
$node->safe_psql('postgres', 'ALTER TABLE acct SET WITHOUT CLUSTER');
check('REINDEX', 'REINDEX TABLE %s');
check('REINDEX CONCURRENTLY', 'REINDEX TABLE CONCURRENTLY %s');
check('CREATE INDEX CONCURRENTLY', 'CREATE INDEX CONCURRENTLY ON %s (stamp, id)');
check('expression and partial index', 'CREATE INDEX ON %s ((v + 1)) WHERE id % 2 = 0');
check('BRIN', 'CREATE INDEX ON %s USING brin (stamp)', 'CREATE INDEX ON %s USING hash (note)', 'CREATE INDEX ON %s USING gin (to_tsvector(\'simple\', note))');
{
	my $q = q{SET enable_seqscan = off; SELECT count(*), sum(id) FROM %s WHERE stamp BETWEEN '2024-01-01 05:00+00' AND '2024-01-01 20:00+00'};
	(my $a = $q) =~ s/%s/acct/;
	(my $b = $q) =~ s/%s/acct_heap/;
	is($node->safe_psql('postgres', $a), $node->safe_psql('postgres', $b), 'BRIN on sealed rows');
	foreach my $where ("note = repeat(md5('100005'), 3)", "to_tsvector('simple', note) @@ 'again'", 'v + 1 = 300 AND id % 2 = 0')
	{
		is( $node->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*), sum(id) FROM acct WHERE $where"),
			$node->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*), sum(id) FROM acct_heap WHERE $where"),
			"index condition $where");
	}
}
check('constraints', 'ALTER TABLE %s ADD CONSTRAINT %s_c CHECK (id > 0)', 'ALTER TABLE %s ALTER note SET DEFAULT \'d\'', 'ALTER TABLE %s ALTER id SET NOT NULL');
check('ADD COLUMN with a constant default', 'ALTER TABLE %s ADD COLUMN c1 int DEFAULT 17');
check('ADD COLUMN with a volatile default', 'ALTER TABLE %s ADD COLUMN c2 int DEFAULT (random() * 0)::int');
check('DROP COLUMN', 'ALTER TABLE %s DROP COLUMN c1');
check('ALTER TYPE without rewrite', 'ALTER TABLE %s ALTER note TYPE varchar(10000)');
check('ALTER TYPE with rewrite', 'ALTER TABLE %s ALTER v TYPE bigint');
check('SET STORAGE and COMPRESSION', 'ALTER TABLE %s ALTER note SET STORAGE EXTERNAL', 'UPDATE %s SET note = repeat(id::text, 600) WHERE id % 100 = 5');
check('RENAME', 'ALTER TABLE %s RENAME amount TO money', 'ALTER TABLE %s RENAME money TO amount');
check('fillfactor', 'ALTER TABLE %s SET (fillfactor = 50)', 'UPDATE %s SET v = v + 1', 'ALTER TABLE %s RESET (fillfactor)');
check('inheritance', 'CREATE TABLE %s_child () INHERITS (%s)', 'INSERT INTO %s_child SELECT * FROM %s LIMIT 0', 'DROP TABLE %s_child');

# rewritten in one transaction, rolled back
seal_all($node, 'acct');
my $n = sealed();
$node->safe_psql('postgres', 'BEGIN; TRUNCATE acct; INSERT INTO acct (id, v) SELECT g, g FROM generate_series(1, 5000) g; ROLLBACK');
compare_twins($node, 'TRUNCATE rolled back');
is(sealed(), $n, 'TRUNCATE rolled back: still sealed');
$node->safe_psql('postgres', 'BEGIN; ALTER TABLE acct ALTER v TYPE int; ROLLBACK');
compare_twins($node, 'rewrite rolled back');
is(sealed(), $n, 'rewrite rolled back: still sealed');
$node->safe_psql('postgres', 'BEGIN; SAVEPOINT a; UPDATE acct SET v = 0; ROLLBACK TO a; DELETE FROM acct WHERE id < 500; ROLLBACK');
compare_twins($node, 'changes rolled back');
check_indexes($node, 'changes rolled back');

# tablespaces
$node->safe_psql('postgres', q{CREATE TABLESPACE away LOCATION ''});
check('SET TABLESPACE', 'ALTER TABLE %s SET TABLESPACE away');
$node->safe_psql('postgres', q{SELECT omendb.gc()});
compare_twins($node, 'SET TABLESPACE, garbage collected');
{
	seal_all($node, 'acct');
	$n = sealed();
	$node->safe_psql('postgres', 'BEGIN; ALTER TABLE acct SET TABLESPACE pg_default; ROLLBACK; SELECT omendb.gc()');
	is(sealed(), $n, 'SET TABLESPACE rolled back: still sealed');
	compare_twins($node, 'SET TABLESPACE rolled back');
	$node->safe_psql('postgres', 'ALTER TABLE acct SET TABLESPACE pg_default');
	is(sealed(), $n, 'SET TABLESPACE keeps rows sealed');
	$node->safe_psql('postgres', 'SELECT omendb.gc()') for 1 .. 3;
	compare_twins($node, 'SET TABLESPACE back');
	$node->safe_psql('postgres', 'ALTER TABLE acct_heap SET TABLESPACE pg_default');
	check_store($node, 'SET TABLESPACE', 'acct');
	$node->restart;
	compare_twins($node, 'SET TABLESPACE and a restart');
	check_indexes($node, 'SET TABLESPACE and a restart');
}

# access methods, both ways
seal_all($node, 'acct');
$node->safe_psql('postgres', 'ALTER TABLE acct SET ACCESS METHOD heap');
is($node->safe_psql('postgres', "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname = 'acct'"), 'heap', 'SET ACCESS METHOD heap');
compare_twins($node, 'SET ACCESS METHOD heap');
check_indexes($node, 'SET ACCESS METHOD heap');
check_store($node, 'SET ACCESS METHOD heap: nothing is left in the store');
$node->safe_psql('postgres', 'ALTER TABLE acct SET ACCESS METHOD omendb');
compare_twins($node, 'SET ACCESS METHOD omendb');
check('SET ACCESS METHOD', 'UPDATE %s SET v = v + 1 WHERE id % 4 = 0');

# logged and unlogged
seal_all($node, 'acct');
$node->safe_psql('postgres', 'ALTER TABLE acct SET UNLOGGED');
compare_twins($node, 'SET UNLOGGED');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT omendb.seal('acct', true)});
is($node->safe_psql('postgres', q{SELECT coalesce(sum(cold_rows), 0) FROM omendb.row_groups('acct')}), '0', 'an unlogged table has no sealed rows');
$node->safe_psql('postgres', 'ALTER TABLE acct SET LOGGED');
check('SET LOGGED', 'UPDATE %s SET v = v + 1 WHERE id % 4 = 0');

# partitions
$node->safe_psql(
	'postgres', q{
CREATE TABLE parts (id int, v int) PARTITION BY HASH (id);
CREATE TABLE parts0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0) USING omendb;
CREATE TABLE parts1 (id int, v int) USING omendb;
INSERT INTO parts0 SELECT g, g FROM generate_series(1, 4000) g WHERE satisfies_hash_partition('parts'::regclass, 2, 0, g);
INSERT INTO parts1 SELECT g, g FROM generate_series(1, 4000) g WHERE satisfies_hash_partition('parts'::regclass, 2, 1, g);
});
seal_all($node, 'parts0');
seal_all($node, 'parts1');
$node->safe_psql('postgres', 'ALTER TABLE parts ATTACH PARTITION parts1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)');
is($node->safe_psql('postgres', 'SELECT count(*), sum(v) FROM parts'), '4000|8002000', 'ATTACH PARTITION with sealed rows');
$node->safe_psql('postgres', 'CREATE UNIQUE INDEX ON parts (id); UPDATE parts SET id = id + 4000 WHERE id < 100');
is($node->safe_psql('postgres', 'SELECT count(*), sum(v), sum(id) FROM parts'), '4000|8002000|8398000', 'rows move between sealed partitions');
$node->safe_psql('postgres', 'ALTER TABLE parts DETACH PARTITION parts0; DROP TABLE parts, parts0');

# COPY both ways, and a dump that is restored
seal_all($node, 'acct');
$node->safe_psql('postgres', q{COPY acct TO '} . $node->basedir . q{/acct.bin' (FORMAT binary)});
$node->safe_psql('postgres', q{CREATE TABLE acct_copy (LIKE acct) USING omendb; COPY acct_copy FROM '} . $node->basedir . q{/acct.bin' (FORMAT binary)});
compare_twins($node, 'COPY', 'acct_copy', 'acct_heap');
$node->safe_psql('postgres', 'DROP TABLE acct_copy');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $node->basedir . '/dump', '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'pg_restore', '-d', 'restored', '-h', $node->host, '-p', $node->port, $node->basedir . '/dump' ], 'pg_restore');
is( $node->safe_psql('restored', 'SELECT count(*), sum(v) FROM acct'),
	$node->safe_psql('postgres', 'SELECT count(*), sum(v) FROM acct_heap'), 'the dump restored');

# databases
$node->safe_psql('restored', q{SELECT omendb.seal('acct', true)});
cmp_ok($node->safe_psql('restored', q{SELECT count(*) FROM omendb.row_groups('acct') WHERE cold_rows > 0}), '>', 0, 'sealed in another database');
foreach my $strategy ('wal_log', 'file_copy')
{
	($rc, $out, $err) = $node->psql('postgres', "CREATE DATABASE copied TEMPLATE restored STRATEGY $strategy");
	isnt($rc, 0, "CREATE DATABASE from a template with sealed tables ($strategy) is refused");
	like($err, qr/ERROR:.*sealed/, "CREATE DATABASE ($strategy): the reason");
	like($err, qr/HINT:.*unseal/s, "CREATE DATABASE ($strategy): the hint");
}
($rc, $out, $err) = $node->psql('postgres', 'ALTER DATABASE restored SET TABLESPACE away');
isnt($rc, 0, 'ALTER DATABASE SET TABLESPACE with sealed tables is refused');
like($err, qr/ERROR:.*sealed/, 'ALTER DATABASE SET TABLESPACE: the reason');
$node->safe_psql('restored', q{SELECT omendb.unseal('acct')});
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE restored');
is( $node->safe_psql('copied', 'SELECT count(*), sum(v) FROM acct'),
	$node->safe_psql('postgres', 'SELECT count(*), sum(v) FROM acct_heap'), 'CREATE DATABASE after unseal');
$node->safe_psql('restored', q{SELECT omendb.seal('acct', true)});
$node->safe_psql('postgres', 'DROP DATABASE copied');
$node->safe_psql('postgres', 'DROP DATABASE restored');
check_store($node, 'DROP DATABASE takes its row groups along', 'acct');

# TRUNCATE and DROP
seal_all($node, 'acct');
both('TRUNCATE %s');
compare_twins($node, 'TRUNCATE');
check_store($node, 'TRUNCATE', 'acct');
both(q{INSERT INTO %s (id, v, note) SELECT g, g, 'again' FROM generate_series(1, 2000) g});
check('after TRUNCATE', 'UPDATE %s SET v = v + 1 WHERE id % 4 = 0');
$node->safe_psql('postgres', 'DROP TABLE acct');
check_store($node, 'DROP TABLE');
$node->safe_psql('postgres', 'BEGIN; CREATE TABLE made (id int) USING omendb; INSERT INTO made SELECT generate_series(1, 5000); ROLLBACK');
check_store($node, 'CREATE TABLE rolled back');
crash_free($node, 'the log');
$node->stop;

done_testing();
