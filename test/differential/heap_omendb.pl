# Differential test: random DDL, DML and queries on heap tables and on their
# omendb twins, with seal, unseal, vacuum, garbage collection and kills of the
# server in between.  What psql prints must be the same for both, and so must
# the rows with their system columns.
#
#   DIFF_STATEMENTS   pairs of statements (default 1500; full run 20000)
#   DIFF_SEED         the run is a function of it, but for the timing of
#                     background sealing (default 1)
#
# System columns: both twins are changed in one transaction, so that xmin is
# the same.  cmin counts the commands of the transaction, of which each pair
# takes two, hence cmin / 2 (rows that ALTER TABLE rewrote, and combo ids, excepted); xmax of a visible row is a locker or an aborted
# changer, which freezing may clear in one twin earlier than in the other, so
# it must be equal or cleared (or a multixact, which each twin has of its own; or both aborted).  ctid is not compared: a row group keeps its
# first block for its header, so rows lie elsewhere; but each row must be found
# again by the ctid that it says it has.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t";
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $wanted = $ENV{DIFF_STATEMENTS} // 1500;
my $seed = $ENV{DIFF_SEED} // 1;
my $blocks = $ENV{BLOCKS} // 4;
srand($seed);

my $node = omen_node('diff', 'omendb.row_group_blocks' => $blocks, 'autovacuum_naptime' => 1,
	'omendb.eager_naptime' => 50);
my $dir = PostgreSQL::Test::Utils::tempdir;
$node->safe_psql('postgres', 'CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE no_cmin (x xid) USING heap; CREATE TABLE restarts (x xid) USING heap; INSERT INTO restarts VALUES (pg_current_xact_id()::xid)');
my $max_id = 3000;

sub pick { return $_[ int(rand(@_)) ]; }
sub rnd { my ($a, $b) = @_; return $a + int(rand($b - $a + 1)); }

# ---- types: an SQL expression of g (bigint) for a value, and a predicate ----

# h(g, k): some number below k that depends on g
sub h { my ($k) = @_; my $s = rnd(1, 1_000_000); return "(abs(hashint8(g * 7919 + $s)::bigint) % $k)"; }

my %types = (
	'int' => sub { return h(pick(5, 1000, 1_000_000)); },
	'bigint' => sub { return h(1_000_000) . ' * 10000000019'; },
	'smallint' => sub { return h(30000) . '::int2'; },
	'numeric' => sub { return pick('(' . h(100000) . ' / 7.0)', '(' . h(100) . ')::numeric', h(1000) . '::numeric(12,4)', "'NaN'::numeric"); },
	'numeric(12,3)' => sub { return '(' . h(100000) . ' / 100.0)'; },
	'float8' => sub { return pick(h(1000) . '::float8 / 3', h(10) . '::float8', "'-0'::float8", "'Infinity'::float8"); },
	'float4' => sub { return h(1000) . '::float4'; },
	'text' => sub { return pick('md5(' . h(100000) . '::text)', "repeat('ab', (" . h(60) . ')::int)', "'v' || " . h(10), "''"); },
	'varchar(100)' => sub { return "'x' || " . h(1000); },
	'char(7)' => sub { return "'c' || " . h(20); },
	'bytea' => sub { return "decode(md5(" . h(1000) . "::text), 'hex')"; },
	'bool' => sub { return h(2) . ' = 0'; },
	'date' => sub { return "date '2000-01-01' + (" . h(9000) . ')::int'; },
	'timestamptz' => sub { return "timestamptz '2000-01-01 00:00+00' + " . h(900000) . " * interval '1 min'"; },
	'time' => sub { return "time '00:00' + " . h(86400) . " * interval '1 s'"; },
	'interval' => sub { return h(1000) . " * interval '1 hour'"; },
	'uuid' => sub { return 'md5(' . h(100000) . '::text)::uuid'; },
	'jsonb' => sub { return "jsonb_build_object('a', " . h(100) . ", 'b', jsonb_build_array(" . h(5) . ", 'x', null))"; },
	'int[]' => sub { return 'ARRAY[' . h(10) . ', NULL, ' . h(10) . ']::int[]'; },
	'text[]' => sub { return "ARRAY['t' || " . h(10) . ", '', NULL]"; },
	'int4range' => sub { return 'int4range((' . h(100) . ')::int, 100 + (' . h(100) . ')::int)'; },
	'inet' => sub { return "'10.0.0.0'::inet + " . h(65000); },
	'bit(9)' => sub { return '(' . h(512) . ')::int::bit(9)'; },
	'point' => sub { return 'point(' . h(10) . ', ' . h(10) . ')'; },
	'big text' => sub { return "(SELECT string_agg(md5((g * 100 + k)::text), '') FROM generate_series(1, 30 + " . h(80) . ") k)"; },
	'"char"' => sub { return "chr((65 + " . h(20) . ')::int)::"char"'; },
);
my @type_names = sort keys %types;
my %not_ordered = map { $_ => 1 } ('point');
my %not_equal = map { $_ => 1 } ('point');

sub sql_type { my ($t) = @_; return $t eq 'big text' ? 'text' : $t; }

# value of a column, NULL now and then
sub value
{
	my ($type) = @_;
	my $e = $types{$type}->();
	my $nulls = pick(0, 0, 3, 50);
	return $nulls == 0 ? $e : 'CASE WHEN ' . h(100) . " >= $nulls THEN $e END";
}

# ---- the twins ----

my @pairs;
my $serial = 0;

sub new_pair
{
	my $n = ++$serial;
	my @cols = map { { name => "c$_", type => pick(@type_names) } } 1 .. rnd(2, 8);
	my $pair = { n => $n, cols => \@cols, next_col => scalar(@cols) + 1, indexes => [], next_index => 1 };
	my $defs = join(', ', 'id int PRIMARY KEY', map { "$_->{name} " . sql_type($_->{type}) } @cols);
	my $with = pick('', '', ' WITH (fillfactor = 70)', ' WITH (toast_tuple_target = 256)');
	push @pairs, $pair;
	return (
		"CREATE TABLE h_$n ($defs) USING heap$with",
		"CREATE TABLE o_$n ($defs) USING omendb$with");
}

# ---- statements: text with T for the table's name ----

sub insert_list
{
	my ($p) = @_;
	return 'id' . join('', map { ", $_->{name}" } @{ $p->{cols} });
}

sub insert_exprs
{
	my ($p) = @_;
	return 'g::int' . join('', map { ', ' . value($_->{type}) } @{ $p->{cols} });
}

sub predicate
{
	my ($p) = @_;
	my $a = rnd(1, $max_id);
	my $c = @{ $p->{cols} } ? pick(@{ $p->{cols} }) : { name => 'id', type => 'int' };
	my @choices = (
		"id = $a", 'id BETWEEN ' . $a . ' AND ' . ($a + rnd(0, 300)), "id % " . rnd(2, 200) . ' = 1', "id IN ($a, " . rnd(1, $max_id) . ", " . rnd(1, $max_id) . ')',
		"$c->{name} IS NULL", "$c->{name} IS NOT NULL AND id < $a");
	unless ($not_ordered{ $c->{type} })
	{
		my $v = $types{ $c->{type} }->();
		$v =~ s/\bg\b/$a/g;
		my $t = sql_type($c->{type});
		push @choices, "$c->{name} " . pick('=', '<', '>', '<=', '>=', '<>') . " ($v)::$t", "$c->{name} = ($v)::$t OR id = $a";
	}
	return pick(@choices);
}

sub dml
{
	my ($p) = @_;
	my $k = rnd(1, 100);
	my $list = insert_list($p);
	my $a = rnd(1, $max_id);
	my $b = $a + pick(0, 0, 5, 50, 300);
	if ($k <= 25)
	{
		my $exprs = insert_exprs($p);
		return "INSERT INTO T ($list) SELECT $exprs FROM generate_series($a, $b) g WHERE g NOT IN (SELECT id FROM T)";
	}
	if ($k <= 30)
	{
		my $exprs = insert_exprs($p);
		return "INSERT INTO T ($list) SELECT $exprs FROM generate_series($a, " . ($a + 1) . ') g';
	}
	if ($k <= 38)
	{
		my $exprs = insert_exprs($p);
		my $set = @{ $p->{cols} } ? join(', ', map { "$_->{name} = excluded.$_->{name}" } @{ $p->{cols} }) : 'id = T.id';
		return "INSERT INTO T ($list) SELECT $exprs FROM generate_series($a, $b) g ON CONFLICT (id) " . pick('DO NOTHING', "DO UPDATE SET $set");
	}
	if ($k <= 68 && @{ $p->{cols} })
	{
		my $c = pick(@{ $p->{cols} });
		(my $e = value($c->{type})) =~ s/\bg\b/id/g;
		return "UPDATE T SET $c->{name} = $e WHERE " . predicate($p);
	}
	if ($k <= 72)
	{
		return "UPDATE T SET id = id + $max_id * 2 WHERE id BETWEEN $a AND " . ($a + 3) . " AND NOT EXISTS (SELECT FROM T x WHERE x.id BETWEEN $a + $max_id * 2 AND $a + 3 + $max_id * 2)";
	}
	if ($k <= 84) { return 'DELETE FROM T WHERE ' . predicate($p); }
	if ($k <= 90)
	{
		my $exprs = insert_exprs($p);
		my $upd = @{ $p->{cols} } ? "UPDATE SET $p->{cols}[0]{name} = s.$p->{cols}[0]{name}" : 'DO NOTHING';
		my $vals = 's.id' . join('', map { ", s.$_->{name}" } @{ $p->{cols} });
		return "MERGE INTO T t USING (SELECT " . aliased($p, $exprs) . " FROM generate_series($a, $b) g) s ON t.id = s.id"
		  . " WHEN MATCHED AND s.id % 5 = 0 THEN DELETE WHEN MATCHED THEN $upd WHEN NOT MATCHED THEN INSERT ($list) VALUES ($vals)";
	}
	# row locks count as changes: they thaw, and write xmax
	return "SELECT id FROM T WHERE id BETWEEN $a AND $b ORDER BY id FOR " . pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE');
}

# name the expressions of a select list (split only at top-level commas)
sub aliased
{
	my ($p, $exprs) = @_;
	my ($depth, $quote, $one) = (0, 0, '');
	my @parts;
	foreach my $ch (split //, $exprs)
	{
		$quote = !$quote if $ch eq "'";
		if (!$quote)
		{
			$depth++ if $ch =~ /[(\[]/;
			$depth-- if $ch =~ /[)\]]/;
			if ($ch eq ',' && $depth == 0) { push @parts, $one; $one = ''; next; }
		}
		$one .= $ch;
	}
	push @parts, $one;
	my @names = ('id', map { $_->{name} } @{ $p->{cols} });
	return join(', ', map { "$parts[$_] AS $names[$_]" } 0 .. $#parts);
}

sub query
{
	my ($p) = @_;
	my $k = rnd(1, 100);
	my $w = predicate($p);
	my $c = @{ $p->{cols} } ? pick(@{ $p->{cols} }) : { name => 'id', type => 'int' };
	my $q = pick(@pairs);
	return "SELECT * FROM T WHERE $w ORDER BY id" if $k <= 25;
	return "SELECT count(*), count($c->{name}), min(id), max(id), sum(id) FROM T WHERE $w" if $k <= 40;
	return "SELECT id, $c->{name} FROM T ORDER BY id " . pick('', 'DESC ') . 'LIMIT ' . rnd(1, 50) . ' OFFSET ' . rnd(0, 1500) if $k <= 48;
	# as text: which of 1, 1.0 or -0, 0 stands for its group is chance
	return "SELECT $c->{name}::text, count(*), sum(id) FROM T WHERE $w GROUP BY 1 ORDER BY 1" if $k <= 58;
	return "SELECT DISTINCT $c->{name}::text FROM T ORDER BY 1" if $k <= 63;
	return "SELECT count(DISTINCT $c->{name}) FROM T" if $k <= 64 && !$not_ordered{ $c->{type} };
	return "SELECT a.id, b.id FROM T a JOIN T b ON b.id = a.id + 1 WHERE a.$w ORDER BY a.id LIMIT 40" if $k <= 70 && $w =~ /^id [=B]/;
	return "SELECT count(*) FROM T a WHERE EXISTS (SELECT FROM T b WHERE b.ctid = a.ctid AND b.id = a.id)" if $k <= 76;
	return "SELECT count(*) FROM T a JOIN TWIN_$q->{n} b USING (id)" if $k <= 82;
	return "SELECT id, row_number() OVER (ORDER BY id DESC), $c->{name} FROM T WHERE $w ORDER BY id LIMIT 100" if $k <= 88;
	return "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM T t";
}

my @planner = (
	[],
	[],
	# sealed rows one by one
	[ 'omendb.enable_vectorized_scan = off', 'omendb.enable_vectorized_agg = off' ],
	[ 'omendb.enable_vectorized_scan = off', 'omendb.enable_vectorized_agg = off' ],
	['enable_seqscan = off'],
	[ 'enable_seqscan = off', 'enable_indexscan = off' ],
	[ 'enable_bitmapscan = off', 'enable_indexscan = off', 'enable_indexonlyscan = off' ],
	[
		'min_parallel_table_scan_size = 0', 'min_parallel_index_scan_size = 0', 'parallel_setup_cost = 0',
		'parallel_tuple_cost = 0', 'max_parallel_workers_per_gather = 2'
	]);

# DDL for both twins; changes the pair's description
sub ddl
{
	my ($p) = @_;
	my $k = rnd(1, 120);
	my $cols = $p->{cols};
	if ($k <= 15)
	{
		my $type = pick(@type_names);
		my $name = 'c' . $p->{next_col}++;
		(my $e = $types{$type}->()) =~ s/\bg\b/17/g;
		my $t = sql_type($type);
		push @$cols, { name => $name, type => $type };
		return "ALTER TABLE T ADD COLUMN $name $t" . ($e =~ /SELECT/ ? '' : pick('', " DEFAULT $e", " DEFAULT $e"));
	}
	if ($k <= 23 && @$cols > 1)
	{
		my $i = rnd(0, $#$cols);
		my $name = $cols->[$i]{name};
		splice(@$cols, $i, 1);
		@{ $p->{indexes} } = grep { $_->{col} ne $name } @{ $p->{indexes} };
		return "ALTER TABLE T DROP COLUMN $name";
	}
	if ($k <= 38)
	{
		my @can = grep { !$not_ordered{ $_->{type} } && $_->{type} ne 'big text' && $_->{type} ne 'text[]' } @$cols;
		return 'ANALYZE T' unless @can;
		my $c = pick(@can);
		my $name = 'i' . $p->{next_index}++;
		push @{ $p->{indexes} }, { name => $name, col => $c->{name} };
		return "CREATE INDEX T_$name ON T " . pick("($c->{name})", "($c->{name}, id)", "($c->{name} DESC NULLS LAST)", "($c->{name}) WHERE id % 3 = 0", "(id) INCLUDE ($c->{name})");
	}
	if ($k <= 43 && @{ $p->{indexes} })
	{
		my $i = splice(@{ $p->{indexes} }, rnd(0, $#{ $p->{indexes} }), 1);
		return "DROP INDEX IF EXISTS T_$i->{name}";
	}
	if ($k <= 48 && @$cols)
	{
		my $c = pick(@$cols);
		if ($c->{type} =~ /^(int|smallint)$/) { $c->{type} = 'bigint'; return "ALTER TABLE T ALTER $c->{name} TYPE bigint"; }
		if ($c->{type} =~ /^(varchar|char\()/) { $c->{type} = 'text'; return "ALTER TABLE T ALTER $c->{name} TYPE text"; }
		if ($c->{type} =~ /text$|bytea|jsonb/) { return "ALTER TABLE T ALTER $c->{name} SET STORAGE " . pick('EXTERNAL', 'EXTENDED', 'MAIN'); }
		return "ALTER TABLE T ALTER $c->{name} SET DEFAULT NULL";
	}
	return 'ANALYZE T' if $k <= 60;
	return 'REINDEX TABLE T' if $k <= 64;
	return 'VACUUM T' if $k <= 78;
	return 'VACUUM (FREEZE) T' if $k <= 84;
	return 'VACUUM FULL T' if $k <= 88;
	return 'CLUSTER T USING T_pkey' if $k <= 91;
	return 'TRUNCATE T' if $k <= 93;
	return 'ALTER TABLE T SET (fillfactor = ' . rnd(30, 100) . ')' if $k <= 97;
	return 'VACUUM (DISABLE_PAGE_SKIPPING) T' if $k <= 104;
	return 'ALTER TABLE T SET ACCESS METHOD OTHER_AM; ALTER TABLE T SET ACCESS METHOD AM' if $k <= 107;
	return 'COMMENT ON TABLE T IS $$x$$';
}

# maintenance of the omendb twin alone
sub maintenance
{
	my ($p) = @_;
	my $t = "o_$p->{n}";
	my $k = rnd(1, 100);
	return "SELECT 1 FROM omendb.seal('$t', true)" if $k <= 50;
	return "SELECT 1 FROM omendb.seal('$t')" if $k <= 60;
	return "SELECT 1 FROM omendb.unseal('$t')" if $k <= 70;
	return "VACUUM (FREEZE) $t; SELECT 1 FROM omendb.seal('$t', true)" if $k <= 88;
	return 'SELECT 1 FROM omendb.gc()' if $k <= 93;
	return 'SELECT omendb.cache_reset()' if $k <= 97;
	return 'CHECKPOINT';
}

sub for_twin
{
	my ($sql, $p, $side) = @_;
	my $am = $side eq 'h' ? 'heap' : 'omendb';
	$sql =~ s/\bTWIN_(\d+)\b/${side}_$1/g;
	$sql =~ s/\bT_(\w+)/${side}_$p->{n}_$1/g;
	$sql =~ s/\bT\b/${side}_$p->{n}/g;
	my $other = $side eq 'h' ? 'heap2' : 'heap';
	$sql =~ s/\bAM\b/$am/g;
	$sql =~ s/\bOTHER_AM\b/$other/g;
	return $sql;
}

# ---- a batch: a psql script, tagged so that outputs can be told apart ----

my ($statements, $batch, $tag) = (0, 0, 0);
my %sql_of;

# both(pair, text [, undo]): the script of one statement on both twins; with undo,
# each in a subtransaction that is rolled back (if there were one for both, an
# error in heap's half would skip the other's, which then takes no command id)
sub both
{
	my ($p, $sql, $undo) = @_;
	my $n = ++$tag;
	my $script = '';
	$statements++;
	$sql_of{$n} = for_twin($sql, $p, 'o');
	foreach my $side (qw(h o))
	{
		my $half = for_twin($sql, $p, $side) . ";\n";
		$half = "SAVEPOINT s;\n${half}ROLLBACK TO s;\n" if $undo;
		$script .= "\\echo \@\@ $n $side\n$half";
	}
	return "$script\\echo \@\@ 0 x\n";
}

sub compare_sql
{
	my ($p) = @_;
	my $n = $p->{n};
	# image comparison of whole rows, and the system columns as said above
	return "SELECT count(*), count(*) FILTER (WHERE h.id IS NULL OR o.id IS NULL) AS alone,"
	  . " count(*) FILTER (WHERE NOT (h.r *= o.r)) AS rows_differ,"
	  . " count(*) FILTER (WHERE h.xmin <> o.xmin) AS xmin_differs,"
	  . " count(*) FILTER (WHERE h.cmin::text::int / 2 <> o.cmin::text::int / 2 AND h.xmin::text NOT IN (SELECT x::text FROM no_cmin UNION SELECT xmin::text FROM no_cmin) AND h.xmin::text::bigint > (SELECT max(x::text::bigint) FROM restarts)) AS cmin_differs,"
	  . " count(*) FILTER (WHERE h.xmax <> o.xmax AND h.xmax <> 0 AND o.xmax <> 0"
	  . " AND least(h.xmax::text::bigint, o.xmax::text::bigint) > mxid_age('1'::xid) + 1"
	  . " AND (pg_xact_status(h.xmax::text::xid8) <> 'aborted' OR pg_xact_status(o.xmax::text::xid8) <> 'aborted')) AS xmax_differs"
	  . " FROM (SELECT id, xmin, xmax, cmin, ROW(t.*) AS r FROM h_$n t) h FULL JOIN (SELECT id, xmin, xmax, cmin, ROW(t.*) AS r FROM o_$n t) o USING (id)";
}

sub make_batch
{
	my $s = "\\set VERBOSITY terse\n\\pset null ~\nSET extra_float_digits = 3;\n";
	if (@pairs < 2 || (@pairs < 4 && rnd(1, 10) == 1))
	{
		my ($a, $b) = new_pair();
		my $p = $pairs[-1];
		$s .= "$a;\n$b;\n";
		my $list = insert_list($p);
		my $exprs = insert_exprs($p);
		$s .= "BEGIN;\n" . both($p, "INSERT INTO T ($list) SELECT $exprs FROM generate_series(1, " . rnd(500, $max_id) . ') g') . "COMMIT;\n";
	}
	elsif (@pairs > 3 && rnd(1, 4) == 1)
	{
		my $p = splice(@pairs, rnd(0, $#pairs), 1);
		$s .= both($p, 'DROP TABLE T');
	}
	for (1 .. 40)
	{
		my $p = pick(@pairs);
		my $k = rnd(1, 100);
		if ($k <= 40)
		{
			my $end = pick('COMMIT', 'COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK');
			$s .= "BEGIN;\n";
			my $length = pick(1, 1, 1, 2, 4);
			my $saver = rnd(1, $length);
			foreach my $i (1 .. $length)
			{
				# one at most: a row that is changed in a subtransaction rolled
				# back may keep a combo command id, for which cmin is not compared
				my $save = $i == $saver && rnd(1, 3) == 1;
				# (twice, as every command of the transaction comes twice)
				my $undo = $save && rnd(1, 2) == 1;
				$s .= "INSERT INTO no_cmin VALUES (pg_current_xact_id()::xid);\n" x 2 if $save;
				# what is kept has one xmin, that of one subtransaction for both
				$s .= "SAVEPOINT s;\n" if $save && !$undo;
				$s .= both($p, dml($p), $undo);
				$s .= "RELEASE s;\n" if $save && !$undo;
				# and so may what follows in the subtransaction that is begun anew
				$s .= "INSERT INTO no_cmin VALUES (pg_current_xact_id()::xid);\n" x 2 if $save;
				$s .= both($p, query($p)) if rnd(1, 6) == 1;
			}
			$s .= "$end;\n";
		}
		elsif ($k <= 44)
		{
			# errors must read alike, each in its own transaction
			my $sql = dml($p);
			my $n = ++$tag;
			$statements++;
			$sql_of{$n} = for_twin($sql, $p, 'o');
			$s .= "\\echo \@\@ $n h\nBEGIN;\n" . for_twin($sql, $p, 'h') . ";\nROLLBACK;\n\\echo \@\@ $n o\nBEGIN;\n" . for_twin($sql, $p, 'o') . ";\nROLLBACK;\n\\echo \@\@ 0 x\n";
		}
		elsif ($k <= 72)
		{
			my $set = pick(@planner);
			$s .= "SET $_;\n" for @$set;
			$s .= both($p, query($p)) for 1 .. rnd(1, 3);
			$s .= "RESET ALL;\nSET extra_float_digits = 3;\n" if @$set;
		}
		elsif ($k <= 78)
		{
			my $sql = ddl($p);
			# what rewrites a table gives its rows this xmin and a cmin of its own
			$s .= $sql =~ /^VACUUM/ ? both($p, $sql)
			  : "BEGIN;\nINSERT INTO no_cmin VALUES (pg_current_xact_id()::xid);\n" . both($p, $sql) . "COMMIT;\n";
		}
		elsif ($k <= 96) { $s .= "\\echo \@\@ 0 m\n" . maintenance($p) . ";\n\\echo \@\@ 0 x\n"; }
		elsif ($k <= 97) { $s .= 'VACUUM ' . pick('', '(FREEZE) ') . "h_$p->{n};\n"; }
		else { $s .= "\\echo \@\@ 0 c\n" . compare_sql($p) . ";\n\\echo \@\@ 0 x\n"; }
	}
	$s .= "\\echo \@\@ 0 c\n" . compare_sql($_) . ";\n\\echo \@\@ 0 x\n" for @pairs;
	return $s;
}

# run it; returns a list of complaints
sub run_batch
{
	my ($script) = @_;
	my $file = "$dir/batch.sql";
	unlink $file;
	append_to_file($file, $script);
	my $out = '';
	my $err = '';
	IPC::Run::run(
		[ 'psql', '-X', '-q', '-A', '-t', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-f', $file ],
		'<', \undef, '>', \$out, '2>&1');
	my ($n, $side) = (0, 'x');
	my (%got, @complaints);
	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^@@ (\d+) (\w)$/) { ($n, $side) = ($1, $2); next; }
		$line =~ s/^psql:[^:]*:\d+: //;
		push @complaints, "comparison: $line" if $side eq 'c' && $line !~ /^\d+\|0\|0\|0\|0\|0$/;
		push @complaints, "maintenance: $line" if $side eq 'm' && $line =~ /ERROR|FATAL|PANIC/;
		push @complaints, $line if $line =~ /server closed|terminating|connection.*lost|XX00/;
		# names of the twins in messages
		$line =~ s/\b[ho]_(\d+)/T_$1/g;
		push @{ $got{$n}{$side} }, $line if $side =~ /[ho]/;
	}
	foreach my $n (sort { $a <=> $b } keys %got)
	{
		my $h = join("\n", @{ $got{$n}{h} // [] });
		my $o = join("\n", @{ $got{$n}{o} // [] });
		next if $h eq $o;
		# in a transaction that failed in the heap's half, the rest is skipped
		next if $h =~ /ERROR:/ && $o =~ /current transaction is aborted/;
		push @complaints, "statement $n: $sql_of{$n}\n--- heap\n" . substr($h, 0, 1000) . "\n--- omendb\n" . substr($o, 0, 1000);
	}
	return @complaints;
}

$ENV{PGOPTIONS} = '-c search_path=public';
my $eager = 0;
while ($statements < $wanted)
{
	$batch++;
	my $first = $statements;
	%sql_of = ();
	if ($batch % 4 == 0)
	{
		$eager = !$eager;
		$node->safe_psql('postgres', 'ALTER SYSTEM SET omendb.eager_seal = ' . ($eager ? 'on' : 'off'));
		$node->reload;
	}
	my $script = make_batch();
	my @complaints = run_batch($script);
	ok(!@complaints, "batch $batch, seed $seed: " . ($statements - $first) . ' statements' . ($eager ? ', eager sealing' : ''));
	if (@complaints)
	{
		diag($_) for @complaints[0 .. ($#complaints > 4 ? 4 : $#complaints)];
		my $keep = "$PostgreSQL::Test::Utils::log_path/failed-batch-$batch.sql";
		append_to_file($keep, $script);
		diag("the script is $keep");
		last;
	}
	if ($batch % 10 == 5)
	{
		kill_server($node);
		$node->start;
		# replay of a heap insert does not restore cmin
		$node->safe_psql('postgres', 'INSERT INTO restarts VALUES (pg_current_xact_id()::xid)');
	}
}
note("$statements statements in $batch batches");
cmp_ok($statements, '>=', $wanted, "$statements pairs of statements compared") if Test::More->builder->is_passing;
if (Test::More->builder->is_passing)
{
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET omendb.eager_seal');
	$node->reload;
	$node->safe_psql('postgres', "DO \$\$ DECLARE t regclass; BEGIN FOR t IN SELECT oid::regclass FROM pg_class WHERE relname ~ '^o_[0-9]+\$' LOOP PERFORM omendb.seal(t, true); END LOOP; END \$\$");
	check_store($node, 'at the end', map { "o_$_->{n}" } @pairs);
}
crash_free($node, 'the log');
$node->stop;

done_testing();
