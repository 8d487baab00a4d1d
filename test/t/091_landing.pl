# omendb.reclaim_space = full: a row that an insertion has put on a given block, since
# the free space map was wrong and the target's room was lost to somebody else. Until
# that is noticed, and after a kill until VACUUM has put it right, the block's sealed
# rows are read as ever, no index forgets them, and no key comes twice.

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
	'shared_buffers' => "'800kB'",
	'max_standby_streaming_delay' => "'60s'");
$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pageinspect;
CREATE TABLE t (a int PRIMARY KEY, b int, pad text, c int) USING omendb;
CREATE INDEX t_b ON t (b);
SET client_min_messages = error;
CREATE UNIQUE INDEX t_c ON t USING alex (c);
INSERT INTO t SELECT g, g % 100, repeat('x', 200), g FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT ctid AS tid, a, b, pad, c FROM t;
});

sub value
{
	my ($sql, $server) = @_;
	return ($server // $node)->safe_psql('postgres', $sql);
}

my $file = relation_file($node, 't');
sub is_zero { return read_block($file, $_[0]) eq "\0" x 8192 }

value('VACUUM (INDEX_CLEANUP on) t');
seal_all($node, 't');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
value('CHECKPOINT');
value('VACUUM t');
my ($target) = grep { is_zero($_) && is_zero($_ + 4) } $group + 20 .. $group + 60;
plan(skip_all => 'the file system has no holes') unless defined $target;
my $blocks = join(',', $target .. $target + 4);
my @keys = split /\n/, value("SELECT a FROM h WHERE (tid::text::point)[0] IN ($blocks) AND (tid::text::point)[1] = 1");
is(scalar(@keys), 5, 'five blocks');
my $keys = join(',', @keys);
my $all = value("SELECT count(*) FROM h WHERE (tid::text::point)[0] IN ($blocks)");

# Rows that were put on these blocks: the one line pointer that has come
sub landed
{
	return value("SELECT count(*) FROM generate_series($target, $target + 4) b, heap_page_items(get_raw_page('t', b)) i WHERE i.t_xmin IS NOT NULL");
}

# As many rows by each way
sub all_there
{
	my ($what, $server) = @_;
	my %set = (
		'index scan' => 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off',
		'bitmap scan' => 'SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off',
		'sequential scan' => 'SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off',
		'vectors' => 'SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off; SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = force',
		'by default' => 'SET enable_seqscan = on');
	foreach my $way (sort keys %set)
	{
		is(value("$set{$way}; SELECT count(pad) FROM t WHERE a IN ($keys)", $server), 5, "$what: $way");
	}
	is(value("SET enable_seqscan = off; SELECT count(pad) FROM t WHERE c IN ($keys)", $server), 5, "$what: alex");
	is(value("SELECT count(pad) FROM t WHERE ctid IN (" . join(',', map { "'($_,1)', '($_,2)'" } $target .. $target + 4) . ")", $server), 10, "$what: by TID");
	is(value("SELECT count(*) FROM t WHERE ctid >= '($target,0)' AND ctid < '(" . ($target + 5) . ",0)'", $server), $all, "$what: by a range of TIDs");
	return;
}

sub refused
{
	my ($what) = @_;
	foreach my $k (@keys)
	{
		my ($rc, $out, $err) = $node->psql('postgres', "INSERT INTO t VALUES ($k, 1, 'twice', $k + 900000)");
		like($err, qr/duplicate key value violates unique constraint "t_pkey"/, "$what: key $k is refused");
	}
	my ($rc, $out, $err) = $node->psql('postgres', "INSERT INTO t VALUES (900000, 1, 'twice', $keys[2])");
	like($err, qr/duplicate key value violates unique constraint "t_c"/, "$what: alex refuses it");
	is(value("INSERT INTO t VALUES ($keys[1], 1, 'twice', 900001) ON CONFLICT DO NOTHING; SELECT count(*) FROM t WHERE a = $keys[1]"), 1, "$what: ON CONFLICT");
	return;
}

# An insertion that has put a row on one of the blocks, and has not looked yet
sub land
{
	my ($key) = @_;
	# no buffer has a page for them
	$node->restart;
	my $inserter = $node->background_psql('postgres', on_error_stop => 0);
	$inserter->query_safe("INSERT INTO t VALUES ($key, 1, 'x', $key)");
	value(q{SELECT omendb.stop_event_set('insert-vetted', 'wait')});
	$inserter->query_until(qr/start/, "\\echo start\nINSERT INTO t VALUES ($key + 1, 1, repeat('y', 1500), $key + 1);\n");
	$node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('insert-vetted') = 1}) or die;
	value("UPDATE t SET pad = repeat('z', 1500) WHERE a = $key") for 1 .. 6;
	value("DO \$\$ BEGIN PERFORM omendb.test_free_space('t', b, 8000) FROM generate_series($target, $target + 4) b; END \$\$;");
	value(q{SELECT omendb.stop_event_set('insert-unchecked', 'wait')});
	value(q{SELECT omendb.stop_event_clear('insert-vetted')});
	$node->poll_query_until('postgres', q{SELECT omendb.stop_event_waiting('insert-unchecked') = 1}) or die;
	return $inserter;
}

# -- beside it
my $inserter = land(30000);
is(landed(), 1, 'a row has landed on a given block');
all_there('landed');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
all_there('landed, standby', $standby);
value(q{SELECT omendb.stop_event_clear('insert-unchecked')});
$inserter->quit;
is(value('SELECT count(*) FROM t WHERE a = 30001'), 0, 'its insertion fails');
all_there('noticed');

# -- updates and locks of the block's rows, one block after the other
foreach my $change ("UPDATE t SET b = b + 1 WHERE a IN ($keys)",
	"SELECT count(*) FROM (SELECT FROM t WHERE a IN ($keys) FOR UPDATE) x", "UPDATE t SET pad = pad || 'u' WHERE ctid = ANY (ARRAY(SELECT ctid FROM t WHERE a IN ($keys)))")
{
	# blocks that nobody has a page for
	value('VACUUM (INDEX_CLEANUP on) t');
	seal_all($node, 't');
	value('CHECKPOINT');
	value('VACUUM t');
	($target) = grep { is_zero($_) && is_zero($_ + 4) } $target + 8 .. $target + 80;
	$blocks = join(',', $target .. $target + 4);
	@keys = split /\n/, value("SELECT a FROM t WHERE (ctid::text::point)[0] IN ($blocks) AND (ctid::text::point)[1] = 1");
	$keys = join(',', @keys);
	$all = value("SELECT count(*) FROM t WHERE (ctid::text::point)[0] IN ($blocks)");
	$inserter = land(30100 + $target);
	is(landed(), 1, 'a row has landed');
	# it may come to such a block itself, which is what the error is for
	my ($rc, $out, $err) = (1, '', '');
	for (1 .. 10)
	{
		($rc, $out, $err) = $node->psql('postgres', "BEGIN; $change; COMMIT");
		last if $rc == 0 || $err !~ /could not insert into block/;
	}
	is($rc, 0, "while it is there: $change") or diag($err);
	is(value("SET enable_seqscan = off; SELECT count(pad), count(DISTINCT a) FROM t WHERE a IN ($keys)"), '5|5', "then: $change");
	value(q{SELECT omendb.stop_event_clear('insert-unchecked')});
	$inserter->quit;
	is(value("SELECT count(*) FROM t WHERE a = 30101 + $target"), 0, 'its insertion fails');
	is(value("SET enable_seqscan = off; SELECT count(pad) FROM t WHERE a IN ($keys)"), 5, 'and the rows are there');
}

# -- a kill between the two
value('VACUUM (INDEX_CLEANUP on) t');
seal_all($node, 't');
value('CHECKPOINT');
value('VACUUM t');
($target) = grep { is_zero($_) && is_zero($_ + 4) } $group + 5 .. $group + 100;
$blocks = join(',', $target .. $target + 4);
@keys = split /\n/, value("SELECT a FROM t WHERE (ctid::text::point)[0] IN ($blocks) AND (ctid::text::point)[1] = 1");
$keys = join(',', @keys);
$all = value("SELECT count(*) FROM t WHERE (ctid::text::point)[0] IN ($blocks)");
$inserter = land(31000);
value('CREATE TABLE flushed ()');
$node->stop('immediate');
eval { $inserter->quit };
$node->start;
is(landed(), 1, 'recovery has brought the row back');
all_there('after the kill');
refused('after the kill');
# the indexes have not forgotten them
all_there('after the kill, again');
value('VACUUM t');
is(landed(), 0, 'VACUUM has put it right');
all_there('after VACUUM');
refused('after VACUUM');
is(value("SELECT omendb.alex_check('t_c', true) IS NOT NULL"), 't', 'alex_check');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
all_there('standby', $standby);
crash_free($standby, 'standby');
$node->stop;
$standby->stop;
done_testing();
