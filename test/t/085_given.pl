# omendb.reclaim_space = full: marker pages whose blocks were given back to the
# file system.  Every way to rows leads there; VACUUM, insertion, thaw, sealing
# anew, truncation and the copy of a table, kills before, in and after a punch.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 12000;
my $group = 128;
my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'omendb.row_group_blocks' => $group,
	'omendb.reclaim_space' => 'full',
	'wal_consistency_checking' => "'all'",
	'shared_buffers' => "'800kB'");
$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pg_visibility;
CREATE EXTENSION pg_freespacemap;
CREATE TABLE t (a int PRIMARY KEY, b int, pad text, c int) USING omendb;
CREATE INDEX t_b ON t (b);
SET client_min_messages = error;
CREATE UNIQUE INDEX t_c ON t USING alex (c);
CREATE TABLE child (a int REFERENCES t);
INSERT INTO t SELECT g, g % 100, repeat('x', 200), g FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT ctid AS tid, a, b, pad, c FROM t;
CREATE INDEX ON h (tid);
});

sub value
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# Where t is; to be asked again when it was copied
my $file = relation_file($node, 't');

sub is_zero { return read_block($file, $_[0]) eq "\0" x 8192 }

# Blocks of t that read as zeros
sub zeros
{
	$file = relation_file($node, 't');
	return grep { is_zero($_) } 0 .. (-s $file) / 8192 - 1;
}

# Seal everything and give back what can be
sub punch
{
	value('VACUUM (INDEX_CLEANUP on) t');
	seal_all($node, 't');
	value('CHECKPOINT');
	value('VACUUM t');
	return;
}

sub same
{
	my ($what) = @_;
	foreach my $set ('SET enable_indexscan = off; SET enable_bitmapscan = off',
		'SET enable_seqscan = off; SET enable_bitmapscan = off',
		'SET enable_seqscan = off; SET enable_indexscan = off')
	{
		is( value(
				"$set; SELECT count(*), (SELECT count(*) FROM (SELECT ctid, * FROM t WHERE a > 0 EXCEPT SELECT * FROM h) x),
				(SELECT count(*) FROM (SELECT * FROM h EXCEPT SELECT ctid, * FROM t WHERE a > 0) x) FROM t WHERE a > 0"),
			value('SELECT count(*) FROM h') . '|0|0',
			"$what: the rows are those of the heap twin ($set)");
	}
	return;
}

# What a file holds from a position on
sub rest_of
{
	my ($path, $from) = @_;
	open(my $fh, '<:raw', $path) or die "$path: $!";
	seek($fh, $from, 0) or die $!;
	local $/;
	my $bytes = <$fh>;
	close $fh;
	return $bytes;
}

# Free space in the map for cold blocks, that insertion would believe
sub offered
{
	return value("SELECT count(*) FROM pg_freespace('t') WHERE avail > 0 AND blkno IN (" .
		join(',', zeros(), -1) . ')');
}

my $holes = 1;
{
	my $probe = $node->data_dir . '/probe';
	open(my $fh, '>:raw', $probe) or die;
	print $fh 'x' x 1048576;
	close $fh;
	$holes = system("fallocate -p -o 0 -l 524288 '$probe' 2>/dev/null") == 0;
	unlink $probe;
}
plan(skip_all => 'the file system has no holes') unless $holes;

# -- not before a checkpoint has seen the markers
seal_all($node, 't');
value('VACUUM t');
is(scalar(zeros()), 0, 'nothing is given back before a checkpoint');
my $half = value(q{SELECT marker_bytes FROM omendb.table_size('t')});
value('CHECKPOINT');
value('VACUUM t');
my $nblocks = value(q{SELECT pg_relation_size('t') / 8192});
my $given = zeros();
cmp_ok($given, '>', $nblocks * 0.9, "most of the $nblocks blocks are given back ($given)");
cmp_ok(value(q{SELECT marker_bytes FROM omendb.table_size('t')}), '<', $half / 4, 'omendb.table_size() shows it');
ok(!is_zero($nblocks - 1), 'not the last block');
is(scalar(grep { is_zero($_) } split /\n/, value(q{SELECT first_block FROM omendb.row_groups('t') OFFSET 1})), 0, 'nor header pages');
is(offered(), 0, 'the free space map offers none of them');
$node->restart;
same('after a restart');

# -- every path that comes by TID, each to a block that nobody has read yet
my $at = $group + 5;
foreach my $path (tid_paths($rows, $at, 0))
{
	my $name = $path->[0];
	next if $name =~ /CLUSTER|UPDATE by sequential scan/;
	do { $at++ } until is_zero($at);
	my $a = value("SELECT a FROM h WHERE tid = '($at,3)'");
	if ($at % 8 == 0)
	{
		$node->stop('immediate');
		$node->start;
	}
	my ($same) = grep { $_->[0] eq $name } tid_paths($rows, $at, $a);
	my ($rc, $out, $err) = $node->psql('postgres', $same->[1]);
	$out = (split /\n/, $out)[-1] // '';
	my $want = $same->[2];
	if ($want eq 'duplicate')
	{
		like($err, qr/duplicate key value/, "$name: the key is refused");
	}
	elsif (ref $want)
	{
		like($out, $want, "$name: all rows");
	}
	else
	{
		is("$rc $out", "0 $want", "$name: all rows") or diag($err);
	}
}
same('after all paths');

# -- VACUUM: whatever it visits, it finds no pages of zeros
punch();
cmp_ok(scalar(zeros()), '>', $nblocks * 0.8, 'given back again');
my $k = value(q{SELECT a FROM h WHERE tid = '(} . ($group + 40) . q{,2)'});
my $k2 = value(q{SELECT a FROM h WHERE tid = '(} . ($group + 55) . q{,2)'});
value("UPDATE t SET b = b WHERE a IN ($k, $k2)");
ok(is_zero($group + 47), 'between two thawed pages there are given blocks');
value('VACUUM t');
ok(!is_zero($group + 47), 'VACUUM has put pages there that stand for the markers');
ok(is_zero($group + 100), 'and left longer runs alone');
is(offered(), 0, 'it offers none of them to insertions');
value('CREATE OR REPLACE PROCEDURE twin() LANGUAGE sql AS $$ TRUNCATE h; INSERT INTO h SELECT ctid, a, b, pad, c FROM t $$; CALL twin()');
punch();

# VACUUM has inspected the row group; then two writers make short runs of it
my ($n1, $n2) = (60, 75);
$k = value("SELECT a FROM h WHERE tid = '(" . ($group + $n1) . ",2)'");
$k2 = value("SELECT a FROM h WHERE tid = '(" . ($group + $n2) . ",2)'");
value(q{SELECT omendb.stop_event_set('vacuum-inspected', 'wait')});
my $vacuum = $node->background_psql('postgres', on_error_stop => 0);
$vacuum->query_until(qr/start/, "\\echo start\nVACUUM t;\n");
ok($node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('vacuum-inspected') = 1}), 'VACUUM has looked at all headers');
value("UPDATE t SET b = b + 1 WHERE a = $k");
value("UPDATE t SET b = b + 1 WHERE a = $k2");
value(q{SELECT omendb.stop_event_clear('vacuum-inspected')});
$vacuum->quit;
ok(!is_zero($group + 67) || offered() == 0, 'writers have put pages between theirs');
is(offered(), 0, 'VACUUM offers no given block to insertions');
value('CALL twin()');

# -- insertion: the free space map is wrong
punch();
$file = relation_file($node, 't');
my ($target) = grep { is_zero($_) } $group + 20 .. $group + 60;
value("SELECT omendb.test_free_space('t', $target, 8000)");
value(q{INSERT INTO t SELECT g, 1, 'new', g FROM generate_series(20001, 20010) g});
is(value("SELECT count(*) FROM t WHERE a > 20000 AND ctid >= '($target,0)' AND ctid < '(" . ($target + 1) . ",0)'"), 0, 'insertion does not land on a given block');
is(value(qq{SELECT avail FROM pg_freespace('t', $target) AS avail}), 0, 'and has corrected the free space map');
same('after insertions') if value('CALL twin(); SELECT 1');

# in the midst of a transaction, where the target is full
sub landed
{
	return value("SELECT count(*) FROM t WHERE ctid >= '($target,0)' AND ctid < '(" . ($target + 1) . ",0)' AND a > 20000");
}
my $forge = "DO \$\$ BEGIN PERFORM omendb.test_free_space('t', b, 8000) FROM generate_series($target, $target + 4) b; END \$\$;";
value(qq{
BEGIN;
INSERT INTO t VALUES (30000, 1, 'x', 30000);
$forge
INSERT INTO t SELECT g, 1, repeat('y', 1000), g FROM generate_series(30001, 30100) g;
$forge
UPDATE t SET pad = repeat('z', 2000) WHERE a BETWEEN 30001 AND 30010;
$forge
COPY t (a, b, pad, c) FROM PROGRAM 'for i in `seq 30101 30200`; do echo \$i,1,abcdefghij\$i,\$i; done' (FORMAT csv);
$forge
COPY t (a, b, pad, c) FROM PROGRAM 'echo 30201,1,x,30201' (FORMAT csv);
COMMIT});
is(landed(), 0, 'insertion, update and COPY do not land on given blocks, whatever the map says');

# VACUUM gives back also where it is too soon to seal anything
value("CREATE TABLE v USING omendb AS SELECT g AS a, repeat('x', 200) AS b FROM generate_series(1, 12000) g");
seal_all($node, 'v');
$node->adjust_conf('postgresql.conf', 'omendb.seal_delay', '600');
$node->reload;
$node->poll_query_until('postgres', q{SELECT current_setting('omendb.seal_delay') = '10min'}) or die;
value('CHECKPOINT');
my $markers = value(q{SELECT marker_bytes FROM omendb.table_size('v')});
value('VACUUM v');
cmp_ok(value(q{SELECT marker_bytes FROM omendb.table_size('v')}), '<', $markers / 2, 'VACUUM gives back what was sealed a moment ago');
$node->adjust_conf('postgresql.conf', 'omendb.seal_delay', '0');
$node->reload;
value('DROP TABLE v');

# COPY uses the room that there is, as on heap
foreach my $am ('omendb', 'heap')
{
	value(qq{
CREATE TABLE c_$am (a int, pad text) USING $am;
INSERT INTO c_$am SELECT g, repeat('x', 90) FROM generate_series(1, 6000) g;
DELETE FROM c_$am WHERE a % 2 = 0 OR a > 5900});
	value("VACUUM c_$am");
	my $size = value("SELECT pg_relation_size('c_$am')");
	value(qq{
COPY c_$am FROM PROGRAM 'for i in `seq 2500`; do echo \$i,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done' (FORMAT csv)});
	is(value("SELECT pg_relation_size('c_$am'), count(*) FROM c_$am"), "$size|5450", "COPY fills the pages of a table ($am)");
}
value("DELETE FROM t WHERE a >= 30000");

# only if the target's room is taken by somebody else does heapam ask the map
sub land
{
	my ($key) = @_;
	my $inserter = $node->background_psql('postgres', on_error_stop => 0);
	$inserter->query_safe("INSERT INTO t VALUES ($key, 1, 'x', $key)");
	value(q{SELECT omendb.stop_event_set('insert-vetted', 'wait')});
	$inserter->query_until(qr/start/, "\\echo start\nINSERT INTO t VALUES ($key + 1, 1, repeat('y', 1500), $key + 1);\n");
	$node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('insert-vetted') = 1}) or die;
	value("UPDATE t SET pad = repeat('z', 1500) WHERE a = $key") for 1 .. 6;
	value($forge);
	return $inserter;
}
my $inserter = land(30300);
value(q{SELECT omendb.stop_event_clear('insert-vetted')});
$inserter->quit;
is(value("SELECT count(*) FROM t WHERE a = 30301"), 0, 'the row is not there');
my $messages = slurp_file($node->logfile);
like($messages, qr/could not insert into block \d+ of relation "t"/, 'a row that lands on a given block fails');
like($messages, qr/might succeed if retried/, 'with a hint');
value('CALL twin()');
same('after an insertion that failed');

# (what is read meanwhile, and after a kill between the two: 091_landing.pl)
value($forge);
cmp_ok(offered(), '>', 0, 'the map is wrong again');
value('VACUUM t');
is(offered(), 0, 'VACUUM corrects it');

# a session goes on where it put its last row; that may have been sealed since
value(q{INSERT INTO t VALUES (24999, 1, 'x', 24999)});
value('VACUUM t');
my $idle = $node->background_psql('postgres', on_error_stop => 0);
$idle->query_safe(q{INSERT INTO t SELECT g, 1, repeat('x', 200), g FROM generate_series(25000, 26000) g});
my $own = value('SELECT ctid FROM t WHERE a = 26000');
value(q{INSERT INTO t SELECT g, 1, repeat('x', 200), g FROM generate_series(26001, 30000) g});
# not by VACUUM, which has all sessions forget
value(q{CALL seal_all('t')});
value('CHECKPOINT');
value(q{SELECT omendb.seal('t', true)});
my ($own_blk) = $own =~ /(\d+)/;
ok(is_zero($own_blk), "the block of a session's last row is given back");
$idle->query_safe(q{INSERT INTO t VALUES (30001, 1, 'x', 30001)});
$idle->quit;
is(value('SELECT count(*) FROM t WHERE a IN (26000, 30001)'), '2', 'it inserts elsewhere');
value('DELETE FROM t WHERE a >= 25000');
punch();
value('CALL twin()');

# -- VACUUM visits the last block, so that it skips one page less there
value(q{CREATE TABLE e (a int PRIMARY KEY, pad text) USING omendb;
INSERT INTO e SELECT g, repeat('x', 200) FROM generate_series(1, 7700) g});
seal_all($node, 'e');
value('CHECKPOINT');
value('VACUUM e');
my $end_file = relation_file($node, 'e');
my $end = (-s $end_file) / 8192;
my $in_end = sub { return value("SELECT a FROM e WHERE ctid = '($_[0],2)'") };
# no buffer has their markers any more
$node->restart;
value('BEGIN; DELETE FROM e WHERE a = ' . $in_end->($end - 33) . '; ROLLBACK');
is((-s $end_file) / 8192, $end, 'the last 32 blocks are cold');
is(read_block($end_file, $end - 10), "\0" x 8192, 'and given back');
value('VACUUM e');
is(value("SELECT count(*) FROM pg_freespace('e') WHERE avail > 0 AND blkno > $end - 33"), 0, 'VACUUM offers none of them to insertions');
is(value('SELECT count(*), sum(length(pad)) FROM e'), '7700|1540000', 'all rows are there');

# -- a file that ends too early
my $beyond = $in_end->($end - 10);
$node->stop;
my $rest = rest_of($end_file, ($end - 20) * 8192);
truncate($end_file, ($end - 20) * 8192) or die $!;
$node->start;
my ($rc, $out, $err);
foreach my $sql ("SET enable_seqscan = off; SET enable_indexscan = off; SELECT pad FROM e WHERE a = $beyond",
	"SELECT pad FROM e WHERE ctid = '(" . ($end - 10) . ",2)'")
{
	($rc, $out, $err) = $node->psql('postgres', $sql);
	like($err, qr/relation "e" ends before block/, "a row beyond the end of the file is missed: $sql");
}
$node->stop('immediate');
open(my $fh, '>>:raw', $end_file) or die $!;
print $fh $rest;
close $fh;
$node->start;
is(value('SELECT count(*), sum(length(pad)) FROM e WHERE a > 0'), '7700|1540000', 'all rows are there again');

# -- a table's end: a given block must not become the last one
value(q{DELETE FROM t WHERE a > 11000 OR a > 20000});
value('CALL twin()');
value('VACUUM t');
my $last = value(q{SELECT pg_relation_size('t') / 8192 - 1});
ok(!is_zero($last) || value("SELECT omendb.row_groups('t') IS NULL") eq 't', 'the last block is none that was given back');
same('after truncation');

# -- copies
punch();
my $dir = $node->basedir . '/space';
mkdir $dir;
value("CREATE TABLESPACE other LOCATION '$dir'");
value('ALTER TABLE t SET TABLESPACE other');
same('in another tablespace');
value('ALTER TABLE t SET TABLESPACE pg_default');
punch();
cmp_ok(scalar(zeros()), '>', $nblocks * 0.6, 'a copy is given back, too');
value('VACUUM (DISABLE_PAGE_SKIPPING) t');
same('after VACUUM (DISABLE_PAGE_SKIPPING)');
punch();
value(q{SELECT pg_truncate_visibility_map('t')});
value('VACUUM t');
is(offered(), 0, 'without visibility map VACUUM offers no given block');
same('without visibility map');
value('CLUSTER t USING t_b; SELECT 1');
value('CALL twin()');
value('VACUUM FREEZE t');

# -- kills before, in and after a punch
foreach my $event ('punch-declared', 'punch-before', 'punch-run', 'punch-after')
{
	value(q{SELECT omendb.unseal('t')});
	seal_all($node, 't');
	value('CHECKPOINT');
	value("SELECT omendb.stop_event_set('$event', 'kill', 0)");
	$node->psql('postgres', 'VACUUM t');
	$node->stop('immediate', fail_ok => 1);
	$node->_update_pid(0);
	$node->start;
	same("killed at $event");
	value('VACUUM t');
	same("killed at $event, and vacuumed");
	punch();
	cmp_ok(scalar(zeros()), '>', $nblocks * 0.6, "killed at $event: given back in the end");
}

# -- a lost header page is noticed, whatever was given back
$node->safe_psql('postgres', 'CHECKPOINT');
$file = relation_file($node, 't');
my $header = value(q{SELECT first_block FROM omendb.row_groups('t') WHERE state = 'sealed' OFFSET 1 LIMIT 1});
$node->stop;
my $good = read_block($file, $header);
write_block($file, $header, "\0" x 8192);
$node->start;
($rc, $out, $err) = $node->psql('postgres', 'SET enable_indexscan = off; SELECT count(pad) FROM t');
like($err, qr/has lost its header page/, 'a lost header page is noticed');
($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.repair_row_group('t', $header)");
like($err, qr/trust_file/, 'it is not repaired without consent');
value("SELECT omendb.repair_row_group('t', $header, true)");
same('repaired');

# -- unseal
value(q{SELECT omendb.unseal('t')});
is(value(q{SELECT coalesce(sum(cold_pages), 0) FROM omendb.row_groups('t')}), 0, 'unsealed');
same('unsealed');
is(value(q{SELECT omendb.alex_check('t_c', true) IS NOT NULL}), 't', 'the alex index is whole');
crash_free($node, 'all of it');
$node->stop;

done_testing();
