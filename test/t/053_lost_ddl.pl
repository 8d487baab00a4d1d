# Commands on whole tables whose end of WAL is lost: SET TABLESPACE, TRUNCATE, DROP,
# rewrites; committed, and left open.  A heap table goes through the same, and omendb
# never has less than it.  Then pg_resetwal with a control file that it has to guess:
# the store is adopted.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rows = 1500;
my $node = omen_node(
	'lostddl',
	'omendb.row_group_blocks' => 16,
	'omendb.gc_interval' => 1,
	'omendb.seal_naptime' => 1,
	'omendb.trash_retention' => 0,
	'omendb.reclaim_space' => 'off',
	'allow_in_place_tablespaces' => 'on',
	'autovacuum' => 'off',
	'bgwriter_lru_maxpages' => 0,
	'checkpoint_timeout' => "'1h'");
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub look
{
	my ($table) = @_;
	my ($rc, $out) = $node->psql('postgres',
		"SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*), coalesce(sum(hashtext(note)::bigint), 0) FROM $table WHERE id > 0");
	return $rc == 0 ? $out : 'error';
}

sub collect
{
	for (1 .. 2)
	{
		sql('SET client_min_messages = error; SELECT omendb.gc()');
		sql('CHECKPOINT');
		usleep(600_000);
	}
	return;
}

sql(q{CREATE TABLESPACE elsewhere LOCATION ''});

# Tables o1, h1, o2, h2, ...: a pair for each command
my @commands = (
	'ALTER TABLE %s SET TABLESPACE elsewhere',
	'TRUNCATE %s',
	'DROP TABLE %s',
	'CLUSTER %1$s USING %1$s_pkey',
	'ALTER TABLE %s ALTER v TYPE bigint',
	'VACUUM (FULL) %s');


sub make_pairs
{
	for my $i (1 .. @commands)
	{
		sql("DROP TABLE IF EXISTS o$i, h$i");
		sql(qq{
CREATE TABLE o$i (id int, v int, note text, CONSTRAINT o${i}_pkey PRIMARY KEY (id)) USING omendb;
CREATE TABLE h$i (id int, v int, note text, CONSTRAINT h${i}_pkey PRIMARY KEY (id)) USING heap;
INSERT INTO h$i SELECT g, 0, repeat(md5(g::text), 2) FROM generate_series(1, $rows) g;
INSERT INTO o$i SELECT * FROM h$i;
VACUUM h$i;});
		seal_all($node, "o$i");
	}
	sql('CHECKPOINT');
	return;
}

for my $case (
	[ 'pg_resetwal', \&lose_tail_by_reset, 1 ],
	[ 'a torn record', \&lose_tail_by_zeroes, 0 ])
{
	my ($how, $lose, $commit) = @$case;
	# VACUUM cannot be in a transaction
	my @these = $commit ? (0 .. $#commands) : (0 .. $#commands - 1);
	my $ending = $commit ? 'committed' : 'left open';

	make_pairs();
	my $right = look('o1');
	like($right, qr/^$rows\|/, "$how, $ending: all rows before");
	my @files = stored_ids($node);
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	my $open;
	if ($commit)
	{
		for my $i (@these)
		{
			sql(sprintf($commands[$i], $_ . ($i + 1))) for 'o', 'h';
		}
	}
	else
	{
		$open = $node->background_psql('postgres');
		$open->query_safe('BEGIN');
		for my $i (@these)
		{
			$open->query_safe(sprintf($commands[$i], $_ . ($i + 1))) for 'o', 'h';
		}
	}
	# the sealer and the store have time to think
	usleep(1_500_000);
	$node->stop('immediate');
	$lose->($node, $lsn);
	eval { $open->quit } if $open;
	$node->start;
	for my $round ('', ', after garbage collection')
	{
		for my $i (0 .. $#commands)
		{
			my ($heap, $omen) = (look('h' . ($i + 1)), look('o' . ($i + 1)));
			is($omen, $heap, "$how, $ending: $commands[$i]$round: what heap has");
			is($heap, $right, "$how, $ending: $commands[$i]$round: and that is all") unless $commit;
		}
		collect();
	}
	# only what was committed can be missing
	my %have = map { $_ => 1 } stored_ids($node);
	my @missing = grep { !$have{$_} } @files;
	is("@missing", '', "$how, $ending: no file has been given away") unless $commit;
	# what heap has lost is lost here as well, and dropping it leaves nothing
	sql("DROP TABLE IF EXISTS " . join(', ', map { ("o$_", "h$_") } 1 .. @commands));
	for (1 .. 50)
	{
		collect();
		last unless my @left = stored_ids($node);
	}
	is(join(' ', stored_ids($node)), '', "$how, $ending: dropped, and nothing is left");
}

# -- no control file: pg_resetwal makes one up, with another system identifier
make_pairs();
my $right = look('o1');
sql('UPDATE o1 SET v = 1 WHERE id = 7');
sql(q{SELECT omendb.unseal('o2')});
$node->stop;
my %was = map { /^(.*?):\s+(.*?)$/ ? ($1 => $2) : () } split /\n/, `pg_controldata -D '$data'`;
my ($old_id) = $was{'Database system identifier'};
my ($epoch, $xid) = $was{"Latest checkpoint's NextXID"} =~ /(\d+):(\d+)/;
my $wal = $was{"Latest checkpoint's REDO WAL file"};
unlink("$data/global/pg_control") or die $!;
open(my $fh, '>', "$data/global/pg_control") or die $!;
close $fh;
system_or_bail('pg_resetwal', '-f', '-D', $data, '-x', $xid, '-e', $epoch,
	'-o', $was{"Latest checkpoint's NextOID"}, '-u', $was{"Latest checkpoint's oldestXID"},
	'-m', $was{"Latest checkpoint's NextMultiXactId"} . ',' . ($was{"Latest checkpoint's oldestMultiXid"} || 1),
	'-l', $wal);
$node->start;
my $new_id = sql('SELECT system_identifier FROM pg_control_system()');
isnt($new_id, $old_id, 'pg_resetwal has made up a system identifier');
my ($rc, $out, $err);
for (1 .. 50)
{
	($rc, $out, $err) = $node->psql('postgres', 'SELECT count(note) FROM o3');
	last if $err =~ /belongs to the database system/;
	usleep(200_000);
}
like($err, qr/the store belongs to the database system $old_id, this is $new_id \(see omendb.adopt_store\(\)\)/,
	'the store is refused, and says what to do');
($rc, $out, $err) = $node->psql('postgres', 'SELECT omendb.gc()');
like($err, qr/the omendb store cannot be used/, 'no garbage collection in a store that is not ours');
my @files = stored_ids($node);
($rc, $out, $err) = $node->psql('postgres', 'SELECT omendb.adopt_store(4711)');
like($err, qr/ERROR:  the omendb store belongs to the database system $old_id, not 4711/, 'nobody adopts it by chance');
sql('CREATE ROLE plain');
($rc, $out, $err) = $node->psql('postgres', "SET ROLE plain; SELECT omendb.adopt_store($old_id)");
like($err, qr/permission denied/, 'only superusers do');
sql("SELECT omendb.adopt_store($old_id)");
$node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()})
  or die 'the store is not adopted';
for my $i (1 .. @commands)
{
	is(look("o$i"), $right, "adopted: o$i has all rows");
}
($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.adopt_store($old_id)");
like($err, qr/ERROR:  the omendb store belongs to this database system already/, 'once only');
collect();
is(look("o$_"), $right, "adopted: o$_ has all rows after garbage collection") for 1 .. @commands;
check_store($node, 'adopted', map { "o$_" } 1 .. @commands);
$node->restart;
is(look('o3'), $right, 'adopted: and after a restart');

$node->stop;
crash_free($node, 'the log');
done_testing();
