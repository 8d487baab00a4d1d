# omendb.alex_default and dumps: what a dump says is what a restored database
# has, whatever the setting is there.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('default', 'autovacuum' => 'off');
my $methods = q{SELECT c.relname, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE c.relkind IN ('i', 'I') AND c.relnamespace = 'public'::regnamespace ORDER BY 1};
$node->safe_psql('postgres', 'CREATE DATABASE made; CREATE DATABASE restored_on; CREATE DATABASE restored_off');
$node->safe_psql('made', q{
CREATE EXTENSION omendb;
ALTER DATABASE restored_on SET omendb.alex_default = on;
SET omendb.alex_default = on;
CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, k text, n numeric);
CREATE INDEX t_k ON t (k, n DESC);
CREATE UNIQUE INDEX t_n ON t (n);
CREATE INDEX t_btree ON t USING btree (k);
CREATE INDEX t_pattern ON t (k text_pattern_ops);
CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE INDEX p_b ON p (b);
INSERT INTO t SELECT i, i, 'key ' || i, i / 7.0 FROM generate_series(1, 2000) i;
INSERT INTO p SELECT i % 10, i FROM generate_series(1, 1000) i;
});
my $expected = join("\n", qw(p1_b_idx|alex p_b|alex t_btree|btree t_k|alex t_n|alex t_pattern|btree t_pkey|btree t_u_key|btree));
is($node->safe_psql('made', $methods), $expected, 'what the setting makes');

my $file = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $file, 'made' ], 'pg_dump');
my $dump = slurp_file($file);
like($dump, qr/CREATE INDEX t_k ON public\.t USING alex \(k, n DESC\);/, 'the dump names alex');
like($dump, qr/CREATE INDEX t_btree ON public\.t USING btree \(k\);/, 'and btree');
foreach my $db (qw(restored_on restored_off))
{
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $db, '-f', $file ], "$db: restored");
	is($node->safe_psql($db, $methods), $expected, "$db: the same methods");
	is($node->safe_psql($db, q{SELECT omendb.alex_check('t_k', true), omendb.alex_check('t_n', true), omendb.alex_check('p1_b_idx', true)}),
		'||', "$db: sound");
}
$node->stop;
done_testing();
