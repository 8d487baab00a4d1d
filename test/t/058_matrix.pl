# Damage x what happens to a damaged cluster: pages, files and folders that are away
# for a while, beside garbage collection, VACUUM, sealing, restarts, replay and
# promotion.  While they are away, every plan gives all rows or an error; put back,
# everything is there.
#
# MATRIX_PAIRS=1: all sequences of two events, not only each one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 1000;
my $group = 32;    # blocks; three row groups are a table
my @pages = ('header', 'marker', 'sst', 'fork', 'cut', 'cutgroup');
my @damages = (@pages, 'rocks');
my @events = ('gc', 'vacuum', 'seal', 'restart', 'standby');
my @sequences = map { [$_] } @events;
if ($ENV{MATRIX_PAIRS})
{
	@sequences = ();
	foreach my $one (@events)
	{
		push @sequences, [ $one, $_ ] foreach @events;
	}
}

# A database for each sequence: garbage collection looks at whole databases
sub name_of { return join('_', 'm', @{ $_[0] }) }
my @dbs = map { name_of($_) } @sequences;

my $node = omen_node(
	'matrix',
	'omendb.row_group_blocks' => $group,
	'omendb.trash_retention' => 0,
	'omendb.gc_interval' => 0,
	'autovacuum' => 'off',
	'fsync' => 'off',
	'wal_keep_size' => "'256MB'",
	'max_wal_senders' => 4,
	'enable_memoize' => 'off',
	'log_min_messages' => 'warning');

# look(table): for each plan "ok", "fewer" or what error.  The twin has the rows, and
# the places where they are.
$node->safe_psql(
	'template1', q{
CREATE EXTENSION omendb;
CREATE EXTENSION omendb_test;
CREATE EXTENSION amcheck;
CREATE FUNCTION look(t text, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
	path text;
	query text;
	result text;
	expected text;
	line text;
	plan text;
	sum text := $q$count(*) || ' ' || coalesce(sum(hashtext(x.a || ' ' || x.b || x.pad)::bigint), 0)$q$;
BEGIN
	SET LOCAL max_parallel_workers_per_gather = 0;
	-- each path is one that returns rows
	SET LOCAL omendb.enable_vectorized_agg = off;
	EXECUTE format('SELECT %s FROM %s_heap x', sum, t) INTO expected;
	FOREACH path IN ARRAY ARRAY['seqscan', 'vector', 'indexscan', 'bitmapscan', 'tidscan', 'tidrange'] LOOP
		PERFORM set_config('enable_' || p, CASE WHEN p = path THEN 'on' ELSE 'off' END, true)
			FROM unnest(ARRAY['seqscan', 'indexscan', 'bitmapscan', 'indexonlyscan']) p;
		PERFORM set_config('enable_' || p, CASE WHEN path = 'tidscan' THEN 'off' ELSE 'on' END, true)
			FROM unnest(ARRAY['hashjoin', 'mergejoin']) p;
		PERFORM set_config('omendb.enable_vectorized_scan', CASE WHEN path = 'vector' THEN 'on' ELSE 'off' END, true);
		IF path = 'vector' THEN SET LOCAL enable_seqscan = on; END IF;
		query := format('SELECT %s FROM %s x WHERE x.a > 0', sum, t);
		IF path = 'tidscan' THEN
			query := format('SELECT %s FROM %s_heap h JOIN %s x ON x.ctid = h.tid', sum, t, t);
		ELSIF path = 'tidrange' THEN
			query := format('SELECT %s FROM %s x WHERE x.ctid >= ''(0,0)''', sum, t);
		END IF;
		BEGIN
			plan := '';
			FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
				plan := plan || line;
			END LOOP;
			line := CASE path WHEN 'seqscan' THEN 'Seq Scan' WHEN 'vector' THEN 'Custom Scan' WHEN 'indexscan' THEN 'Index Scan'
				WHEN 'bitmapscan' THEN 'Bitmap Heap Scan' WHEN 'tidscan' THEN 'Tid Scan on ' || t || ' x' ELSE 'Tid Range Scan' END;
			IF position(line IN plan) = 0 THEN
				RAISE EXCEPTION 'plan for %: %', path, plan;
			END IF;
			EXECUTE query INTO result;
			IF result <> expected THEN
				result := format('DIFFERENT (%s, not %s)', result, expected);
			ELSE
				result := 'ok';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			result := CASE WHEN sqlstate IN ('XX001', '58P01', '58030') THEN 'error' ELSE 'UNEXPECTED ' || sqlstate || ' ' || sqlerrm END;
		END;
		said := concat_ws(', ', said, path || ' ' || result);
	END LOOP;
END $$;
});
OmenTest::omen_helpers($node, 'template1');

# Tables of a database: one for each damage.  Row group 1 has thawed pages.
my $make = join '', map {
	qq{
CREATE TABLE $_ (a int PRIMARY KEY, b int, pad text) USING omendb;
CREATE INDEX ON $_ (b);
INSERT INTO $_ SELECT g, g % 100, repeat('x', 700) FROM generate_series(1, $rows) g;
}
} @damages;
my $change = join '', map {
	qq{
UPDATE $_ SET b = b + 1 WHERE a IN (400, 450, 500);
DELETE FROM $_ WHERE a IN (405, 455);
CREATE TABLE ${_}_heap USING heap AS SELECT ctid AS tid, * FROM $_;
}
} @damages;
foreach my $db (@dbs)
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, $make);
	$node->safe_psql($db, 'VACUUM');
	$node->safe_psql($db, join("\n", map { "CALL seal_all('$_');" } @damages));
	$node->safe_psql($db, $change);
}
$node->safe_psql('postgres', 'CHECKPOINT');

# Where things are: file of the relation below the data directory, versions of its
# row groups
my %place;

sub find_places
{
	foreach my $db (@dbs)
	{
		my $query = join(' UNION ALL ', map {
			"SELECT '$_', pg_relation_filepath('$_'), (SELECT string_agg(id, ',' ORDER BY first_block) FROM omendb.row_groups('$_'))" } @damages);
		foreach my $line (split /\n/, $node->safe_psql($db, $query))
		{
			my ($table, $path, $ids) = split /\|/, $line;
			$place{$db}{$table} = { path => $path, ids => [ split /,/, $ids ] };
			die "row groups of $db.$table" if @{ $place{$db}{$table}{ids} } != 3;
		}
	}
	return;
}

# Row groups that the damage concerns; of lost markers the rest can be sealed anew
my %damaged = (
	header => [ 0, 1 ], marker => [], sst => [ 0, 1 ], fork => [ 0 .. 2 ],
	cut => [ 1, 2 ], cutgroup => [2], rocks => [ 0, 2 ]);

# The header page of a row group (see src/table/table.h)
sub header_of
{
	my ($file, $first) = @_;
	foreach my $blk ($first, $first + 16)
	{
		return $blk if ord(substr(read_block($file, $blk), 24 + 6, 1)) == 2;
	}
	die "no header page at $first of $file";
}

# Damage a table of a server that is down; returns what mends it.
sub damage
{
	my ($data, $table, $place) = @_;
	my $file = "$data/$place->{path}";
	my @first = (0, $group);
	if ($table eq 'header' || $table eq 'marker')
	{
		my @blocks = map { header_of($file, $_) } @first;
		@blocks = map { $_ + 2 } @blocks if $table eq 'marker';
		my %saved = map { $_ => read_block($file, $_) } @blocks;
		if ($table eq 'marker')
		{
			foreach (@blocks)
			{
				die "block $_ is no marker page" if ord(substr($saved{$_}, 24 + 6, 1)) != 1;
			}
		}
		write_block($file, $_, "\0" x 8192) foreach @blocks;
		return sub { write_block($file, $_, $saved{$_}) foreach @blocks; };
	}
	if ($table eq 'sst')
	{
		my @files = map { glob("$data/omendb/sst/$_-*.sst") } @{ $place->{ids} }[ 0, 1 ];
		die "files of $table" if @files != 2;
		rename($_, "$data/" . (split m{/}, $_)[-1]) or die $! foreach @files;
		return sub { rename("$data/" . (split m{/}, $_)[-1], $_) or die "$_: $!" foreach @files; };
	}
	if ($table eq 'fork')
	{
		rename($file, "$file.away") or die $!;
		return sub { rename("$file.away", $file) or die $!; };
	}
	if ($table eq 'cut' || $table eq 'cutgroup')
	{
		# in the midst of row group 1, or between it and the last one
		my $at = $table eq 'cut' ? $group + 10 : 2 * $group;
		my $content = slurp_file($file);
		truncate($file, $at * 8192) or die $!;
		return sub {
			open(my $fh, '+<:raw', $file) or die $!;
			seek($fh, $at * 8192, 0);
			print $fh substr($content, $at * 8192);
			close $fh;
		};
	}
	# RocksDB's folder: moved back, it is older than what has been done since
	my $rocks = "$data/omendb/pgsql_tmp_rocksdb";
	rename($rocks, "$data/rocks") or die $!;
	return sub {
		system_or_bail('rm', '-rf', $rocks);
		rename("$data/rocks", $rocks) or die $!;
	};
}

# What each plan says of the tables, as {table => text}
sub look
{
	my ($server, $db, @tables) = @_;
	my %said;
	foreach my $line (split /\n/, $server->safe_psql($db, join(' UNION ALL ', map { "SELECT '$_', look('$_')" } @tables)))
	{
		my ($table, $text) = split /\|/, $line, 2;
		$said{$table} = $text;
	}
	return \%said;
}

sub all_there
{
	my ($server, $db, $what, @tables) = @_;
	my $said = look($server, $db, @tables);
	is($said->{$_}, join(', ', map { "$_ ok" } qw(seqscan vector indexscan bitmapscan tidscan tidrange)),
		"$what: all rows of $db.$_")
	  foreach @tables;
	return;
}

# Rows or an error: never fewer, never anything else.  Row groups that have been cut
# off whole leave no trace but in indexes, and whoever asks for the length of the
# file first does not look there: as with heap tables.
sub rows_or_error
{
	my ($server, $db, $what, @tables) = @_;
	my $said = look($server, $db, @tables);
	foreach my $table (@tables)
	{
		my $text = $said->{$table};
		$text =~ s/(seqscan|vector|bitmapscan|tidscan|tidrange) DIFFERENT \([^)]*\)(, )?//g if $table eq 'cutgroup';
		
		unlike($text, qr/DIFFERENT|UNEXPECTED/, "$what: rows or an error of $db.$table") or diag($said->{$table});
	}
	return;
}

# One event on the tables of a database; what fails, fails
sub run_event
{
	my ($server, $db, $event, @tables) = @_;
	my @statements =
	    $event eq 'gc' ? ('SELECT omendb.gc()', 'CHECKPOINT', 'SELECT omendb.gc()', 'CHECKPOINT')
	  : $event eq 'vacuum' ? map { ("VACUUM $_", "VACUUM (DISABLE_PAGE_SKIPPING) $_") } @tables
	  : $event eq 'seal' ? map { ("VACUUM (INDEX_CLEANUP on) $_", "SELECT omendb.seal('$_', true)") } @tables
	  :                    ();
	# one session: errors do not end it
	$server->psql($db, join('', map { "$_;\n" } @statements), on_error_stop => 0) if @statements;
	return;
}

# All sequences on a server whose tables are damaged
sub run_sequences
{
	my ($server, $follower, @tables) = @_;
	foreach my $step (0 .. $#{ $sequences[0] })
	{
		foreach my $s (@sequences)
		{
			run_event($server, name_of($s), $s->[$step], @tables);
		}
		$server->restart if grep { $_->[$step] eq 'restart' } @sequences;
		next if !$follower || !grep { $_->[$step] eq 'standby' } @sequences;
		$server->wait_for_catchup($follower);
		$follower->safe_psql('postgres', 'CHECKPOINT');
		# what it replays, it has: its own files are sound
		all_there($follower, $_, 'standby', @tables) foreach @dbs;
	}
	return;
}

# Everything is there, rows, index entries, and the files
sub sound
{
	my ($server, $what, @tables) = @_;
	foreach my $db (@dbs)
	{
		all_there($server, $db, $what, @tables);
		my %stored = map { $_ => 1 } stored_ids($server);
		my @lost;
		foreach my $table (@tables)
		{
			push @lost, grep { !$stored{$_} } @{ $place{$db}{$table}{ids} }[ @{ $damaged{$table} } ];
		}
		is("@lost", '', "$what: $db has the files of the row groups that were damaged");
		my ($rc, $out, $err) = $server->psql($db, join('', map {
			"SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = '$_'::regclass;\n" } @tables));
		is($rc, 0, "$what: $db has an index entry for every row") or diag($err);
	}
	return;
}

find_places();
my $standby = PostgreSQL::Test::Cluster->new('matrix_standby');
$node->backup('one');
$standby->init_from_backup($node, 'one', has_streaming => 1);
$standby->start;

foreach my $round ('pages', 'rocks')
{
	my @tables = $round eq 'pages' ? @pages : ('rocks');
	my @mend;
	$node->stop;
	foreach my $db ($round eq 'pages' ? @dbs : $dbs[0])
	{
		push @mend, damage($node->data_dir, $_, $place{$db}{$_}) foreach @tables;
	}
	$node->start;
	run_sequences($node, $standby, @tables);
	rows_or_error($node, $_, $round, @tables) foreach @dbs;
	$node->stop;
	$_->() foreach @mend;
	$node->start;
	sound($node, "$round put back", @tables);
}

# -- the standby's own files are damaged; it replays, answers, and is promoted
$node->wait_for_catchup($standby);
find_places();
$standby->stop;
my @mend;
foreach my $db (@dbs)
{
	push @mend, damage($standby->data_dir, $_, $place{$db}{$_}) foreach @pages;
}
push @mend, damage($standby->data_dir, 'rocks');
$standby->start;
$node->safe_psql('postgres', 'CREATE TABLE more (a int) USING omendb; INSERT INTO more SELECT generate_series(1, 1000)');
seal_all($node, 'more');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'CHECKPOINT');
rows_or_error($standby, $_, 'damaged standby', @damages) foreach @dbs;
$standby->promote;
run_sequences($standby, undef, @damages);
rows_or_error($standby, $_, 'promoted', @damages) foreach @dbs;
$standby->stop;
$_->() foreach @mend;
$standby->start;
sound($standby, 'promoted, put back', @damages);
is($standby->safe_psql('postgres', 'SELECT count(*), sum(a) FROM more'), '1000|500500', 'what was replayed beside it is there');

crash_free($_, $_->name) foreach ($node, $standby);
$standby->stop;
$node->stop;
done_testing();
