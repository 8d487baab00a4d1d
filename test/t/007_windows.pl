# Narrow windows: storage that a transaction has made and gives up again,
# unlogged copies, tablespaces that are away, very many row groups in use.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 1000;
my $right = '1000|500500|0';

# table(node, name): sealed, with rows in the first block of each row group
sub table
{
	my ($node, $name) = @_;
	$node->safe_psql('postgres',
		"CREATE TABLE $name (id int, note text) USING omendb;
		INSERT INTO $name SELECT g, repeat('x', 200) FROM generate_series(1, $rows) g");
	seal_all($node, $name);
	return;
}

sub look
{
	my ($node, $name) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*), sum(id), count(*) FILTER (WHERE note ~ 'y') FROM $name");
}

# what is to be dropped is dropped now; nothing comes from the cache
sub settle
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'SELECT omendb.gc()');
	$node->safe_psql('postgres', 'SELECT pg_sleep(0.2), omendb.cache_reset()') for 1 .. 5;
	return;
}

my $node = omen_node('windows', 'allow_in_place_tablespaces' => 'on',
	'autovacuum' => 'off', 'max_prepared_transactions' => 2);
$node->safe_psql('postgres', q{CREATE TABLESPACE away LOCATION ''});

# Unsealing in the new storage must leave the old one's row groups alone
table($node, 't');
foreach my $end ('ROLLBACK', 'ROLLBACK TO a; COMMIT',
	q{PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'})
{
	$node->safe_psql('postgres',
		"BEGIN; SAVEPOINT a; ALTER TABLE t SET TABLESPACE away;
		UPDATE t SET note = 'y' WHERE id = 1; $end");
	settle($node);
	is(look($node, 't'), $right, "SET TABLESPACE, write to a first block, $end");
}
$node->safe_psql('postgres',
	q{BEGIN; ALTER TABLE t SET TABLESPACE away; SELECT omendb.unseal('t'); ROLLBACK});
settle($node);
is(look($node, 't'), $right, 'SET TABLESPACE, unseal, ROLLBACK');
$node->safe_psql('postgres',
	q{BEGIN; ALTER TABLE t SET TABLESPACE away; SELECT omendb.unseal('t'); COMMIT});
is(look($node, 't'), $right, 'SET TABLESPACE, unseal, COMMIT');
check_store($node, 'nothing left of it');

# A tablespace whose folder is not there is not an empty one
seal_all($node, 't');
my $folder = $node->data_dir . '/pg_tblspc/'
  . $node->safe_psql('postgres', q{SELECT oid FROM pg_tablespace WHERE spcname = 'away'});
$node->stop;
rename("$folder", "$folder.gone") or die "rename: $!";
mkdir($folder, 0700) or die "mkdir: $!";
$node->start;
$node->safe_psql('postgres', 'SELECT omendb.gc()');
isnt(($node->psql('postgres', 'SELECT count(*) FROM t'))[0], 0, 'the table cannot be read');
$node->stop;
rmdir($folder) or die "rmdir: $!";
rename("$folder.gone", $folder) or die "rename: $!";
$node->start;
is(look($node, 't'), $right, 'garbage collection while the tablespace was away');

# More row groups at once than the registry has places for
$node->safe_psql('postgres', q{
CREATE TABLE parts (k int, p int) PARTITION BY LIST (p);
SELECT format('CREATE TABLE parts%s PARTITION OF parts FOR VALUES IN (%s) USING omendb', g, g) FROM generate_series(1, 100) g \gexec
INSERT INTO parts SELECT g, 1 + g % 100 FROM generate_series(1, 3000) g;
CREATE INDEX ON parts (k);
});
seal_all($node, "parts$_") for 1 .. 100;
is($node->safe_psql('postgres', q{
SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off;
SELECT count(*), sum(k), sum(p) FROM (SELECT * FROM parts ORDER BY k LIMIT 2500) s}),
	'2500|3126250|126250', 'Merge Append over 100 sealed partitions');
$node->safe_psql('postgres', 'DROP TABLE parts');

# A session that seals while CREATE DATABASE waits for it to leave
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', q{CREATE EXTENSION omendb;
	CREATE TABLE s (id int) USING omendb; INSERT INTO s SELECT generate_series(1, 5000)});
my $sealer = $node->background_psql('source');
$sealer->query_safe('SELECT 1');
my ($out, $err) = ('', '');
my $create = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CREATE DATABASE copy TEMPLATE source' ],
	'>', \$out, '2>', \$err);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ '^CREATE DATABASE copy'});
$sealer->query_safe(q{SELECT omendb.seal('s', true)});
$sealer->quit;
$create->finish;
like($err, qr/cannot copy database "source": it holds sealed row groups/,
	'CREATE DATABASE sees what was sealed while it waited');
$node->stop;

# Storage whose WAL is skipped is thawed without WAL
my $minimal = PostgreSQL::Test::Cluster->new('minimal');
$minimal->init;
$minimal->append_conf('postgresql.conf', omen_conf('allow_in_place_tablespaces' => 'on',
	'wal_level' => 'minimal', 'max_wal_senders' => 0, 'wal_skip_threshold' => 0,
	'autovacuum' => 'off'));
$minimal->start;
$minimal->safe_psql('postgres', 'CREATE EXTENSION omendb');
omen_helpers($minimal);
$minimal->safe_psql('postgres', q{CREATE TABLESPACE away LOCATION ''});
table($minimal, 't');
$minimal->safe_psql('postgres', q{
BEGIN; ALTER TABLE t SET TABLESPACE away; UPDATE t SET note = repeat('y', 200) WHERE id % 2 = 0; COMMIT});
is(look($minimal, 't'), '1000|500500|500', 'wal_level = minimal, before the crash');
$minimal->stop('immediate');
$minimal->start;
is(look($minimal, 't'), '1000|500500|500', 'wal_level = minimal, after the crash');
$minimal->stop;

done_testing();
