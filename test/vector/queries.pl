# Queries on omendb tables, vectorised and row by row: random tables (types,
# NULLs, spreads of values), sealed, thawed and hot, with columns added and
# dropped, and random queries on them.  Each runs in the same transaction with
# the vectorised nodes forced and with them off; rows (floats by their shortest
# exact text) and errors must be the same.
#
#   VECTOR_QUERIES   how many (default 3500; full run 100000)
#   VECTOR_SEED      the run is a function of it, but for what the writers of the
#                    concurrent batches do, and when (default 1)
#   BLOCKS           row group size (default: by the seed)
#   VECTOR_KEEP_GOING   do not stop at the first batch with a difference
#
# Where a query's result depends on the order in which rows are read, plans that
# read in another order than TIDs' are switched off for both sides.  A query in
# which several rows are in error may name the error of any: two data exceptions
# (SQLSTATE 22...) count as the same.  And where a condition can be in error, it
# may be that others are evaluated first and remove the rows; where a value of the
# select list is, that ORDER BY ... LIMIT leaves the row out before.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t";
use lib $FindBin::Bin;
use IPC::Run ();
use OmenTest;
use VectorQueries;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $wanted = $ENV{VECTOR_QUERIES} // 3500;
my $seed = $ENV{VECTOR_SEED} // 1;
my $per_batch = 160;
srand($seed);
# (128: of several segments, which may share dictionaries)
my $blocks = pick(16, 4, 64, 1, 128);
$blocks = 16 if $seed == 1;
$blocks = $ENV{BLOCKS} // $blocks;

my $node = omen_node('vector', 'omendb.row_group_blocks' => $blocks, 'autovacuum' => 'off',
	'omendb.eager_naptime' => 50, 'shared_buffers' => "'64MB'", 'synchronize_seqscans' => 'off',
	'timezone' => "'Europe/Berlin'", 'max_parallel_workers_per_gather' => 0, 'enable_sort' => 'off',
	'statement_timeout' => "'10s'", 'fsync' => 'off', 'synchronous_commit' => 'off');
# From 16 on a DISTINCT aggregate sorts the rows for all the others beside it, and
# the sum of floating-point numbers hangs on their order.
if ($node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 160000}) eq 't')
{
	$node->append_conf('postgresql.conf', 'enable_presorted_aggregate = off');
	$node->reload;
}
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', q{
CREATE SCHEMA vq;
CREATE DOMAIN vq.dfloat AS float8;
CREATE ROLE vq_reader;
GRANT USAGE ON SCHEMA vq, public TO vq_reader;
CREATE FUNCTION vq.leaky(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RETURN true; END';
-- rows of a query as text, in the order in which they come or sorted
CREATE FUNCTION vq.wrapped(q text, ordered bool) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT format('WITH q AS MATERIALIZED (%s) SELECT coalesce(string_agg(q::text, E''\n''%s), ''no rows'') FROM q', q,
	CASE WHEN ordered THEN '' ELSE ' ORDER BY q::text COLLATE "C"' END) $$;
-- by a cursor, forward, or forward and backward
CREATE FUNCTION vq.by_cursor(q text, backward bool, ordered bool) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	c refcursor;
	r record;
	rows text[] := '{}';
	again text[] := '{}';
	n int := 0;
BEGIN
	IF backward THEN
		OPEN c SCROLL FOR EXECUTE q;
	ELSE
		OPEN c NO SCROLL FOR EXECUTE q;
	END IF;
	LOOP
		FETCH c INTO r;
		EXIT WHEN NOT FOUND OR n >= 300;
		n := n + 1;
		rows := rows || r::text;
		IF backward AND n % 7 = 0 THEN
			FETCH PRIOR FROM c INTO r;
			again := again || r::text;
			FETCH NEXT FROM c INTO r;
			again := again || r::text;
		END IF;
	END LOOP;
	IF backward THEN
		MOVE FIRST FROM c;
		FETCH c INTO r;
		again := again || r::text;
	END IF;
	CLOSE c;
	IF NOT ordered AND n < 300 AND NOT backward THEN
		rows := ARRAY(SELECT x FROM unnest(rows) x ORDER BY x COLLATE "C");
	ELSIF NOT ordered THEN
		RETURN n;
	END IF;
	RETURN coalesce(array_to_string(rows, E'\n'), '') || ' / ' || coalesce(array_to_string(again, E'\n'), '');
END
$$;
-- how: cte, cursor, scroll, prepared
CREATE FUNCTION vq.outcome(how text, q text, ordered bool, types text, vals text, undo bool) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text;
	again text;
BEGIN
	IF how = 'prepared' THEN
		EXECUTE format('PREPARE vqp%s AS %s', types, vq.wrapped(q, ordered));
		EXECUTE 'EXECUTE vqp' || vals INTO r;
		EXECUTE 'EXECUTE vqp' || vals INTO again;
		IF again IS DISTINCT FROM r THEN
			r := 'two results of one plan: ' || r || ' // ' || again;
		END IF;
	ELSIF how = 'cursor' OR how = 'scroll' THEN
		r := vq.by_cursor(q, how = 'scroll', ordered);
	ELSE
		EXECUTE vq.wrapped(q, ordered) INTO r;
	END IF;
	IF undo THEN
		RAISE EXCEPTION USING ERRCODE = 'VQ000', MESSAGE = r;
	END IF;
	RETURN r;
EXCEPTION WHEN OTHERS OR query_canceled THEN
	IF SQLSTATE = 'VQ000' THEN
		RETURN SQLERRM;
	END IF;
	RETURN 'ERROR ' || SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE FUNCTION vq.plan_uses(q text) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
	scan bool := false;
	agg bool := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || q LOOP
		scan := scan OR line LIKE '%(OmendbVectorScan)%';
		agg := agg OR line LIKE '%(OmendbVectorAgg)%';
	END LOOP;
	RETURN CASE WHEN scan THEN 's' ELSE '-' END || CASE WHEN agg THEN 'a' ELSE '-' END;
EXCEPTION WHEN OTHERS THEN
	RETURN 'xx';
END
$$;
CREATE FUNCTION vq.except(a text, b text) RETURNS text LANGUAGE sql AS
$$
SELECT string_agg(left(x, 300), ' ; ') FROM (SELECT * FROM (SELECT unnest(string_to_array(a, E'\n')) EXCEPT ALL SELECT unnest(string_to_array(b, E'\n'))) s(x) ORDER BY x LIMIT 3) s
$$;
CREATE FUNCTION vq.compare(id int, how text, scan text, agg text, in_order bool, ordered bool, q text, types text, vals text, undo bool, first text, may_skip bool) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r text[] := '{}';
	uses text;
	side text;
BEGIN
	PERFORM set_config('enable_indexscan', CASE WHEN in_order THEN 'off' ELSE 'on' END, true),
		set_config('enable_indexonlyscan', CASE WHEN in_order THEN 'off' ELSE 'on' END, true),
		-- which gives a HOT chain's row at the chain's place
		set_config('enable_bitmapscan', CASE WHEN in_order THEN 'off' ELSE 'on' END, true),
		set_config('plan_cache_mode', CASE WHEN how = 'prepared' THEN 'force_generic_plan' ELSE 'auto' END, true);
	FOR turn IN 1..2 LOOP
		side := CASE WHEN (turn = 1) = (first = 'off') THEN 'off' ELSE 'force' END;
		IF how = 'prepared' AND EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'vqp') THEN
			DEALLOCATE vqp;
		END IF;
		PERFORM set_config('omendb.enable_vectorized_scan', CASE side WHEN 'off' THEN 'off' ELSE scan END, true),
			set_config('omendb.enable_vectorized_agg', CASE side WHEN 'off' THEN 'off' ELSE agg END, true);
		r[CASE side WHEN 'off' THEN 1 ELSE 2 END] := vq.outcome(how, q, ordered, types, vals, undo);
		IF r[CASE side WHEN 'off' THEN 1 ELSE 2 END] LIKE 'ERROR 57014%' THEN
			RETURN concat('@@ ', id, ' timeout');
		END IF;
		IF side = 'force' THEN
			uses := vq.plan_uses(CASE WHEN how = 'prepared' AND r[2] NOT LIKE 'ERROR%' THEN 'EXECUTE vqp' || vals ELSE q END);
		END IF;
	END LOOP;
	-- which rows of a table a join comes to is the plan's choice, and so is whether it
	-- comes to one that is in error: would the row path do so by a plan like that on vectors
	-- (in which no index is and, as scans of any table seem dear, hardly a nested loop)?
	IF r[2] ~ '^ERROR (22|0A000 cannot convert)' AND r[1] NOT LIKE 'ERROR%' AND q LIKE '% JOIN %' THEN
		PERFORM set_config(s, 'off', true) FROM unnest('{enable_indexscan,enable_indexonlyscan,enable_bitmapscan,enable_nestloop,omendb.enable_vectorized_scan,omendb.enable_vectorized_agg}'::text[]) s;
		IF how = 'prepared' AND EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'vqp') THEN
			DEALLOCATE vqp;
		END IF;
		r[1] := vq.outcome(how, q, ordered, types, vals, undo);
	END IF;
	-- (that of NaN and infinities to integers has a SQLSTATE of its own)
	IF (r[1] = r[2] OR r[1] ~ '^ERROR (22|0A000 cannot convert)' AND (may_skip OR r[2] ~ '^ERROR (22|0A000 cannot convert)')) AND r[2] NOT LIKE 'ERROR XX%' THEN
		RETURN concat('@@ ', id, ' same ', uses, CASE WHEN r[1] LIKE 'ERROR%' THEN ' ' || left(r[1], 11) ELSE ' ok' END);
	END IF;
	RETURN translate(concat('@@ ', id, ' DIFFERENT ', uses, ' ### only row by row: ', coalesce(vq.except(r[1], r[2]), '(order)' || left(r[1], 300)),
		' ### only vectorised: ', coalesce(vq.except(r[2], r[1]), '(order)' || left(r[2], 300))), E'\n', ' ');
END
$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA vq TO vq_reader;
});
if ($node->psql('postgres', "CREATE COLLATION vq.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)") == 0)
{
	$ENV{VECTOR_ICU} = 1;
}

my (@tables, %sql_of, %how_of);
my ($queries, $batch, $tag) = (0, 0, 0);
my %errors;
my %count = (scan => 0, agg => 0, error => 0, timeout => 0);

# The statement that compares a query's two results
sub comparison
{
	my ($q, $concurrent) = @_;
	my $n = ++$tag;
	my $how = $q->{dml} || $q->{locks} ? 'cte' : pick('cte', 'cte', 'cte', 'cte', 'cte', 'prepared', 'prepared', 'cursor', 'scroll');
	my ($sql, $types, $values) = render($q->{sql}, $how eq 'prepared' ? 75 : 0);
	my ($scan, $agg) = @{ pick([ 'force', 'force' ], [ 'force', 'force' ], [ 'force', 'force' ], [ 'force', 'off' ], [ 'off', 'force' ]) };
	my $ordered = $q->{ordered} ? 'true' : 'false';
	my $in_order = $q->{order_sensitive} || $how eq 'cursor' ? 'true' : 'false';
	my $t = @$types ? '(' . join(', ', @$types) . ')' : '';
	my $v = @$values ? '(' . join(', ', @$values) . ')' : '';
	my $undo = $q->{dml} ? 'true' : 'false';
	my $first = pick('off', 'force');
	# conditions may be evaluated in another order, so that one removes the rows
	# for which another is in error
	my $may_skip = $sql =~ /\b(?:WHERE|ON|HAVING)\b.*(?:[-+*\/%] |::int[248]|::numeric|\babs\()/s ? 'true' : 'false';
	$may_skip = 'true' if $sql =~ /(?:[-+*\/%] |::int[248]|::numeric|\babs\().*\bORDER BY\b.*\bLIMIT\b/s;
	$sql_of{$n} = "$how, scan $scan, agg $agg: $sql" . (@$values ? " with $v" : '');
	$queries++;
	return "SELECT vq.compare($n, '$how', '$scan', '$agg', $in_order, $ordered, \$q\$$sql\$q\$, \$q\$$t\$q\$, \$q\$$v\$q\$, $undo, '$first', $may_skip);\n";
}

sub psql
{
	my ($script, $file) = @_;
	my $out = '';
	my $path = "$dir/$file";
	unlink $path;
	append_to_file($path, $script);
	IPC::Run::run([ 'psql', '-X', '-q', '-A', '-t', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-f', $path ],
		'<', \undef, '>', \$out, '2>&1');
	return $out;
}

# The script that prepares the tables of a batch
sub make_tables
{
	my $s = "\\set VERBOSITY terse\n\\set ON_ERROR_STOP 0\n";
	$s .= "DROP VIEW IF EXISTS vq.barrier_$_->{name};\n" for @tables;
	if (@tables > 2 && chance(25))
	{
		my $t = splice(@tables, rnd(0, $#tables), 1);
		$s .= "DROP TABLE $t->{name} CASCADE;\n";
	}
	# the aggregation is for single tables: of these there are always some
	while (@tables < 2 || grep({ !$_->{partitioned} && !$_->{inherited} } @tables) < 2 || (@tables < 4 && chance(30)))
	{
		my ($t, @sql) = new_table(pick(300, 1000, 2000, 3000, 5000, 9000, $blocks > 64 ? (15000, 25000) : ()));
		push @tables, $t;
		$s .= "$_;\n" for @sql;
	}
	foreach (1 .. rnd(1, 4))
	{
		$s .= "$_;\n" for table_change(pick(@tables));
	}
	$s .= "CREATE VIEW vq.barrier_$_->{name} WITH (security_barrier) AS SELECT * FROM $_->{name} WHERE id % 3 <> 1 AND vq.leaky(id);\n" for @tables;
	return $s;
}

my @settings = (
	[], [], [], [],
	['work_mem = \'64kB\''],
	[ 'work_mem = \'64kB\'', 'hash_mem_multiplier = 1' ],
	['enable_partitionwise_aggregate = on', 'enable_partitionwise_join = on'],
	['enable_memoize = off', 'enable_hashjoin = off', 'enable_mergejoin = off'],
	['constraint_exclusion = off', 'from_collapse_limit = 1']);

sub make_batch
{
	my ($kind) = @_;
	my $s = "\\set VERBOSITY terse\n\\pset null ~\n";
	$s .= "SET $_;\n" for @{ pick(@settings) };
	my $left = $per_batch;
	$left = 60 if $kind eq 'concurrent';
	if ($kind eq 'parallel')
	{
		$left = 80;
		$s .= "SET $_;\n" for 'min_parallel_table_scan_size = 0', 'min_parallel_index_scan_size = 0', 'parallel_setup_cost = 0',
		  'parallel_tuple_cost = 0', 'max_parallel_workers_per_gather = 2', 'parallel_leader_participation = ' . pick('on', 'on', 'off');
	}
	if ($kind eq 'reader')
	{
		foreach my $t (@tables)
		{
			$s .= "GRANT SELECT ON $t->{name}, vq.barrier_$t->{name} TO vq_reader;\nALTER TABLE $t->{name} ENABLE ROW LEVEL SECURITY;\nDROP POLICY IF EXISTS p ON $t->{name};\n"
			  . "CREATE POLICY p ON $t->{name} USING (" . pick('id % 5 <> 0', 'id % 5 <> 0 AND vq.leaky(id)', "id IN (SELECT 7 * g FROM generate_series(1, 100) g)") . ");\n";
		}
		$s .= "SET ROLE vq_reader;\n";
	}
	my $in = $kind =~ /plain|reader|parallel/ ? 0 : $kind eq 'concurrent' ? 8 : 25;
	my $n = 0;
	while ($left-- > 0)
	{
		if ($in && $n++ % $in == 0)
		{
			$s .= "COMMIT;\n" if $n > 1;
			$s .= 'BEGIN' . ($kind eq 'concurrent' ? ' ISOLATION LEVEL REPEATABLE READ' : $kind eq 'serializable' ? ' ISOLATION LEVEL SERIALIZABLE' : '') . ";\n";
			$s =~ s/COMMIT;\n(BEGIN[^\n]*\n)\z/ROLLBACK;\n$1/ if $kind eq 'uncommitted';
			if ($kind eq 'uncommitted')
			{
				$s .= "SAVEPOINT a;\n" if chance(30);
				$s .= uncommitted_change(pick(@tables)) . ";\n" for 1 .. rnd(1, 2);
			}
		}
		my $q;
		do { $q = random_query(\@tables) } while ($kind =~ /concurrent|reader/ && ($q->{dml} || $q->{locks})) || ($kind eq 'reader' && $q->{sql} =~ /ctid/)
		  || ($kind eq 'parallel' && $q->{order_sensitive});
		$s .= comparison($q);
	}
	$s .= ($kind eq 'uncommitted' ? 'ROLLBACK' : 'COMMIT') . ";\n" if $in;
	if ($kind eq 'reader')
	{
		$s .= "RESET ROLE;\n";
		$s .= "ALTER TABLE $_->{name} DISABLE ROW LEVEL SECURITY;\n" for @tables;
	}
	return $s;
}

my $failed = 0;
while ($queries < $wanted)
{
	$batch++;
	my $before = $queries;
	%sql_of = ();
	my $made = psql(make_tables(), 'tables.sql');
	my $kind = pick('plain', 'plain', 'plain', 'uncommitted', 'uncommitted', 'serializable', 'concurrent', 'reader', 'parallel');
	my $script = make_batch($kind);
	my $load;
	if ($kind eq 'concurrent')
	{
		my $file = "$dir/writer$batch.sql";
		append_to_file($file, writer_script(@tables));
		$load = start_load($node, 2, [ $file, 1 ]);
	}
	my $out = psql($script, 'queries.sql');
	stop_load($load) if $load;

	my (@complaints, %seen);
	foreach my $line (split /\n/, $out)
	{
		$line =~ s/^psql:[^:]*:\d+: //;
		if ($line =~ /^@@ (\d+) same (.)(.) (\S+)/)
		{
			$seen{$1} = 1;
			$count{scan}++ if $2 eq 's';
			$count{agg}++ if $3 eq 'a';
			next unless $4 eq 'ERROR';
			$count{error}++;
			my ($id, $state) = $line =~ /^@@ (\d+) .*ERROR (\w+)/;
			$errors{$state}++;
			# a query that no server would run tests nothing
			note("$state: $sql_of{$id}") if $state =~ /^(42|0A)/ && $ENV{VECTOR_VERBOSE};
		}
		elsif ($line =~ /^@@ (\d+) DIFFERENT (.*)/)
		{
			$seen{$1} = 1;
			push @complaints, "query: $sql_of{$1}\n$2";
		}
		elsif ($line =~ /^@@ (\d+) timeout/)
		{
			$seen{$1} = 1;
			$count{timeout}++;
		}
		elsif ($line =~ /ERROR|FATAL|PANIC|connection|server closed/) { push @complaints, $line; }
	}
	push @complaints, "of $before .. $queries, few results" if keys %seen < ($queries - $before) / 2;
	push @complaints, map { "tables: $_" } grep { /XX00|PANIC|FATAL|server closed|connection to|ERROR:  (?!.*(out of range|division by zero|column|value too long|cannot be cast))/ } split /\n/, $made;
	ok(!@complaints, "batch $batch, seed $seed: " . ($queries - $before) . " queries, $kind");
	if (@complaints)
	{
		$failed++;
		diag($_) for @complaints[0 .. ($#complaints > 5 ? 5 : $#complaints)];
		my $keep = "$PostgreSQL::Test::Utils::log_path/failed-batch-$batch";
		append_to_file("$keep.sql", $script);
		append_to_file("$keep.out", join("\n", @complaints, ''));
		diag(scalar(@complaints) . " complaints; the script is $keep.sql");
		last unless $ENV{VECTOR_KEEP_GOING} && $failed < $ENV{VECTOR_KEEP_GOING};
		last if $out =~ /server closed/;
	}
}
note("$queries queries in $batch batches, row groups of $blocks blocks: $count{scan} with a vectorised scan, $count{agg} with a vectorised aggregate, $count{error} ended in an error, $count{timeout} timed out");
note('errors: ' . join(', ', map { "$_: $errors{$_}" } sort keys %errors));
unless ($failed)
{
	cmp_ok($count{scan} + $count{agg}, '>=', $queries * 0.7, "most queries used the nodes ($count{scan} scans, $count{agg} aggregates)");
	cmp_ok($count{agg}, '>=', $queries * 0.15, 'many used the aggregate');
	cmp_ok($count{error}, '<=', $queries * 0.15, "few ended in an error ($count{error})");
	cmp_ok($count{timeout}, '<=', $queries * 0.01, 'and hardly one took too long');
}
crash_free($node, 'the log');
$node->stop;

done_testing();
