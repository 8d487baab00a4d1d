# Dump and parallel restore of tables with foreign keys to columns that have a
# unique alex index beside the primary key: which of the two is older is
# chance there.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('alex_restore', 'fsync' => 'off');
$node->safe_psql('postgres', 'CREATE DATABASE source');
my $sql = 'CREATE EXTENSION omendb;';
foreach my $i (1 .. 8)
{
	$sql .= qq{
CREATE TABLE p$i (a int NOT NULL, b int NOT NULL, c text);
INSERT INTO p$i SELECT i, i, repeat('x', 100) FROM generate_series(1, 500) i;
ALTER TABLE p$i ADD PRIMARY KEY (a);
ALTER TABLE p$i ADD UNIQUE (b);
CREATE UNIQUE INDEX a_alex_$i ON p$i USING alex (a);
CREATE UNIQUE INDEX b_alex_$i ON p$i USING alex (b);
CREATE TABLE f$i (x int REFERENCES p$i (a), y int REFERENCES p$i (b));
INSERT INTO f$i SELECT a, b FROM p$i;
};
}
$node->safe_psql('source', $sql);
my $dir = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-Fd', '-f', $dir ], 'dump');
# the restore makes plain indexes first
my $list = "$dir.list";
my ($stdout, $stderr) = run_command([ 'pg_restore', '-l', $dir ]);
my @alex = grep { / INDEX / && /_alex_/ } split /\n/, $stdout;
my @rest = grep { !(/ INDEX / && /_alex_/) } split /\n/, $stdout;
is(scalar @alex, 16, 'alex indexes are in the dump');
my @ordered;
foreach (@rest)
{
	push @ordered, splice(@alex, 0) if / CONSTRAINT / && @alex;
	push @ordered, $_;
}
append_to_file($list, join("\n", @ordered) . "\n");
foreach my $run ([ '-j2' ], [ '-L', $list ])
{
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS target');
	$node->safe_psql('postgres', 'CREATE DATABASE target');
	$node->command_ok([ 'pg_restore', '--exit-on-error', @$run, '-d', $node->connstr('target'), $dir ], "restore $run->[0]");
	is( $node->safe_psql('target',
			q{SELECT count(*), count(*) FILTER (WHERE amname = 'btree') FROM pg_constraint JOIN pg_class c ON c.oid = conindid JOIN pg_am a ON a.oid = c.relam WHERE contype = 'f'}),
		'16|16', "restore $run->[0]: foreign keys are there, and btree's");
}
crash_free($node, 'the log');
$node->stop;
done_testing();
