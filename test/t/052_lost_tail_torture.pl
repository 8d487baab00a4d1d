# Tails of WAL are lost at random points, after random changes of an omendb table
# and its heap twin: writes, sealing, unsealing, VACUUM, garbage collection,
# checkpoints that come to their end or do not.  Rows that nobody touched after
# the last checkpoint that is known to be complete are there afterwards, in both
# tables, and so is each file that a header names.
#
# LOST_TAILS sets how often (default 3), SEED what happens.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = $ENV{LOST_TAILS} // 3;
my $rows = 4000;
my $seed = $ENV{SEED} // 7;
srand($seed);

my $node = omen_node(
	'torture',
	'omendb.row_group_blocks' => 16,
	'omendb.gc_interval' => 1,
	'omendb.seal_naptime' => 1,
	'omendb.trash_retention' => 0,
	'omendb.reclaim_space' => 'off',
	'autovacuum' => 'off',
	'shared_buffers' => "'128MB'",
	'bgwriter_lru_maxpages' => 0,
	'checkpoint_timeout' => "'1h'");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub make_pair
{
	sql(qq{
DROP TABLE IF EXISTS o, h;
CREATE TABLE o (id int PRIMARY KEY, v int, note text) USING omendb;
CREATE TABLE h (id int PRIMARY KEY, v int, note text) USING heap;
INSERT INTO h SELECT g, 0, repeat(md5(g::text), 1 + g % 3) FROM generate_series(1, $rows) g;
INSERT INTO o SELECT * FROM h;
VACUUM h;
});
	seal_all($node, 'o');
	return;
}

# Ids of a range, as a condition, and remembered as touched
my @touched;

sub some_ids
{
	my $from = 1 + int(rand($rows));
	my $to = $from + int(rand(40));
	my $mod = 1 + int(rand(9));
	push @touched, "(id BETWEEN $from AND $to AND id % $mod = 0)";
	return $touched[-1];
}

# One random change
sub change
{
	my $k = int(rand(100));
	if ($k < 35)
	{
		my $cond = some_ids();
		my $w = int(rand(1000));
		sql("UPDATE $_ SET v = v + $w WHERE $cond") for qw(o h);
	}
	elsif ($k < 42)
	{
		my $cond = some_ids();
		sql("DELETE FROM $_ WHERE $cond") for qw(o h);
	}
	elsif ($k < 50)
	{
		my $n = int(rand(100));
		sql("INSERT INTO $_ SELECT g, -1, 'new' FROM generate_series($rows + 100000, $rows + 100000 + $n) g ON CONFLICT DO NOTHING") for qw(o h);
	}
	elsif ($k < 55)
	{
		my $cond = some_ids();
		sql("SELECT count(*) FROM (SELECT 1 FROM o WHERE $cond FOR UPDATE) x");
	}
	elsif ($k < 75) { sql(q{SELECT omendb.seal('o', true)}); }
	elsif ($k < 80) { sql(q{SELECT omendb.unseal('o')}); }
	elsif ($k < 88) { sql("VACUUM $_") for qw(o h); }
	elsif ($k < 92) { sql('SELECT omendb.gc()'); }
	elsif ($k < 96) { usleep(700_000); }
	else { return 'checkpoint'; }
	return '';
}

# Rows that nobody has touched, in order
sub untouched
{
	my ($table) = @_;
	my $not = @touched ? 'NOT (' . join(' OR ', @touched) . ')' : 'true';
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT count(*), sum(hashtext(id || ' ' || v || ' ' || note)::bigint) FROM $table WHERE id <= $rows AND $not});
	return $rc == 0 ? $out : "error: $err";
}

my ($lost, $by_reset) = (0, 0);
for my $round (1 .. $rounds)
{
	make_pair() if $round % 10 == 1 || !defined eval { sql('SELECT count(*) FROM o') };

	# a quiet state, all of it on disk
	change() for 1 .. int(rand(6));
	sql('REINDEX TABLE h; REINDEX TABLE o');
	sql('CHECKPOINT');
	@touched = ();
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	is(untouched('o'), untouched('h'), "round $round: twins before");

	# and then anything
	my @lsns = ($lsn);
	for (1 .. 1 + int(rand(12)))
	{
		if (change() eq 'checkpoint')
		{
			# one that is complete: what was touched before it is safe, and so is
			# what it saw, but that is not what we look at
			sql('CHECKPOINT');
			@lsns = ();
		}
		push @lsns, sql('SELECT pg_current_wal_insert_lsn()');
	}
	usleep(600_000) if rand() < 0.5;
	my %named = map { $_ => 1 } referenced_ids($node, 'o');
	$node->stop('immediate');

	# the tail goes, from some point on
	my $how;
	if (rand() < 0.4)
	{
		$how = 'pg_resetwal';
		$by_reset++;
		lose_tail_by_reset($node);
	}
	else
	{
		my $from = $lsns[ int(rand(@lsns)) ];
		$how = "zeroes after $from";
		eval { lose_tail_by_zeroes($node, $from); 1 } or $how = 'nothing lost';
	}
	$node->start;
	$lost++;

	my $what = "round $round ($how)";
	my @heap = (untouched('h'));
	my $omen = untouched('o');
	my $ok = is($omen, $heap[0], "$what: untouched rows, as heap has them");
	# files that headers name are there
	my %have = map { $_ => 1 } stored_ids($node);
	my @missing = grep { !$have{$_} } eval { referenced_ids($node, 'o') };
	$ok = is("@missing", '', "$what: each file that a header names is there") && $ok;
	# and stay, when garbage has been collected
	for (1 .. 2)
	{
		sql('SELECT omendb.gc()');
		sql('CHECKPOINT');
		usleep(600_000);
	}
	sql('SELECT omendb.cache_reset()');
	$ok = is(untouched('o'), $omen, "$what: also after garbage collection") && $ok;
	last unless $ok;

	# both go on from one state
	sql('REINDEX TABLE h');
	sql('DROP TABLE h; CREATE TABLE h (LIKE o) USING heap');
	my ($rc) = $node->psql('postgres', 'INSERT INTO h SELECT DISTINCT ON (id) * FROM o; ALTER TABLE h ADD PRIMARY KEY (id)');
	my ($rc2) = $node->psql('postgres', 'REINDEX TABLE o');
	make_pair() if $rc != 0 || $rc2 != 0;
}
note("$lost tails lost, $by_reset by pg_resetwal, seed $seed");
cmp_ok($lost, '>=', $rounds, 'tails were lost');
$node->stop;
crash_free($node, 'the log');
done_testing();
