# Files that are exchanged between relations, without their access methods, as
# pg_repack does it: a heap must never be left with sealed rows that it cannot
# see.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rows = 1500;
my $node = PostgreSQL::Test::Cluster->new('exchange');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf',
	omen_conf(
		'autovacuum' => 'off',
		'max_prepared_transactions' => 4,
		'omendb.seal_naptime' => 1));
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test; CREATE EXTENSION amcheck');
omen_helpers($node);

# The rows of a table, by sequential and by index scan
sub rows_of
{
	my ($table) = @_;
	return $node->safe_psql(
		'postgres', qq{
SET enable_indexscan = off; SET enable_bitmapscan = off;
SELECT count(*), sum(a), sum(length(b)) FROM $table WHERE a > 0;
SET enable_indexscan = on; SET enable_seqscan = off;
SELECT count(*), sum(a), sum(length(b)) FROM $table WHERE a > 0;});
}

# Make heap h and its copy c, as a tool would; returns what h's rows are
sub make_pair
{
	my ($h, $c) = @_;
	$node->safe_psql(
		'postgres', qq{
DROP TABLE IF EXISTS $h, $c CASCADE;
CREATE TABLE $h (a int PRIMARY KEY, b text) USING heap;
INSERT INTO $h SELECT g, repeat('x', g % 200) FROM generate_series(1, $rows) g;
CREATE TABLE $c (LIKE $h) USING omendb;
INSERT INTO $c SELECT * FROM $h;
ALTER TABLE $c ADD PRIMARY KEY (a);
CHECKPOINT});
	return rows_of($h);
}

# SQL that exchanges the files of two tables and of their primary keys
sub exchange_sql
{
	my ($h, $c) = @_;
	return join(
		";\n",
		'SET allow_system_table_mods = on',
		map {
			my ($x, $y) = @$_;
			qq{UPDATE pg_class c SET relfilenode = o.relfilenode, relfrozenxid = o.relfrozenxid, relminmxid = o.relminmxid FROM pg_class o
	WHERE c.oid IN ('$x'::regclass, '$y'::regclass) AND o.oid IN ('$x'::regclass, '$y'::regclass) AND c.oid <> o.oid}
		} ([ $h, $c ], [ "${h}_pkey", "${c}_pkey" ]));
}

sub relam
{
	my ($table) = @_;
	return $node->safe_psql('postgres',
		"SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE c.oid = '$table'::regclass");
}

sub in_background
{
	my ($sql) = @_;
	my $text = '';
	my $handle = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $sql ],
		'<', \undef, '>', \$text, '2>', \$text);
	return { handle => $handle, text => \$text };
}

sub finish
{
	my ($job) = @_;
	eval { IPC::Run::finish($job->{handle}) };
	return ${ $job->{text} };
}

sub wait_for_stop
{
	my ($event) = @_;
	ok($node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('$event') > 0"),
		"$event is reached");
	return;
}

my $refusal = qr/ERROR:  55000: relation "h" would be left with a file that holds sealed rows, but not with the access method omendb/;

#
# A copy that is sealed
#
my $want = make_pair('h', 'c');
like($want, qr/^$rows\|.*\n$rows\|/, 'the rows');
seal_all($node, 'c');
my $swap = exchange_sql('h', 'c');
my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n BEGIN; $swap; COMMIT");
like($err, $refusal, 'exchange with a sealed copy is refused');
# in one statement: what it has done is not visible when it commits
my ($first) = (split /;\n/, $swap)[1];
($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET allow_system_table_mods = on;\n$first");
like($err, $refusal, 'also as a single statement');
($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nBEGIN; $swap; PREPARE TRANSACTION 'swap'");
like($err, $refusal, 'and in two phases');
($rc, $out, $err) = $node->psql('postgres',
	"\\set VERBOSITY verbose\nSET allow_system_table_mods = on; UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'heap') WHERE oid = 'c'::regclass");
like($err, qr/ERROR:  55000: relation "c" would be left with a file/, 'and another access method for the same file');
is(rows_of('h'), $want, 'the rows of the heap are there');
is(rows_of('c'), $want, 'and those of the copy');

# what core does with files is no exchange
$node->safe_psql(
	'postgres', q{
BEGIN; TRUNCATE c; INSERT INTO c VALUES (1, 'x'); ROLLBACK;
CREATE TABLE c2 (LIKE c) USING omendb; INSERT INTO c2 SELECT * FROM c;
ALTER TABLE c2 SET ACCESS METHOD heap; CLUSTER h USING h_pkey; VACUUM FULL h;
BEGIN; CREATE TABLE c3 AS SELECT * FROM h; TRUNCATE c3; ALTER TABLE c3 SET ACCESS METHOD omendb; DROP TABLE c2; COMMIT;
VACUUM FULL c; DROP TABLE c3});

#
# A copy that is hot: both directions
#
$want = make_pair('h', 'c');
$node->safe_psql('postgres', "INSERT INTO c VALUES (-1, 'of the copy')");
$swap = exchange_sql('h', 'c');
$node->safe_psql('postgres', "BEGIN; $swap; COMMIT");
is($node->safe_psql('postgres', 'SELECT b FROM h WHERE a = -1'), 'of the copy', 'exchanged');
is(rows_of('h'), $want, 'a heap with the hot file of an omendb table');
is(rows_of('c'), $want, "an omendb table with a heap's file");
seal_all($node, 'c');
is(rows_of('c'), $want, 'which is sealed');
$node->safe_psql('postgres',
	q{DELETE FROM h WHERE a < 0; UPDATE c SET b = b || 'y' WHERE a % 300 = 0; UPDATE h SET b = b || 'y' WHERE a % 300 = 0; VACUUM c; VACUUM h});
seal_all($node, 'c');
is(rows_of('c'), rows_of('h'), 'and changed and sealed anew');
is($node->safe_psql('postgres', q{SELECT count(*) FROM bt_index_check('c_pkey', true) x, bt_index_check('h_pkey', true) y}),
	1, 'the indexes');
($rc, $out, $err) = $node->psql('postgres', "BEGIN; $swap; COMMIT");
like($err, qr/"h" would be left with a file/, 'now there is no way back');

#
# A heap with a file that has had cold pages, and has none: it is looked at, but
# whoever looks keeps no lock on what he has no business with
#
$want = make_pair('h', 'c');
seal_all($node, 'c');
$node->safe_psql('postgres', q{SELECT omendb.unseal('c')});
$swap = exchange_sql('h', 'c');
$node->safe_psql('postgres', "BEGIN; $swap; COMMIT");
is(rows_of('h'), $want, 'a heap with a file that was unsealed');
$node->safe_psql(
	'postgres', q{
CREATE TABLE tree (a int, b text) PARTITION BY RANGE (a);
ALTER TABLE tree ATTACH PARTITION h FOR VALUES FROM (0) TO (100000);
CREATE TABLE leaf PARTITION OF tree FOR VALUES FROM (100000) TO (200000) USING heap});
is( $node->safe_psql(
		'postgres', q{
BEGIN;
INSERT INTO tree VALUES (150000, 'routed elsewhere');
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'h'::regclass}),
	0, 'an insertion into another partition locks it for a moment only');
$node->safe_psql('postgres', 'ALTER TABLE tree DETACH PARTITION h; DROP TABLE tree');

#
# A sealer at work on the copy's file
#
$want = make_pair('h', 'c');
$swap = exchange_sql('h', 'c');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_set('seal-before-header', 'wait')});
my $sealer = in_background(q{SELECT row_groups > 0 FROM omendb.seal('c', true)});
wait_for_stop('seal-before-header');
my $tool = in_background("BEGIN; $swap; COMMIT");
ok( $node->poll_query_until(
		'postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'object' AND mode = 'ExclusiveLock' AND NOT granted}),
	'the exchange waits for the sealer');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('seal-before-header')});
is(finish($sealer), "t\n", 'the sealer seals');
like(finish($tool), $refusal, 'and the exchange is refused');
is(rows_of('h'), $want, 'the rows are there');

# the exchange comes first
$want = make_pair('h', 'c');
$swap = exchange_sql('h', 'c');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_set('exchange-before-commit', 'wait')});
$tool = in_background("BEGIN; $swap; COMMIT");
wait_for_stop('exchange-before-commit');
is($node->safe_psql('postgres', q{SELECT row_groups FROM omendb.seal('c', true)}),
	0, 'a sealer does not touch a file that is being exchanged');
$node->safe_psql('postgres', q{SELECT omendb.stop_event_clear('exchange-before-commit')});
is(finish($tool), '', 'the exchange commits');
is(rows_of('h'), $want, 'the rows of the heap');
is(rows_of('c'), $want, 'and of the copy');

#
# Tables of tools are not sealed in the background, nor by VACUUM
#
$node->safe_psql(
	'postgres', q{
CREATE SCHEMA repack;
CREATE TABLE repack.t (a int, b text) USING omendb;
CREATE TABLE other (a int, b text) USING omendb;
INSERT INTO repack.t SELECT g, repeat('x', 200) FROM generate_series(1, 3000) g;
INSERT INTO other TABLE repack.t;
VACUUM (FREEZE) repack.t;
VACUUM (FREEZE) other;
ALTER SYSTEM SET omendb.seal = on;
SELECT pg_reload_conf()});
ok($node->poll_query_until('postgres', q{SELECT cold_rows('other') > 0}), 'the sealer is at work');
is($node->safe_psql('postgres', q{SELECT cold_rows('repack.t')}), 0, 'but not on what belongs to tools');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET omendb.seal; SELECT pg_reload_conf(); DROP SCHEMA repack CASCADE; DROP TABLE other});

#
# Relations that have such a file already
#
$want = make_pair('h', 'c');
seal_all($node, 'c');
$node->safe_psql(
	'postgres', q{
CREATE TABLE list (a int, b text) PARTITION BY RANGE (a);
CREATE TABLE ref (a int REFERENCES h);
CREATE TABLE part (a int PRIMARY KEY, b text) USING heap;
ALTER TABLE list ATTACH PARTITION part FOR VALUES FROM (0) TO (1000000);
CREATE TABLE partcopy (LIKE part) USING omendb;
ALTER TABLE partcopy ADD PRIMARY KEY (a);
INSERT INTO part SELECT * FROM h;
INSERT INTO partcopy SELECT * FROM part;
CREATE TABLE fine (a int PRIMARY KEY, b text) USING heap;
INSERT INTO fine SELECT * FROM h;
});
seal_all($node, 'partcopy');
check_store($node, 'before', 'c', 'partcopy');
$swap = exchange_sql('h', 'c') . ";\n" . exchange_sql('part', 'partcopy');
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
$node->safe_psql('postgres', "BEGIN; $swap; COMMIT");
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'");
$node->start;

my @stored = stored_ids($node);
foreach my $sql (
	'SELECT count(*) FROM h',
	'EXPLAIN SELECT * FROM h',
	'SET enable_seqscan = off; SELECT * FROM h WHERE a = 7',
	"INSERT INTO h VALUES (7, 'again')",
	"INSERT INTO h VALUES (7, 'again') ON CONFLICT DO NOTHING",
	q{UPDATE h SET b = '' WHERE a = 7},
	'DELETE FROM h',
	'MERGE INTO h USING fine ON h.a = fine.a WHEN MATCHED THEN DELETE',
	'WITH x AS (DELETE FROM h RETURNING a) SELECT count(*) FROM x',
	'SELECT * FROM fine WHERE EXISTS (SELECT FROM h WHERE h.a = fine.a)',
	'INSERT INTO ref VALUES (7)',
	'COPY h TO STDOUT',
	"COPY h FROM PROGRAM 'echo'",
	'CREATE INDEX ON h (b)',
	'CREATE INDEX CONCURRENTLY ON h (b)',
	'REINDEX TABLE h',
	'REINDEX INDEX h_pkey',
	'CLUSTER h USING h_pkey',
	'VACUUM h',
	'VACUUM',
	'VACUUM FULL h',
	'ANALYZE h',
	'ALTER TABLE h ADD CHECK (a > 0)',
	'ALTER TABLE h SET ACCESS METHOD omendb',
	'CREATE TABLE x AS TABLE h',
	'SELECT count(*) FROM list',
	"INSERT INTO list VALUES (5000, 'routed')",
	"COPY list FROM PROGRAM 'echo'",
	'CREATE INDEX ON list (b)',
	'ANALYZE list',
	'VACUUM list')
{
	($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	like($err,
		qr/ERROR:  XX001: relation "(h|part)" is not an omendb table, but its file holds sealed rows.*HINT:  Make it an omendb table: SELECT omendb\.adopt_relation\('public\.(h|part)'\)/s,
		"refused: $sql");
}
# others are not concerned
is(rows_of('fine'), $want, 'other tables');
$node->safe_psql('postgres', q{INSERT INTO fine VALUES (5000, 'x'); DELETE FROM fine WHERE a = 5000; VACUUM fine});

# nothing is collected, and autovacuum keeps off
$node->safe_psql('postgres', 'SELECT omendb.gc()');
my $offset = -s $node->logfile;
$node->safe_psql(
	'postgres', q{
ALTER SYSTEM SET autovacuum = on;
ALTER SYSTEM SET autovacuum_naptime = '1s';
SELECT pg_reload_conf()});
$offset = $node->wait_for_log(qr/ERROR: .*relation "(h|part)" is not an omendb table/, $offset);
ok($offset, 'autovacuum stops');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET autovacuum; SELECT pg_reload_conf()});
is_deeply([ stored_ids($node) ], \@stored, 'the files of the row groups are there');

# mending
($rc, $out, $err) = $node->psql('postgres', q{SELECT omendb.adopt_relation('fine')});
like($err, qr/the file of "fine" holds no sealed rows/, 'nothing to adopt');
($rc, $out, $err) = $node->psql('postgres', q{CREATE ROLE guest; SET ROLE guest; SELECT omendb.adopt_relation('h')});
like($err, qr/must be owner of table h/, "not somebody else's");
$node->safe_psql('postgres', q{SELECT omendb.adopt_relation('h'); SELECT omendb.adopt_relation('part')});
is(relam('h'), 'omendb', 'adopted');
is(rows_of('h'), $want, 'all rows');
is(rows_of('c'), $want, "and the omendb table's");
is(rows_of('list'), $want, 'the partitioned table');
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'h'::regclass AND refclassid = 'pg_am'::regclass}),
	1, 'it depends on its access method');
is($node->safe_psql('postgres', q{SELECT count(*) FROM bt_index_check('h_pkey', true) x, bt_index_check('part_pkey', true) y}),
	1, 'the indexes');
$node->safe_psql(
	'postgres', q{
INSERT INTO list VALUES (5000, 'routed');
INSERT INTO ref VALUES (7);
UPDATE h SET b = 'new' WHERE a = 7;
VACUUM});
seal_all($node, 'h');
seal_all($node, 'c');
is($node->safe_psql('postgres', 'SELECT b FROM h WHERE a = 7'), 'new', 'changed and sealed');
check_store($node, 'the store', 'h', 'c', 'part', 'partcopy');

#
# pg_repack itself
#
SKIP:
{
	skip 'pg_repack is not installed', 1
	  unless eval { $node->safe_psql('postgres', 'CREATE EXTENSION pg_repack'); 1 };

	$node->append_conf('postgresql.conf', <<EOC);
default_table_access_method = omendb
omendb.seal = on
omendb.eager_seal = on
EOC
	$node->restart;
	my $many = 20_000;
	$node->safe_psql(
		'postgres', qq{
CREATE TABLE old (a int PRIMARY KEY, b text) USING heap;
INSERT INTO old SELECT g, repeat('x', g % 200) FROM generate_series(1, $many) g;
CREATE TABLE cold (LIKE old) USING omendb;
ALTER TABLE cold ADD PRIMARY KEY (a);
INSERT INTO cold TABLE old;
CREATE TABLE tree (a int, b text, PRIMARY KEY (a)) PARTITION BY RANGE (a);
CREATE TABLE tree_heap PARTITION OF tree FOR VALUES FROM (0) TO ($many / 2) USING heap;
CREATE TABLE tree_omen PARTITION OF tree FOR VALUES FROM ($many / 2) TO ($many * 2) USING omendb;
INSERT INTO tree TABLE old});
	my $all = rows_of('old');
	ok( $node->poll_query_until('postgres', q{SELECT cold_rows('cold') > 0 AND cold_rows('tree_omen') > 0}),
		'tables are sealed in the background');
	my @job = ('--wait-timeout=100', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-U', (getpwuid($<))[0]);

	# A transaction that is older than the copy makes pg_repack wait with it
	my $pause = $node->background_psql('postgres');
	$pause->query_safe('BEGIN; SELECT count(*) FROM pg_class');
	my $text = '';
	my $repack = IPC::Run::start([ 'pg_repack', @job, '-t', 'old' ], '<', \undef, '>', \$text, '2>', \$text);
	ok( $node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_index WHERE indrelid::regclass::text ~ '^repack.table_'}),
		'pg_repack has made its copy');
	# what is made now, and settles as well, is sealed in one of the next rounds
	$node->safe_psql('postgres', 'CREATE TABLE later USING omendb AS TABLE cold');
	ok($node->poll_query_until('postgres', q{SELECT cold_rows('later') > 0}), 'the sealer has come by');
	usleep(500_000);
	$pause->quit;
	IPC::Run::finish($repack);
	unlike($text, qr/ERROR/, 'pg_repack of a heap') or diag($text);
	is(relam('old'), 'heap', 'which stays one');
	is(rows_of('old'), $all, 'all rows');

	foreach my $args ([ '-t', 'cold' ], [ '-I', 'tree' ])
	{
		$text = '';
		IPC::Run::run([ 'pg_repack', @job, @$args ], '<', \undef, '>', \$text, '2>', \$text);
		unlike($text, qr/ERROR/, "pg_repack @$args") or diag($text);
	}
	is(rows_of($_), $all, "all rows of $_") for ('cold', 'tree');
	ok($node->poll_query_until('postgres', q{SELECT cold_rows('cold') > 0 AND cold_rows('tree_omen') > 0}),
		'and omendb tables are sealed again');
	is(rows_of($_), $all, "all rows of $_, sealed") for ('cold', 'tree');
	is(relam('tree_heap') . relam('tree_omen'), 'heapomendb', 'access methods of the partitions');
}

crash_free($node, 'the log');
$node->stop;
done_testing();
