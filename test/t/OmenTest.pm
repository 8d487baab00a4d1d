# What the TAP tests of omendb share: servers with the library loaded, killing
# one whole, comparing an omendb table with its heap twin, and looking at what
# the store holds.

package OmenTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use Time::HiRes qw(usleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  omen_node omen_conf omen_helpers seal_all compare_twins check_indexes
  kill_server wait_restarted children_of stored_ids referenced_ids check_store start_load
  stop_load make_twins twin_scripts server_pid crash_free no_checksums
  lose_tail_by_reset lose_tail_by_zeroes
  relation_file read_block write_block flip
  tid_paths run_tid_paths
);

# Settings that every server of these tests starts with.
sub omen_conf
{
	my (%set) = @_;
	my %conf = (
		'shared_preload_libraries' => "'omendb'",
		'omendb.row_group_blocks' => 4,
		'omendb.stop_events' => 'on',
		'omendb.seal' => 'off',
		'omendb.alex_retrain' => 'off',
		'omendb.seal_delay' => 0,
		'omendb.reclaim_space' => $ENV{RECLAIM_SPACE} // 'full',
		'omendb.reclaim_min_run' => $ENV{RECLAIM_MIN_RUN} // 33,
		'max_connections' => 40,
		'max_worker_processes' => 16,
		'shared_buffers' => "'8MB'",
		'log_statement' => 'none',
		'jit' => 'off',
		'wal_log_hints' => $ENV{WAL_LOG_HINTS} // 'on',
		%set);
	return join("\n", map { "$_ = $conf{$_}" } sort keys %conf) . "\n";
}

# A cluster that is initialised and not yet started gets no checksums, which are
# on by default from 18 on: for tests of what is noticed without them.
sub no_checksums
{
	my ($node) = @_;
	my ($control) = PostgreSQL::Test::Utils::run_command([ 'pg_controldata', $node->data_dir ]);
	return if $control =~ /^Data page checksum version: +0$/m;
	PostgreSQL::Test::Utils::system_or_bail('pg_checksums', '--disable', '--no-sync', '-D', $node->data_dir);
	return;
}

# omen_node(name, setting => value, ...): initialised and started, extensions
# made.  page_checksums => 'default' is no setting: it leaves checksums of pages
# as initdb makes them, which is on from 18 on.  Otherwise there are none in any
# major version, so that damaged pages are for us to notice.
sub omen_node
{
	my ($name, %set) = @_;
	my $checksums = delete $set{page_checksums} // 'off';
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 1);
	no_checksums($node) if $checksums eq 'off';
	$node->append_conf('postgresql.conf', omen_conf(%set));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION omendb; CREATE EXTENSION omendb_test');
	omen_helpers($node);
	return $node;
}

# Procedures that the tests call
sub omen_helpers
{
	my ($node, $db) = @_;
	$node->safe_psql(
		$db // 'postgres', q{
CREATE PROCEDURE seal_all(t regclass) LANGUAGE plpgsql AS
$$
DECLARE
	total bigint;
	cold bigint;
BEGIN
	FOR attempt IN 1..80 LOOP
		PERFORM omendb.seal(t, true);
		EXECUTE format('SELECT count(*) FROM %s', t) INTO total;
		SELECT coalesce(sum(cold_rows), 0) INTO cold FROM omendb.row_groups(t);
		IF cold = total THEN
			RETURN;
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.025);
		COMMIT;
	END LOOP;
	RAISE EXCEPTION '% of % rows of % are sealed', cold, total, t;
END
$$;
CREATE FUNCTION cold_rows(t regclass) RETURNS bigint LANGUAGE sql AS
$$ SELECT coalesce(sum(cold_rows), 0)::bigint FROM omendb.row_groups(t) $$;
});
	return;
}

# Seal every row.  VACUUM first: a page with dead line pointers stays hot until
# their index entries are gone, which VACUUM leaves where they are if few pages have
# such (less than 2 %) and it is not told otherwise; and again, if a snapshot (an
# autovacuum's, say) kept it from removing them.
sub seal_all
{
	my ($node, $table) = @_;
	my ($rc, $out, $err);
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	while (time < $end)
	{
		$node->safe_psql('postgres', "VACUUM (INDEX_CLEANUP on) $table");
		($rc, $out, $err) = $node->psql('postgres', "CALL seal_all('$table')");
		return if $rc == 0;
		last unless $err =~ /rows of .* are sealed/;
	}
	die "could not seal $table: $err";
}

# make_twins(node, rows): table acct (omendb) and acct_heap with equal rows
sub make_twins
{
	my ($node, $rows) = @_;
	$node->safe_psql(
		'postgres', qq{
CREATE TABLE acct (id bigint PRIMARY KEY, v int NOT NULL, note text, stamp timestamptz, amount numeric) USING omendb;
CREATE INDEX acct_v ON acct (v);
CREATE TABLE acct_heap (LIKE acct) USING heap;
ALTER TABLE acct_heap ADD PRIMARY KEY (id);
CREATE INDEX acct_heap_v ON acct_heap (v);
CREATE SEQUENCE acct_id START 1000000;
INSERT INTO acct SELECT g, g % 1000, repeat(md5(g::text), 1 + g % 4), timestamptz '2024-01-01' + g * interval '1 min', g / 7.0
	FROM generate_series(1, $rows) g;
INSERT INTO acct_heap SELECT * FROM acct;
ANALYZE acct, acct_heap;
});
	return;
}

# pgbench scripts that change both twins in one transaction, and one that
# maintains them; REPEATABLE READ keeps both halves of a transaction in step
sub twin_scripts
{
	my ($dir, $rows) = @_;
	my %script = (
		'change.sql' => qq{
\\set id random(1, $rows)
\\set k random(1, 100)
\\set w random(1, 1000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
\\if :k <= 35
UPDATE acct SET v = v + :w, note = left(note || :w, 150) WHERE id = :id;
UPDATE acct_heap SET v = v + :w, note = left(note || :w, 150) WHERE id = :id;
\\elif :k <= 50
DELETE FROM acct WHERE id = :id;
DELETE FROM acct_heap WHERE id = :id;
\\elif :k <= 75
SELECT nextval('acct_id') AS newid \\gset
INSERT INTO acct VALUES (:newid, :w, repeat('n', :k), '2025-01-01', :w / 3.0);
INSERT INTO acct_heap VALUES (:newid, :w, repeat('n', :k), '2025-01-01', :w / 3.0);
\\elif :k <= 83
INSERT INTO acct VALUES (:id, :w, 'again') ON CONFLICT (id) DO UPDATE SET v = acct.v - 1;
INSERT INTO acct_heap VALUES (:id, :w, 'again') ON CONFLICT (id) DO UPDATE SET v = acct_heap.v - 1;
\\elif :k <= 90
UPDATE acct SET amount = amount + 1 WHERE id BETWEEN :id AND :id + 8;
UPDATE acct_heap SET amount = amount + 1 WHERE id BETWEEN :id AND :id + 8;
\\elif :k <= 94
SELECT * FROM acct WHERE id = :id FOR UPDATE;
\\elif :k <= 97
SELECT * FROM acct WHERE id = :id FOR KEY SHARE;
\\else
SELECT count(*) FROM acct WHERE v = :w;
\\endif
\\if :k = 1 or :k = 40 or :k = 60
ROLLBACK;
\\else
COMMIT;
\\endif
},
		'maintain.sql' => q{
\set k random(1, 10)
\if :k <= 5
SELECT omendb.seal('acct', true);
\elif :k <= 6
SELECT omendb.unseal('acct');
\elif :k <= 7
VACUUM acct;
\elif :k <= 8
VACUUM (FREEZE) acct;
\else
SELECT omendb.gc();
\endif
\sleep 5 ms
},
		'checkpoint.sql' => q{
CHECKPOINT;
\sleep 300 ms
},
		'read.sql' => qq{
\\set id random(1, $rows)
\\set k random(1, 3)
\\if :k = 1
SELECT count(*), sum(v) FROM acct;
\\elif :k = 2
SELECT * FROM acct WHERE id BETWEEN :id AND :id + 50;
\\else
SELECT sum(length(note)) FROM acct WHERE v BETWEEN :id % 1000 AND :id % 1000 + 10;
\\endif
});
	foreach my $name (keys %script)
	{
		append_to_file("$dir/$name", $script{$name});
	}
	return;
}

# start_load(node, seconds, [script, clients], ...): pgbench in the background
sub start_load
{
	my ($node, $seconds, @scripts) = @_;
	my @running;
	foreach my $part (@scripts)
	{
		my ($script, $clients) = @$part;
		my $out = '';
		my $handle = IPC::Run::start(
			[
				'pgbench', '-n', '-f', $script, '-c', $clients, '-j', 1,
				'-T', $seconds, '-h', $node->host, '-p', $node->port,
				'-U', $ENV{PGUSER} // (getpwuid($<))[0], 'postgres'
			],
			'<', \undef, '>', \$out, '2>', \$out);
		push @running, { handle => $handle, out => \$out, script => $script };
	}
	return \@running;
}

# Wait for pgbench to end (killed servers make it end early); returns its output.
sub stop_load
{
	my ($running) = @_;
	my $all = '';
	foreach my $part (@$running)
	{
		eval { IPC::Run::finish($part->{handle}); };
		$all .= "$part->{script}:\n${$part->{out}}\n";
	}
	return $all;
}

sub server_pid
{
	my ($node) = @_;
	my ($pid) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	return $pid;
}

# Processes whose parent is $pid, from /proc
sub children_of
{
	my ($pid) = @_;
	my @children;
	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $fh, '<', $stat) or next;
		my $line = <$fh>;
		close $fh;
		next unless defined $line && $line =~ /^(\d+) \(.*\) \S (\d+)/s;
		push @children, $1 if $2 == $pid;
	}
	return @children;
}

# SIGKILL for the postmaster and all its children at once, as a power cut
# would end them (but for what the kernel still holds).
sub kill_server
{
	my ($node) = @_;
	my $pid = server_pid($node);
	kill 'STOP', $pid;
	# until it has stopped it may fork one more
	for (1 .. 3000)
	{
		last if (eval { slurp_file("/proc/$pid/stat") } // '(x) T') =~ /\) [TZX]/;
		usleep(10_000);
	}
	my @children = children_of($pid);
	kill 'KILL', @children;
	kill 'KILL', $pid;
	$node->{_pid} = undef;
	# the next postmaster refuses while its predecessor's number is taken
	for (1 .. 3000)
	{
		return unless grep { kill(0, $_) } ($pid, @children);
		usleep(10_000);
	}
	die "server processes survived SIGKILL";
}

# The twins hold the same rows; read by sequential and by index scans.
sub compare_twins
{
	my ($node, $what, $table, $twin) = @_;
	$table //= 'acct';
	$twin //= 'acct_heap';
	my $n = $node->safe_psql(
		'postgres', qq{
SELECT (SELECT count(*) FROM (TABLE $table EXCEPT ALL TABLE $twin) a)
	|| ' ' || (SELECT count(*) FROM (TABLE $twin EXCEPT ALL TABLE $table) b)});
	return is($n, '0 0', "$what: the rows are those of the heap twin");
}

# What indexes give is what sequential scans give; and amcheck agrees.
sub check_indexes
{
	my ($node, $what, $table) = @_;
	$table //= 'acct';
	my $seq = $node->safe_psql(
		'postgres', qq{
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT count(*), sum(v), sum(hashtext(id || ' ' || v || coalesce(note, '~'))::bigint) FROM $table WHERE id > 0;
SELECT count(*), sum(id) FROM $table WHERE v BETWEEN 100 AND 300;});
	my $index = $node->safe_psql(
		'postgres', qq{
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SELECT count(*), sum(v), sum(hashtext(id || ' ' || v || coalesce(note, '~'))::bigint) FROM $table WHERE id > 0;
SELECT count(*), sum(id) FROM $table WHERE v BETWEEN 100 AND 300;});
	my $bitmap = $node->safe_psql(
		'postgres', qq{
SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off;
SELECT count(*), sum(v), sum(hashtext(id || ' ' || v || coalesce(note, '~'))::bigint) FROM $table WHERE id > 0;
SELECT count(*), sum(id) FROM $table WHERE v BETWEEN 100 AND 300;});
	my $ok = is($index, $seq, "$what: index scans agree with sequential scans");
	$ok = is($bitmap, $seq, "$what: bitmap scans agree with sequential scans") && $ok;
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
CREATE EXTENSION IF NOT EXISTS amcheck;
SELECT bt_index_check(c.oid, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE i.indrelid = '$table'::regclass AND a.amname = 'btree'});
	$ok = is($rc, 0, "$what: every row has its index entries") && $ok;
	diag($err) if $rc != 0;
	return $ok;
}

# Ids of the row groups whose files lie in the store
sub stored_ids
{
	my ($node) = @_;
	my %ids;
	opendir(my $dh, $node->data_dir . '/omendb/sst') or return ();
	foreach my $name (readdir $dh)
	{
		$ids{$1}++ if $name =~ /^([0-9a-f]{32})/;
	}
	closedir $dh;
	my @ids = sort keys %ids;
	return @ids;
}

# Ids that the tables' headers name
sub referenced_ids
{
	my ($node, @tables) = @_;
	my %ids;
	foreach my $table (@tables)
	{
		my $out = $node->safe_psql('postgres',
			"SELECT DISTINCT id FROM omendb.row_groups('$table') WHERE id IS NOT NULL AND state <> 'reserved'");
		$ids{$_}++ for split /\n/, $out;
	}
	my @ids = sort keys %ids;
	return @ids;
}

# Nothing leaks, nothing is missing: after garbage collection the files in the
# store are those that the tables refer to.
sub check_store
{
	my ($node, $what, @tables) = @_;
	my (@want, @have);
	for (1 .. 100)
	{
		$node->safe_psql('postgres', 'SELECT omendb.gc(); CHECKPOINT');
		@want = referenced_ids($node, @tables);
		@have = stored_ids($node);
		last if "@want" eq "@have";
		usleep(200_000);
	}
	return is("@have", "@want",
		"$what: the store holds the files of the row groups in use ("
		  . scalar(@want)
		  . "), no other");
}

# The end of WAL is lost, on a server that has been stopped: by pg_resetwal, which
# gives up everything since the last checkpoint, ...
sub lose_tail_by_reset
{
	my ($node) = @_;
	return PostgreSQL::Test::Utils::system_or_bail('pg_resetwal', '-f', '-D', $node->data_dir);
}

# ... or by zeroes in the place of the first record after a position: recovery takes
# them for the end.
sub lose_tail_by_zeroes
{
	my ($node, $after) = @_;
	my $dir = $node->data_dir . '/pg_wal';
	my ($tli) = `pg_controldata -D '${\$node->data_dir}'` =~ /TimeLineID:\s+(\d+)/;
	my $dump = `pg_waldump -p '$dir' -n 1 -s '$after' 2>/dev/null`;
	my ($hi, $first) = $dump =~ m{lsn: ([0-9A-F]+)/([0-9A-F]+)} or die "no record after $after";
	my $file = sprintf('%s/%08X%08X%08X', $dir, $tli, hex($hi), hex($first) >> 24);
	open(my $fh, '+<', $file) or die "$file: $!";
	binmode $fh;
	sysseek($fh, hex($first) & 0xFFFFFF, 0);
	syswrite($fh, "\0" x 64);
	close $fh;
	return;
}

# wait_restarted(server, offset): until the server has noticed the death of one of its
# processes, which its log tells of after the offset, and is back.  By pg_isready, since
# psql's death in mid-connection would kill us by SIGPIPE.
sub wait_restarted
{
	my ($node, $start) = @_;
	foreach (1 .. 600)
	{
		return
		  if slurp_file($node->logfile, $start) =~ /all server processes terminated/
		  && system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0;
		usleep(100_000);
	}
	die 'the server did not come back';
}

# No process of the server has crashed, but for those we killed.
sub crash_free
{
	my ($node, $what) = @_;
	my $log = slurp_file($node->logfile);
	my @lines = grep { /PANIC|TRAP:|terminated by signal (?!9:)|inconsistent page found/ } split /\n/, $log;
	diag($_) for @lines[0 .. ($#lines > 9 ? 9 : $#lines)];
	return is(scalar @lines, 0, "$what: no process has crashed");
}

# Blocks of a table's file, for those who damage them

sub relation_file
{
	my ($node, $table) = @_;
	return $node->data_dir . '/'
	  . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$table')");
}

sub read_block
{
	my ($file, $blk) = @_;
	open(my $fh, '<:raw', $file) or die "$file: $!";
	seek($fh, $blk * 8192, 0);
	my $n = read($fh, my $page, 8192);
	die "block $blk of $file" unless $n == 8192;
	close $fh;
	return $page;
}

sub write_block
{
	my ($file, $blk, $page) = @_;
	open(my $fh, '+<:raw', $file) or die "$file: $!";
	seek($fh, $blk * 8192, 0);
	print $fh $page;
	close $fh;
	return;
}

# The page with some bits of one byte changed
sub flip
{
	my ($page, $at, $bits) = @_;
	substr($page, $at, 1) = chr(ord(substr($page, $at, 1)) ^ $bits);
	return $page;
}

# Every path that comes by TID to a row of table t (055, 085), as [name, statement]; those that write are
# rolled back.  $a: a key on the damaged block, $blk: the block.
sub tid_paths
{
	my ($rows, $blk, $a) = @_;
	my $no = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;';
	return (
		[ 'index scan', "$no SELECT count(*) FROM t WHERE a = $a", 1 ],
		[
			'index-only scan, not all-visible',
			"SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT pg_truncate_visibility_map('t'); SELECT count(*) FROM t WHERE a = $a",
			1
		],
		[
			'bitmap scan',
			"SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(pad) FROM t WHERE a = $a",
			1
		],
		[
			'lossy bitmap scan',
			"SET work_mem = '64kB'; SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(pad) FROM t WHERE a > 0",
			$rows
		],
		[
			'TID scan',
			"SELECT count(*) FROM t WHERE ctid = (SELECT tid FROM h WHERE a = $a)",
			1
		],
		[
			'TID range scan',
			"SELECT count(*) FROM t WHERE ctid >= '($blk,0)' AND ctid < '(" . ($blk + 1) . ",0)'",
			qr/^[1-9]\d+$/
		],
		[ 'sequential scan', 'SELECT count(pad) FROM t', $rows ],
		[ 'sample', 'SELECT count(pad) FROM t TABLESAMPLE system (100)', $rows ],
		[
			'row sample', 'SELECT count(pad) FROM t TABLESAMPLE bernoulli (100)',
			$rows
		],
		[ 'ANALYZE', 'ANALYZE t; SELECT reltuples FROM pg_class WHERE relname = \'t\'', $rows ],
		[
			'FOR UPDATE',
			"BEGIN; $no SELECT count(*) FROM (SELECT 1 FROM t WHERE a = $a FOR UPDATE) x; ROLLBACK",
			1
		],
		[
			'UPDATE', "BEGIN; $no WITH u AS (UPDATE t SET b = 0 WHERE a = $a RETURNING 1) SELECT count(*) FROM u; ROLLBACK",
			1
		],
		[
			'DELETE', "BEGIN; $no WITH d AS (DELETE FROM t WHERE a = $a RETURNING 1) SELECT count(*) FROM d; ROLLBACK",
			1
		],
		[
			'UPDATE by sequential scan', "BEGIN; WITH u AS (UPDATE t SET b = b + 1 RETURNING 1) SELECT count(*) FROM u; ROLLBACK",
			$rows
		],
		[ 'unique check', "INSERT INTO t VALUES ($a, 1, 'twice')", 'duplicate' ],
		[
			'ON CONFLICT',
			"BEGIN; WITH i AS (INSERT INTO t VALUES ($a, 1, 'twice') ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM i; ROLLBACK",
			0
		],
		[ 'index scan, alex', "$no SELECT count(*) FROM t WHERE c = $a", 1 ],
		[ 'unique check, alex', "INSERT INTO t VALUES ($a + 100000, 1, 'twice', $a)", 'duplicate' ],
		[
			'ON CONFLICT, alex',
			"BEGIN; WITH i AS (INSERT INTO t VALUES ($a + 100000, 1, 'twice', $a) ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM i; ROLLBACK",
			0
		],
		[
			'MERGE',
			"BEGIN; $no MERGE INTO t USING (SELECT $a AS k) s ON t.c = s.k WHEN MATCHED THEN UPDATE SET b = -1 WHEN NOT MATCHED THEN INSERT VALUES (s.k + 100000, -2, 'new', NULL); SELECT b FROM t WHERE a IN ($a, $a + 100000); ROLLBACK",
			-1
		],
		[
			'CREATE INDEX CONCURRENTLY',
			"DROP INDEX IF EXISTS nc; CREATE INDEX CONCURRENTLY nc ON t (a); SELECT reltuples FROM pg_class WHERE relname = 'nc'",
			$rows
		],
		[ 'foreign key', "BEGIN; INSERT INTO child VALUES ($a); SELECT 1; ROLLBACK", 1 ],
		[
			'CREATE INDEX',
			"BEGIN; SET enable_seqscan = off; CREATE INDEX n ON t (a); SELECT reltuples FROM pg_class WHERE relname = 'n'; ROLLBACK",
			$rows
		],
		[
			'CLUSTER',
			"BEGIN; CLUSTER t USING t_b; SELECT reltuples FROM pg_class WHERE relname = 't'; ROLLBACK",
			$rows
		],
		[
			'currtid2', "SELECT currtid2('t', tid) = tid FROM h WHERE a = $a", 't'
		]);
}

# Run all paths on a damaged node: rows or an error.  Returns how many of them
# gave an error.
sub run_tid_paths
{
	my ($node, $what, $rows, $blk, $a, $may_fail) = @_;
	my $errors = 0;
	foreach my $path (tid_paths($rows, $blk, $a))
	{
		my ($name, $sql, $want) = @$path;
		my ($rc, $out, $err) = $node->psql('postgres', $sql);
		$out = (split /\n/, $out)[-1] // '';
		if ($rc != 0 && $want eq 'duplicate' && $err =~ /duplicate key value/)
		{
			pass("$what, $name: the key is refused");
		}
		elsif ($rc != 0 && $may_fail)
		{
			like(
				$err,
				qr/$may_fail/,
				"$what, $name: an error that names it");
			$errors++;
		}
		elsif (ref $want)
		{
			ok($rc == 0, "$what, $name: succeeds") or diag($err);
			like($out, $want, "$what, $name: all rows");
		}
		else
		{
			is("$rc $out", "0 $want", "$what, $name: all rows") or diag($err);
		}
	}
	return $errors;
}

1;
