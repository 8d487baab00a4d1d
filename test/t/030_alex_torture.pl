# Torture of the index access method alex: inserts, updates, deletes of whole
# stretches, vacuum, rebuilds, scans both ways and unique conflicts, all at
# once, while splits, page deletion and recycling stand still at stop events or
# meet SIGKILL: of the whole server, of single processes, of the standby that
# replays it with every page compared and answers queries.  Some sessions use a
# directory that gives wrong answers on purpose, and its size changes from
# start to start.  After each round alex_check looks for every row in every
# index, and scans of each index both ways give what sequential scans give.
#
#   TORTURE_SECONDS	how long at least (default: no limit; long run 1800)
#   TORTURE_KILLS		how many kills at least (default 4; long run 50)
#   SEED

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep time);
use Test::More;

my $seconds = $ENV{TORTURE_SECONDS} // 0;
my $min_kills = $ENV{TORTURE_KILLS} // 4;
srand($ENV{SEED} // 7);

sub pick { return $_[ int(rand(@_)) ]; }

my @events = qw(
  alex-split-before alex-split-after-right alex-split-before-downlink
  alex-split-inner alex-unlink-before alex-unlink-after alex-vacuum-leaf
  alex-retrain-before
);
my @tables = qw(tor_h tor_o);
my @columns = qw(id u v f w t pad);

my $primary = omen_node('torture',
	'wal_consistency_checking' => "'all'", 'max_wal_size' => "'1GB'", 'wal_keep_size' => "'2GB'",
	'autovacuum_naptime' => 1, 'autovacuum_vacuum_cost_delay' => 0, 'restart_after_crash' => 'on',
	'checkpoint_timeout' => "'30s'", 'deadlock_timeout' => "'100ms'",
	'omendb.alex_directory_size' => "'64MB'", 'omendb.alex_retrain' => 'on', 'omendb.seal_naptime' => 1);

# Two tables with the same indexes, one on heap and one on omendb.  The rows
# of w are wide in its index, so that the tree gets high and splits often.
# The images of t are all the same, and pad's keys are long: what tells them
# apart lies in the entries and in the bounds of pages.
foreach my $t (@tables)
{
	my $am = $t eq 'tor_h' ? 'heap' : 'omendb';
	$primary->safe_psql(
		'postgres', qq{
CREATE TABLE $t (id bigint, u bigint, v int, f float8, w int, pad text,
	t text COLLATE "C" GENERATED ALWAYS AS ('https://www.example.com/items/' || coalesce(w, 0)) STORED) USING $am
	WITH (fillfactor = 80);
CREATE INDEX ${t}_id ON $t USING alex (id);
CREATE UNIQUE INDEX ${t}_u ON $t USING alex (u);
CREATE INDEX ${t}_v ON $t USING alex (v DESC);
CREATE INDEX ${t}_f ON $t USING alex (f NULLS FIRST);
CREATE INDEX ${t}_w ON $t USING alex (w) INCLUDE (pad);
CREATE INDEX ${t}_p ON $t USING alex (id) WHERE v = 3;
CREATE INDEX ${t}_t ON $t USING alex (t, id DESC) INCLUDE (v);
CREATE INDEX ${t}_pad ON $t USING alex (pad, f);
CREATE UNIQUE INDEX ${t}_m ON $t USING alex (t, u DESC);
CREATE SEQUENCE ${t}_seq;
INSERT INTO $t SELECT g, g, g % 7, random() * 1000, g % 500, repeat(chr(65 + g % 26), 300 + g % 300) FROM generate_series(1, 4000) g;
SELECT setval('${t}_seq', 4000);
-- one row, whose unique key may be taken
CREATE FUNCTION try_$t(n bigint, k bigint) RETURNS void LANGUAGE plpgsql AS
\$\$
BEGIN
	INSERT INTO $t VALUES (n, k, k % 7, CASE WHEN k % 3 = 0 THEN '-0' WHEN k % 3 = 1 THEN NULL ELSE n END, k, repeat('u', 400));
EXCEPTION WHEN unique_violation THEN
	DELETE FROM $t WHERE u = k AND random() < 0.3;
END
\$\$;
});
}

# look(t): every index read in order, forward and backward, gives the rows of
# a sequential scan, in order, in one snapshot; raises an error otherwise
$primary->safe_psql(
	'postgres', q{
CREATE FUNCTION look(t text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	col text;
	dir text;
	want text;
	got text;
	bad bigint;
BEGIN
	FOREACH col IN ARRAY '{id,u,v,f,w,t,pad}'::text[] LOOP
		SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off;
		SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off;
		EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashint8(id)::bigint), 0) || '' '' || coalesce(sum(hashtext(%I::text)::bigint), 0) FROM %I', col, t) INTO want;
		SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = on; SET LOCAL enable_sort = off;
		FOREACH dir IN ARRAY CASE WHEN col = 'v' THEN '{DESC,ASC}' WHEN col = 'f' THEN '{ASC NULLS FIRST,DESC NULLS LAST}' ELSE '{ASC,DESC}' END::text[] LOOP
			EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashint8(id)::bigint), 0) || '' '' || coalesce(sum(hashtext(k::text)::bigint), 0), count(*) FILTER (WHERE k %s before) FROM (SELECT id, k, lag(k) OVER () AS before FROM (SELECT id, %I AS k FROM %I ORDER BY %I %s) a) b',
				CASE WHEN dir LIKE 'ASC%' THEN '<' ELSE '>' END, col, t, col, dir) INTO got, bad;
			IF got <> want OR bad <> 0 THEN
				RAISE EXCEPTION 'TORTURE MISMATCH in % by % %: % instead of %, % out of order', t, col, dir, got, want, bad;
			END IF;
		END LOOP;
		SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on;
		EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashint8(id)::bigint), 0) || '' '' || coalesce(sum(hashtext(%I::text)::bigint), 0) FROM (SELECT * FROM %I WHERE %I IS NULL UNION ALL SELECT * FROM %I WHERE %I IS NOT NULL) a', col, t, col, t, col) INTO got;
		IF got <> want THEN
			RAISE EXCEPTION 'TORTURE MISMATCH in % by bitmap scan of %: % instead of %', t, col, got, want;
		END IF;
	END LOOP;
	RETURN want;
END
$$;
CREATE FUNCTION check_all(heapall boolean) RETURNS bigint LANGUAGE sql AS
$$
SELECT count(omendb.alex_check(c.oid, heapall)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	JOIN pg_index i ON i.indexrelid = c.oid WHERE a.amname = 'alex' AND i.indisvalid
$$;
});

my $dir = PostgreSQL::Test::Utils::tempdir;
foreach my $t (@tables)
{
	my %script = (
		insert => qq{
\\set k random(1, 100)
\\set a random(1, 1000000)
\\set n random(1, 100)
\\if :k <= 35
INSERT INTO $t SELECT n, n, n % 7, n / 3.0, n % 100000, repeat('i', 200 + (n % 400)::int) FROM (SELECT nextval('${t}_seq') AS n FROM generate_series(1, :n)) s;
\\elif :k <= 55
INSERT INTO $t SELECT :a + g, NULL, :k, -g, :a - g, repeat('r', 300) FROM generate_series(1, :n) g;
\\elif :k <= 65
INSERT INTO $t SELECT -n, -n, 3, CASE WHEN n % 2 = 0 THEN '-0'::float8 END, 77, repeat('d', 100) FROM (SELECT nextval('${t}_seq') AS n FROM generate_series(1, :n)) s;
\\elif :k <= 90
\\set u random(100000000, 100000040)
SELECT try_$t(:a, :u);
\\else
BEGIN;
INSERT INTO $t SELECT :a, n, 3, 'NaN', n % 1000, repeat('b', 500) FROM (SELECT nextval('${t}_seq') AS n FROM generate_series(1, :n)) s;
ROLLBACK;
\\endif
},
		# locked rows are passed over, so that sessions never wait for
		# each other in a circle
		change => qq{
\\set k random(1, 100)
\\set a random(1, 100000)
\\set n random(1, 150)
\\set v random(0, 6)
\\if :k <= 30
UPDATE $t SET v = :v, f = random() WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE id >= :a ORDER BY id LIMIT 5 FOR UPDATE SKIP LOCKED));
\\elif :k <= 50
UPDATE $t SET w = :a, pad = repeat('c', 150) WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE w >= :a % 500 ORDER BY w LIMIT 10 FOR UPDATE SKIP LOCKED));
\\elif :k <= 70
DELETE FROM $t WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE id >= -:a ORDER BY id LIMIT :n FOR UPDATE SKIP LOCKED));
\\elif :k <= 85
DELETE FROM $t WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE w BETWEEN :a AND :a + 3000 LIMIT :n * 2 FOR UPDATE SKIP LOCKED));
\\else
DELETE FROM $t WHERE ctid = ANY (ARRAY(SELECT ctid FROM $t WHERE u > :a ORDER BY u DESC LIMIT :n FOR UPDATE SKIP LOCKED));
\\endif
},
		scan => qq{
\\set k random(1, 100)
\\set a random(1, 100000)
SET enable_seqscan = off;
\\if :k <= 20
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT look('$t');
COMMIT;
\\elif :k <= 50
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM $t WHERE id > :a ORDER BY id;
FETCH 50 FROM c;
FETCH BACKWARD 30 FROM c;
FETCH 400 FROM c;
FETCH BACKWARD 500 FROM c;
COMMIT;
\\elif :k <= 70
SELECT w, pad FROM $t WHERE w = ANY (ARRAY[77, :a, :a % 500, 12, 100]);
SELECT id, v FROM $t WHERE t = ANY (ARRAY['https://www.example.com/items/77', 'https://www.example.com/items/' || :a]) AND id > :a;
\\elif :k <= 90
SELECT count(*) FROM (SELECT u FROM $t WHERE u < :a ORDER BY u DESC LIMIT 300) a;
\\else
SELECT count(*) FROM $t WHERE f IS NULL OR f = 0 OR v IN (1, 3);
\\endif
},
		maintain => qq{
\\set k random(1, 100)
\\if :k <= 60
VACUUM $t;
\\elif :k <= 63
REINDEX INDEX CONCURRENTLY ${t}_v;
\\elif :k <= 66
REINDEX INDEX CONCURRENTLY ${t}_t;
\\elif :k <= 70
REINDEX INDEX ${t}_p;
\\elif :k <= 80 and '$t' = 'tor_o'
SELECT omendb.seal('tor_o', true);
\\elif :k <= 84
CHECKPOINT;
\\elif :k <= 92
SELECT omendb.alex_retrain('${t}_id'), omendb.alex_retrain('${t}_f'), omendb.alex_retrain('${t}_w'), omendb.alex_retrain('${t}_m');
\\else
VACUUM (INDEX_CLEANUP ON, FREEZE) $t;
\\endif
\\sleep 20 ms
});
	append_to_file("$dir/$_-$t.sql", $script{$_}) foreach keys %script;
}

# backup for the standby
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('torture_standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 2s\nhot_standby_feedback = off\nrestart_after_crash = off\n");
$standby->start;

# ---- rounds ----

my %count = map { $_ => 0 } qw(rounds kills server event process standby released);
my %stopped_at;
my $started = time();
my $ok = 1;

# what a node answers, or undef: it may be recovering, or die just now
sub say_sql
{
	my ($node, $sql) = @_;
	my ($rc, $out);
	# psql that cannot connect may be gone before it has been told the query
	return unless eval { ($rc, $out) = $node->psql('postgres', $sql, timeout => 60); 1 };
	return defined $rc && $rc == 0 ? $out : undef;
}

# wait until a node answers
sub answers
{
	my ($node) = @_;
	for (1 .. 600)
	{
		return 1 if defined say_sql($node, 'SELECT 1');
		usleep(100_000);
	}
	die "the server does not come back";
}

# wait until somebody stands at the event; 0 if nobody comes
sub reached
{
	my ($event, $limit) = @_;
	my $until = time() + $limit;
	while (time() < $until)
	{
		my $out = say_sql($primary, "SELECT omendb.stop_event_waiting('$event')");
		return 1 if defined $out && $out =~ /^[1-9]/;
		usleep(30_000);
	}
	return 0;
}

# no index may hold on to what a killed REINDEX CONCURRENTLY left
sub drop_leftovers
{
	my $out = $primary->safe_psql('postgres',
		q{SELECT format('DROP INDEX %I', c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname ~ '_ccnew|_ccold'});
	$primary->safe_psql('postgres', $_) for split /\n/, $out;
	return;
}

sub verify
{
	my ($what) = @_;
	my $good = 1;
	drop_leftovers();
	my ($rc, $n, $err) = $primary->psql('postgres', 'SELECT check_all(true)');
	$good = is("$rc $err", '0 ', "$what: alex_check finds nothing") && $good;
	$good = cmp_ok($n // 0, '>=', 18, "$what: and has looked") && $good;
	foreach my $t (@tables)
	{
		my ($rc2, $out, $err2) = $primary->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT look('$t'); COMMIT");
		$good = is("$rc2 $err2", '0 ', "$what: $t by each index is $t by itself") && $good;
		is($primary->safe_psql('postgres', "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM (SELECT FROM $t WHERE u IS NOT NULL GROUP BY u HAVING count(*) > 1) a"),
			0, "$what: no key of $t is there twice") or $good = 0;
	}
	return $good;
}

sub verify_standby
{
	my ($what) = @_;
	my $good = 1;
	# vacuum on the primary cancels queries here, so quiet it first
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	my ($rc, $n, $err);
	for my $attempt (1 .. 5)
	{
		($rc, $n, $err) = $standby->psql('postgres', 'SELECT check_all(true)');
		last unless $err =~ /conflict with recovery/;
	}
	$good = is("$rc $err", '0 ', "$what: alex_check finds nothing on the standby") && $good;
	foreach my $t (@tables)
	{
		my ($rc2, $out, $err2);
		for my $attempt (1 .. 5)
		{
			($rc2, $out, $err2) = $standby->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT look('$t'); COMMIT");
			last unless $err2 =~ /conflict with recovery/;
		}
		$good = is("$rc2 $err2", '0 ', "$what: $t by each index is $t on the standby") && $good;
	}
	return $good;
}

sub load
{
	my @running;
	foreach my $t (@tables)
	{
		# one session of each table has a directory that errs
		local $ENV{PGOPTIONS} = '-c statement_timeout=60s';
		push @running, @{ start_load($primary, 120, [ "$dir/insert-$t.sql", 2 ], [ "$dir/maintain-$t.sql", 1 ], [ "$dir/scan-$t.sql", 1 ]) };
		$ENV{PGOPTIONS} .= ' -c omendb.alex_directory_stale=on';
		push @running, @{ start_load($primary, 120, [ "$dir/insert-$t.sql", 1 ], [ "$dir/change-$t.sql", 2 ], [ "$dir/scan-$t.sql", 1 ]) };
	}
	return \@running;
}

while ($ok && ($count{kills} < $min_kills || time() - $started < $seconds))
{
	my $n = ++$count{rounds};
	my $how = $n % 2 == 1 ? 'event' : pick(qw(server process process standby released));
	$how = 'standby' if $n == 4;
	my $event;
	if ($how eq 'event' || $how eq 'released')
	{
		$event = $events[ int(($n - 1) / 2) % @events ];
		$primary->safe_psql('postgres', "SELECT omendb.stop_event_set('$event', 'wait', " . int(rand(30)) . ')');
	}
	# what a session does at the event may be the end of it
	my $load = load();
	my $readers = start_load($standby, 120, [ "$dir/scan-tor_h.sql", 1 ], [ "$dir/scan-tor_o.sql", 1 ]);
	my $what = "round $n ($how" . (defined $event ? " $event" : '') . ')';
	if (defined $event)
	{
		if (reached($event, $seconds ? 12 : 6))
		{
			$stopped_at{$event}++;
			usleep(int(rand(600_000)));
		}
		else
		{
			note("$what: not reached");
			$how = 'server' if $how eq 'event';
		}
	}
	else
	{
		usleep(300_000 + int(rand($seconds ? 6_000_000 : 1_500_000)));
	}

	if ($how eq 'event' || $how eq 'server')
	{
		kill_server($primary);
		$count{kills}++;
		$count{$how}++;
		stop_load($load);
		stop_load($readers) if $n % 4 == 0;
		my $size = pick("'64MB'", "'64MB'", "'200kB'", 0);
		$primary->append_conf('postgresql.conf', "omendb.alex_directory_size = $size");
		$primary->start;
	}
	elsif ($how eq 'process')
	{
		# any process but the postmaster; all others end with it and recover
		my @children = children_of(server_pid($primary));
		kill 'KILL', pick(@children) if @children;
		$count{kills}++;
		$count{process}++;
		stop_load($load);
		answers($primary);
	}
	elsif ($how eq 'standby')
	{
		kill_server($standby);
		$count{kills}++;
		$count{standby}++;
		$standby->start;
		usleep(500_000);
		$_->{handle}->signal('TERM') foreach @$load;
		stop_load($load);
	}
	else
	{
		# it goes on, amid those that waited for it
		$primary->safe_psql('postgres', "SELECT omendb.stop_event_clear('$event')");
		$count{released}++;
		usleep(1_000_000);
		$_->{handle}->signal('TERM') foreach @$load;
		my $out = stop_load($load);
		unlike($out, qr/TORTURE MISMATCH|corrupt/, "$what: the load saw nothing wrong");
	}
	$_->{handle}->signal('TERM') foreach @$readers;
	eval { stop_load($readers); };

	$ok = verify($what);
	$ok = verify_standby($what) && $ok if $ok && ($n % 3 == 1 || $how eq 'standby');
	# what was said meanwhile: no error but those of sessions cut short, and of
	# parallel workers whose leader was cut short before they had started
	my $cut_short = qr/canceling|deadlock detected|terminating|could not serialize|could not attach to dynamic shared area|could not map dynamic shared memory segment/;
	foreach my $node ($primary, $standby)
	{
		my @lines = grep { /ERROR:  (?!$cut_short)/ || /TORTURE MISMATCH in|XX001|XX002|TRAP:|PANIC|inconsistent page|corrupt|fell off|could not (?:find|descend)|terminated by signal (?!9:)/ && !/STATEMENT|RAISE|some data might be corrupted/ }
		  split /\n/, slurp_file($node->logfile);
		next unless @lines;
		fail("$what: the log of " . $node->name);
		diag($_) for @lines[0 .. ($#lines > 5 ? 5 : $#lines)];
		$ok = 0;
	}
	# keep the tables from growing without end
	$primary->safe_psql('postgres', "TRUNCATE $_") foreach grep { rand() < 0.5 && $primary->safe_psql('postgres', "SELECT count(*) > 60000 FROM $_") eq 't' } @tables;
}

my $stats = $primary->safe_psql('postgres', join(' UNION ALL ', map { "SELECT '$_', height, pages, leaf_pages, deleted_pages FROM omendb.alex_stats('$_')" } map { my $t = $_; map { "${t}_$_" } @columns } @tables));
note($stats);
note(join(', ', map { "$_ $count{$_}" } sort keys %count) . sprintf(', %.0f s', time() - $started));
note('stopped at ' . join(', ', map { "$_ $stopped_at{$_}" } sort keys %stopped_at));
cmp_ok($count{kills}, '>=', $min_kills, "$count{kills} kills in $count{rounds} rounds") if $ok;
cmp_ok(scalar keys %stopped_at, '>=', $min_kills > 20 ? scalar(@events) - 1 : 2, 'stop events were reached');

# the standby takes over
if ($ok)
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	$primary->stop;
	$standby->promote;
	$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	$primary = $standby;
	$primary->safe_psql('postgres', "DELETE FROM $_ WHERE id % 3 = 0; VACUUM $_; INSERT INTO $_ (id, v) SELECT g, 3 FROM generate_series(1, 5000) g") foreach @tables;
	verify('promoted');
}
$standby->stop;

done_testing();
