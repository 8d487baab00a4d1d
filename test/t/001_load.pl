# Without shared_preload_libraries, every entry point says what to do; with it,
# the server has what omendb needs.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $hint = qr/HINT:  Add the line shared_preload_libraries = 'omendb' to postgresql.conf and restart the server/;
my $error = qr/ERROR:  omendb must be loaded when the server starts/;

my $node = PostgreSQL::Test::Cluster->new('bare');
$node->init;
$node->start;

sub refused
{
	my ($sql, $what) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);
	isnt($rc, 0, "$what: refused");
	like($err, $error, "$what: one clear error");
	like($err, $hint, "$what: with the line to add");
	return;
}

refused('CREATE EXTENSION omendb', 'CREATE EXTENSION');

# created while the library was loaded, which it then is no longer
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'omendb'");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION omendb');
$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->start;

refused('CREATE TABLE t (id int) USING omendb', 'CREATE TABLE USING omendb');
refused('CREATE TABLE t USING omendb AS SELECT 1 AS id', 'CREATE TABLE AS');
$node->safe_psql('postgres', 'CREATE TABLE h (id int)');
refused('ALTER TABLE h SET ACCESS METHOD omendb', 'SET ACCESS METHOD');
if ($node->safe_psql('postgres', "SELECT count(*) FROM pg_am WHERE amname = 'alex'") ne '0')
{
	refused('CREATE INDEX ON h USING alex (id)', 'CREATE INDEX USING alex');
}

# every function of the extension that SQL can call
my $functions = $node->safe_psql(
	'postgres', q{
SELECT p.proname || '(' || coalesce((SELECT string_agg(CASE t
		WHEN 'regclass'::regtype THEN '''h''::regclass'
		WHEN 'internal'::regtype THEN 'NULL'
		WHEN 'boolean'::regtype THEN 'false'
		WHEN 'text'::regtype THEN '''x'''
		ELSE '1' END, ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, n)), '') || ')'
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
	WHERE pronamespace = 'omendb'::regnamespace AND NOT 'internal'::regtype = ANY (proargtypes)
	ORDER BY 1});
cmp_ok(scalar(split /\n/, $functions), '>', 3, 'the extension has functions');
foreach my $call (split /\n/, $functions)
{
	refused("SELECT * FROM omendb.$call", $call);
}
$node->stop;

# loaded
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'omendb'");
$node->start;
$node->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY) USING omendb; INSERT INTO t SELECT generate_series(1, 100)');
is($node->safe_psql('postgres', 'SELECT count(*) FROM t'), '100', 'loaded: a table works');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM pg_get_wal_resource_managers() WHERE rm_name LIKE 'omendb%'}),
	'2', 'loaded: both resource managers are registered');
ok( $node->poll_query_until('postgres',
		q{SELECT pid > 0 AND state = 'ready' FROM omendb.store_stats()}),
	'loaded: the store worker runs');
my ($rc, $out, $err) = $node->psql('postgres', q{SET omendb.unknown = 1});
like($err, qr/invalid configuration parameter name "omendb.unknown"/, 'the prefix is reserved');

# a library that is gone while the log still holds records: recovery refuses
$node->safe_psql('postgres', q{SELECT omendb.seal('t', true); SELECT pg_switch_wal(); CHECKPOINT});
$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->start;
($rc, $out, $err) = $node->psql('postgres', 'SELECT count(*) FROM t');
like($err, $error, 'a table of omendb cannot be read without the library');
$node->stop;
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'omendb'");
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t'), '100|5050', 'and can be read again with it');

# after a crash, recovery must not go on without it
$node->safe_psql('postgres', q{INSERT INTO t SELECT generate_series(101, 2000)});
$node->safe_psql('postgres', q{SELECT omendb.seal('t', true)});
$node->stop('immediate');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
my $at = -s $node->logfile;
ok(!$node->start(fail_ok => 1), 'recovery without the library stops');
like(slurp_file($node->logfile, $at), qr/resource manager with ID 178 not registered/, 'and says why');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'omendb'");
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM t'), '2000|2001000', 'with it, everything is there');

$node->safe_psql('postgres', 'DROP EXTENSION omendb CASCADE');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 't'"), '0', 'DROP EXTENSION CASCADE takes the tables');
$node->stop;

done_testing();
