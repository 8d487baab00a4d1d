# pg_upgrade with sealed tables: row groups are taken over by omendb_upgrade, and
# nobody comes to a cluster without them unawares.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Copy qw(move);
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %settings = ('autovacuum' => 'off', 'omendb.row_group_blocks' => 4, 'omendb.seal_naptime' => 1);
my $rows = 3000;
my $old = omen_node('old', %settings);
my $bindir = $old->config_data('--bindir');
my $program = "$bindir/omendb_upgrade";

# Sealed, thawed and hot pages; nbtree and alex; two databases
make_twins($old, $rows);
$old->safe_psql(
	'postgres', q{
CREATE INDEX acct_alex ON acct USING alex (id);
CREATE TABLE hot (a int PRIMARY KEY, b text) USING omendb;
INSERT INTO hot SELECT g, 'hot ' || g FROM generate_series(1, 500) g;
CREATE MATERIALIZED VIEW mv USING omendb AS SELECT id, note FROM acct;
CREATE TABLE part (a int, b text) PARTITION BY RANGE (a);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (1000) USING omendb;
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (1000) TO (2000) USING heap;
INSERT INTO part SELECT g, repeat('p', g % 300) FROM generate_series(0, 1999) g;
CREATE DATABASE other});
seal_all($old, $_) for ('acct', 'mv', 'part1');
$old->safe_psql(
	'postgres', q{
UPDATE acct SET v = v + 1 WHERE id % 200 = 0;
UPDATE acct_heap SET v = v + 1 WHERE id % 200 = 0;
INSERT INTO acct SELECT g, g % 1000, 'late' FROM generate_series(10000, 10200) g;
INSERT INTO acct_heap SELECT g, g % 1000, 'late' FROM generate_series(10000, 10200) g});
$old->safe_psql(
	'other', q{
CREATE EXTENSION omendb;
CREATE TABLE t (a int PRIMARY KEY, b text) USING omendb;
INSERT INTO t SELECT g, repeat('o', g % 300) FROM generate_series(1, 2000) g;
SELECT omendb.seal('t', true)});
my %fingerprint = (
	acct => 'SELECT count(*), sum(v), sum(hashtext(a::text)::bigint) FROM acct a',
	hot => 'SELECT count(*), sum(hashtext(a::text)::bigint) FROM hot a',
	mv => 'SELECT count(*), sum(hashtext(a::text)::bigint) FROM mv a',
	part => 'SELECT count(*), sum(hashtext(a::text)::bigint) FROM part a');
my $other = 'SELECT count(*), sum(hashtext(a::text)::bigint) FROM t a';
my %want = map { $_ => $old->safe_psql('postgres', $fingerprint{$_}) } keys %fingerprint;
my $want_other = $old->safe_psql('other', $other);
like($want_other, qr/^2000\|/, 'another database');
my $cold = $old->safe_psql('postgres', q{SELECT cold_rows('acct')});
cmp_ok($cold, '>', 0, "$cold rows are cold");
cmp_ok($cold, '<', $rows, 'others have been thawed');
my $sealed = 0;
foreach my $query (
	[ 'postgres', q{SELECT count(DISTINCT id) FROM unnest(ARRAY['acct', 'hot', 'mv', 'part1']::regclass[]) t, omendb.row_groups(t) WHERE cold_pages > 0} ],
	[ 'other', q{SELECT count(DISTINCT id) FROM omendb.row_groups('t') WHERE cold_pages > 0} ])
{
	$sealed += $old->safe_psql(@$query);
}
$old->stop;

my $dir = PostgreSQL::Test::Utils::tempdir;
chdir $dir or die "chdir: $!";

sub new_cluster
{
	my ($name) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);
	$new->init(allows_streaming => 1);
	# as the old one
	no_checksums($new);
	$new->append_conf('postgresql.conf', omen_conf(%settings));
	return $new;
}

# Returns exit code and output
sub run_program
{
	my (@command) = @_;
	my $out = '';
	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$out);
	my $code = $? >> 8;
	note("@command: exit code $code\n$out");
	return ($code, $out);
}

# The same of pg_upgrade, with the servers' logs
sub pg_upgrade
{
	my ($new, @options) = @_;
	my ($code, $out) = run_program(
		'pg_upgrade', '--no-sync', '--retain', @options,
		'-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port);
	foreach my $log (split /\n/, `find @{[ $new->data_dir ]}/pg_upgrade_output.d -name 'pg_upgrade_server.log' 2>/dev/null`)
	{
		$out .= slurp_file($log);
	}
	return ($code, $out);
}

sub compare_all
{
	my ($node, $what) = @_;
	is($node->safe_psql('postgres', $fingerprint{$_}), $want{$_}, "$what: $_") for sort keys %fingerprint;
	is($node->safe_psql('other', $other), $want_other, "$what: the other database");
	compare_twins($node, $what);
	check_indexes($node, $what);
	is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT omendb.alex_check('acct_alex', true), v FROM acct WHERE id = 77}),
		'|77', "$what: the alex index");
	return;
}

#
# It is said what is needed
#
my ($code, $out) = run_program($program, '--check', $old->data_dir);
is($code, 1, '--check: something is needed');
like($out, qr/^\d+ row groups are sealed.*^$sealed header pages name them.*--prepare/ms, 'and what');
my $new = new_cluster('new');
($code, $out) = pg_upgrade($new, '--check');
isnt($code, 0, 'pg_upgrade --check of a cluster that is not prepared');
like($out, qr/FATAL:  this cluster has \d+ sealed row groups.*HINT:  Run "omendb_upgrade --prepare/s, 'and why');
($code, $out) = run_program($program, '--copy', $old->data_dir, $new->data_dir);
isnt($code, 0, 'nothing is taken over before pg_upgrade');
ok(!-e $new->data_dir . '/omendb/omendb.control', 'nor changed');
($code, $out) = run_program($program, '--prepare', $old->data_dir);
is($code, 0, '--prepare');
like($out, qr/^\d+ row groups are sealed/, 'which says how many there are');
($code, $out) = run_program($program, '--check', $old->data_dir);
is($code, 0, '--check of a prepared cluster');
($code, $out) = pg_upgrade($new, '--check');
is($code, 0, 'pg_upgrade --check of a prepared cluster');

#
# pg_upgrade, and the step is forgotten
#
($code, $out) = pg_upgrade($new);
is($code, 0, 'pg_upgrade');
$new->start;
ok($new->poll_query_until('postgres', q{SELECT state = 'refused' FROM omendb.store_stats()}), 'the store is refused');
like($new->safe_psql('postgres', 'SELECT reason FROM omendb.store_stats()'), qr/omendb_upgrade/, 'which names the step');
foreach my $sql (
	$fingerprint{acct},
	q{SET enable_seqscan = off; SELECT * FROM acct WHERE id = 77},
	q{UPDATE acct SET v = 0 WHERE id = 77},
	'VACUUM FULL acct',
	q{SELECT omendb.seal('hot', true)},
	q{SELECT omendb.unseal('acct')})
{
	my ($rc, $stdout, $stderr) = $new->psql('postgres', $sql);
	like($stderr, qr/ERROR: .*run omendb_upgrade/s, "an error that names the step: $sql");
}
is($new->safe_psql('postgres', $fingerprint{hot}), $want{hot}, 'hot rows are there');
$new->psql('postgres', 'SELECT omendb.gc(); VACUUM');
($code, $out) = run_program($program, '--copy', $old->data_dir, $new->data_dir);
like($out, qr/new cluster is running/, 'not while the server runs');
$new->stop;
ok(-e $new->data_dir . '/omendb/upgrade.pending', 'it is still to be done');

#
# A file is missing; then the step, begun and begun anew
#
my ($lost) = glob($old->data_dir . '/omendb/sst/*.sst');
move($lost, $old->data_dir . '/lost') or die $!;
($code, $out) = run_program($program, '--copy', $old->data_dir, $new->data_dir);
isnt($code, 0, 'a file is missing');
like($out, qr/row group [0-9a-f]{32} has no file.*nothing has been changed/s, 'which is said');
is_deeply([ stored_ids($new) ], [], 'and nothing has been changed');
move($old->data_dir . '/lost', $lost) or die $!;
# as if it had been stopped in the middle
mkdir $new->data_dir . "/omendb/$_", 0700 for ('sst', 'marks');
my ($id) = $lost =~ m{/([0-9a-f]{32})-[^/]+$};
append_to_file($new->data_dir . '/omendb/sst/' . ($lost =~ s{.*/}{}r), 'half of it');
append_to_file($new->data_dir . "/omendb/sst/$id.tmp", 'more');
$new->start;
ok($new->poll_query_until('postgres', q{SELECT state = 'refused' FROM omendb.store_stats()}), 'half done: still refused');
$new->stop;
($code, $out) = run_program($program, '--copy', $old->data_dir, $new->data_dir);
is($code, 0, '--copy');
like($out, qr/^\d+ row groups .* have been taken over; $sealed header pages name them/m, 'all of them');
$new->start;
compare_all($new, 'upgraded with --copy');
is($new->safe_psql('postgres', q{SELECT cold_rows('acct')}), $cold, 'rows are as cold as they were');
$new->safe_psql('postgres', 'UPDATE acct SET v = v + 1; UPDATE acct_heap SET v = v + 1; REFRESH MATERIALIZED VIEW mv');
seal_all($new, $_) for ('acct', 'hot', 'mv');
compare_twins($new, 'changed and sealed again');
$new->safe_psql('other', 'DROP TABLE t');
check_store($new, 'the files', 'acct', 'hot', 'mv', 'part1');
$new->stop;
($code, $out) = run_program($program, '--copy', $old->data_dir, $new->data_dir);
like($out, qr/taken care of already/, 'not twice');

#
# --link, from the same old cluster, which still works
#
my $linked = new_cluster('linked');
# a store of its own, without anything, is no obstacle
$linked->start;
$linked->stop;
($code, $out) = pg_upgrade($linked, '--link');
is($code, 0, 'pg_upgrade --link');
($code, $out) = run_program($program, '--link', $old->data_dir, $linked->data_dir);
is($code, 0, '--link');
is((stat $linked->data_dir . '/omendb/sst/' . ($lost =~ s{.*/}{}r))[1], (stat $lost)[1], 'files are linked');
$linked->start;
compare_all($linked, 'upgraded with --link');
seal_all($linked, 'acct');
compare_twins($linked, 'sealed again');
crash_free($_, $_->name) for ($old, $new, $linked);
$linked->stop;

done_testing();
