# Differential test: random queries on tables whose indexes are btree and on
# their twins whose indexes are alex, with changes, vacuum, reindex, seal and
# unseal in between.  What psql prints must be the same for both.
#
#   DIFF_QUERIES      queries (default 1000; full run 50000)
#   DIFF_SEED         the run is a function of it, but for autovacuum's timing
#                     (default 1)
#   DIFF_DIRECTORY    omendb.alex_directory_size; default: another in each
#                     part of the run
#
# Rows of equal keys come in the order of their TIDs, which need not be equal
# in the twins.  So queries without LIMIT are compared as sets of whole rows,
# and queries with an order as sequences of keys.  After each batch the twins
# hold the same rows, alex_check finds each of them in each index, and at the
# end the counts of plan nodes (from EXPLAIN of many of the queries) show that
# the queries did go through the indexes, in each of the ways there are.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t";
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $wanted = $ENV{DIFF_QUERIES} // 1000;
my $seed = $ENV{DIFF_SEED} // 1;
my $verbose = $ENV{DIFF_VERBOSE};
srand($seed);

my @directory_sizes = defined $ENV{DIFF_DIRECTORY} ? ($ENV{DIFF_DIRECTORY}) : ("'64MB'", 0, "'256kB'");
my $node = omen_node('diff',
	'autovacuum_naptime' => 1,
	'omendb.row_group_blocks' => 4,
	'omendb.alex_directory_size' => $directory_sizes[0],
	'max_parallel_workers' => 4,
	'fsync' => 'off');
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
my $dir = PostgreSQL::Test::Utils::tempdir;

sub pick { return $_[ int(rand(@_)) ]; }
sub rnd { my ($a, $b) = @_; return $a + int(rand($b - $a + 1)); }
sub chance { return rand(100) < $_[0]; }

# ---- values: SQL expressions of g (bigint), functions of g alone ----

# an integer in 0 .. 2^62 - 1
sub hash62 { return 'hashint8extended(g, ' . rnd(1, 1_000_000_000) . ') & 4611686018427387903'; }

# a number in (0, 1)
sub uniform { return '(((' . hash62() . ') % 1000000007 + 1) / 1000000009.0)::float8'; }

# distributions of integers (bigint)
my %distributions = (
	wide => sub { return '((' . hash62() . ') * ' . pick(1, -1, 2) . ' - ' . pick(0, 2305843009213693952) . ')'; },
	dense => sub { return '((' . hash62() . ') % 30000)'; },
	few => sub { return '((' . hash62() . ') % ' . pick(1, 2, 5, 40) . ')'; },
	ascending => sub { return '(g * ' . pick(1, 1, 17, 1000003) . ')'; },
	descending => sub { return '(-g * ' . pick(1, 17, 1000003) . ')'; },
	lognormal => sub { my $s = pick(2, 2, 4); return "(exp($s * sqrt(-2 * ln(" . uniform() . ')) * cos(6.283185307 * ' . uniform() . ')) * 1000)::bigint'; },
	clustered => sub { return '((' . hash62() . ') % 12 * 100000000 + (' . hash62() . ') % 300)'; },
	skewed => sub { my $u = uniform(); return "(1000000 * $u * $u * $u * $u * $u * $u)::bigint"; },
);
my @distribution_names = sort keys %distributions;

sub clamp { my ($e, $lo, $hi) = @_; return "greatest(least($e, $hi), $lo)"; }

# per type: from an integer expression to a value; the special values; the
# types that may be compared with it; the normal form in which equal values
# print alike
my %types = (
	int2 => {
		make => sub { return clamp($_[0], -32768, 32767) . '::int2'; },
		special => [ '0', '-32768', '32767', '-1', '1' ],
		others => [qw(int2 int4 int8)] },
	int4 => {
		make => sub { return clamp($_[0], '-2147483648', '2147483647') . '::int4'; },
		special => [ '0', '-2147483648', '2147483647', '-1' ],
		others => [qw(int2 int4 int8)] },
	int8 => {
		make => sub { return "($_[0])"; },
		special => [ '0', '-9223372036854775808', '9223372036854775807', '-1', '4294967296' ],
		others => [qw(int2 int4 int8)] },
	oid => {
		make => sub { return "(abs($_[0]) % 4294967296)::oid"; },
		special => [ '0', '4294967295', '2147483648', '1' ],
		others => [qw(oid)] },
	float4 => {
		make => sub { return "($_[0])::float8::float4" . pick('', '', ' / 7', " * '1e-30'::float4"); },
		special => [ '0', '-0', 'NaN', 'Infinity', '-Infinity', '1e-45', '-1e-45', '3.4028235e38', '-3.4028235e38', '1' ],
		others => [qw(float4 float8)],
		norm => sub { return "($_[0] + '0'::float4)"; } },
	float8 => {
		make => sub { return "($_[0])::float8" . pick('', '', ' / 7', ' * 1e-300', ' * 1e280'); },
		special => [ '0', '-0', 'NaN', 'Infinity', '-Infinity', '5e-324', '-5e-324', '1.7976931348623157e308', '-1.7976931348623157e308', '0.1' ],
		others => [qw(float4 float8)],
		norm => sub { return "($_[0] + '0'::float8)"; } },
	date => {
		make => sub { return "(date '2000-01-01' + " . clamp($_[0], -2400000, 2000000000) . '::int)'; },
		special => [ 'infinity', '-infinity', '4713-01-01 BC', '5874897-12-31', '2000-01-01', '2024-03-31' ],
		others => [qw(date timestamp timestamptz)] },
	time => {
		make => sub { return "(time '00:00' + (abs($_[0]) % " . pick(86400000000, 5000) . ") * interval '1 us')"; },
		special => [ '00:00', '24:00', '23:59:59.999999', '12:00' ],
		others => [qw(time)] },
	timestamp => {
		make => sub { return "(timestamp '2000-01-01' + " . clamp($_[0], '-200000000000000000', '9000000000000000000') . pick(" * interval '1 us'", " % 100000000 * interval '1 min'") . ')'; },
		special => [ 'infinity', '-infinity', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999', '2000-01-01', '2024-03-31 02:30' ],
		others => [qw(date timestamp timestamptz)] },
	timestamptz => {
		make => sub { return "(timestamptz '2000-01-01 00:00+00' + " . clamp($_[0], '-200000000000000000', '9000000000000000000') . pick(" * interval '1 us'", " % 100000000 * interval '1 min'") . ')'; },
		special => [ 'infinity', '-infinity', '4713-01-02 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00', '2000-01-01 00:00+00', '2024-03-31 01:30+00' ],
		others => [qw(date timestamp timestamptz)] },
	'"char"' => {
		make => sub { return "((abs($_[0]) % 256) - 128)::int4::\"char\""; },
		special => [ 'a', 'Z', '' ],
		others => ['"char"'],
		norm => sub { return "ascii($_[0]::text)"; } },
	bool => {
		make => sub { return "(($_[0]) % 2 = 0)"; },
		special => [ 't', 'f' ],
		others => ['bool'] },
);
my @type_names = sort keys %types;

sub norm { my ($type, $e) = @_; return $types{$type}{norm} ? $types{$type}{norm}->($e) : $e; }

# a timestamp far from now overflows when it meets an interval: clamp's upper
# bound is below the type's, and intervals of microseconds multiply exactly
sub random_expr
{
	my ($type, $distribution) = @_;
	return $types{$type}{make}->($distributions{$distribution}->());
}

# the expression of a column: mostly its distribution, sometimes others
sub value
{
	my ($type, $distribution, $nulls) = @_;
	my $e = random_expr($type, chance(80) ? $distribution : pick(@distribution_names));
	my $special = $types{$type}{special};
	my $salt = rnd(1, 1_000_000);
	my $often = pick(0, 0, 2, 10);
	my $h = "abs(hashint8(g * 7919 + $salt)::bigint)";
	my $when = '';
	$when .= " WHEN $h % 100 < $often THEN ((ARRAY[" . join(', ', map { "'$_'" } @$special) . "])[$h / 100 % " . scalar(@$special) . " + 1])::$type" if $often;
	$when .= " WHEN $h / 10007 % 100 < $nulls THEN NULL" if $nulls;
	return $when ? "CASE$when ELSE $e END" : $e;
}

# ---- the twins ----

my @pairs;
my $serial = 0;

sub index_sql
{
	my ($p) = @_;
	my $name = 'i' . $p->{next_index}++;
	my $kind = pick(qw(k k k j j expression partial include unique));
	my $order = pick('', '', ' ASC', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST');
	my $with = chance(30) ? ' WITH (fillfactor = ' . rnd(50, 100) . ')' : '';
	my $column = pick('k', 'j');
	my $on = "k$order";
	my ($unique, $tail) = ('', '');
	if ($kind eq 'j') { $on = "j$order"; }
	elsif ($kind eq 'expression') { $on = "($p->{expression})$order"; }
	elsif ($kind eq 'partial') { $on = "$column$order"; $tail = ' WHERE ' . pick('id % 3 = 0', 'k IS NOT NULL', 'j IS NULL'); }
	elsif ($kind eq 'include') { $on = "$column$order"; $tail = ' INCLUDE (' . pick('id', 'pad, id', 'id, k, j', 'pad') . ')'; }
	elsif ($kind eq 'unique')
	{
		$unique = 'UNIQUE ';
		$on = "u$order";
		$tail = pick('', ' NULLS NOT DISTINCT', ' INCLUDE (id)', ' INCLUDE (k)');
	}
	# WITH stands before WHERE, after INCLUDE and NULLS
	my $text = "CREATE ${unique}INDEX T_$name ON T USING IAM ($on)" . ($kind eq 'partial' ? "$with$tail" : "$tail$with");
	push @{ $p->{indexes} }, { name => $name, kind => $kind };
	return $text;
}

sub new_pair
{
	my $n = ++$serial;
	my $type = $type_names[ ($n + $seed) % @type_names ];
	my $jtype = chance(50) ? $type : pick(@type_names);
	my ($b, $a) = @{ pick([qw(heap heap)], [qw(heap heap)], [qw(omendb omendb)], [qw(heap omendb)]) };
	my $unlogged = $a eq 'heap' && chance(10) ? 'UNLOGGED ' : '';
	my $p = {
		n => $n, type => $type, jtype => $jtype, am => $a, unlogged => $unlogged,
		distribution => pick(@distribution_names), jdistribution => pick(@distribution_names),
		nulls => pick(0, 3, 3, 40), indexes => [], next_index => 1,
		# the last id used, so that ascending inserts ascend
		last => pick(800, 3000, 3000, chance(20) ? 60000 : 5000),
		expression => pick('id % 1000', '-id', '(id * 7 % 100)::int8', 'id::float8 / 3', 'pad_int(pad)') };
	push @pairs, $p;
	my $defs = "(id int, k $type, j $jtype, u int8, pad text)";
	my $with = pick('', '', ' WITH (fillfactor = 60)', ' WITH (autovacuum_enabled = off)');
	return ("CREATE ${unlogged}TABLE b_$n $defs USING $b$with", "CREATE ${unlogged}TABLE a_$n $defs USING $a$with");
}

sub rows_sql
{
	my ($p, $from, $to) = @_;
	return "INSERT INTO T SELECT g::int, " . value($p->{type}, $p->{distribution}, $p->{nulls}) . ', '
	  . value($p->{jtype}, $p->{jdistribution}, 5) . ', ' . pick('g', 'g', 'g * 1000', '-g', 'CASE WHEN g % 50 > 0 THEN g * 3 END')
	  . ", " . pick("'p' || g % 100", "repeat('x', (g % 60)::int)", 'NULL') . " FROM generate_series(${from}::bigint, $to) g";
}

# ---- predicates ----

# a constant of one of the types that compare with the column's
sub constant
{
	my ($p, $column, $type) = @_;
	my $own = $column eq 'k' ? $p->{type} : $p->{jtype};
	my $distribution = $column eq 'k' ? $p->{distribution} : $p->{jdistribution};
	$type //= chance(65) ? $own : pick(@{ $types{$own}{others} });
	my $how = rnd(1, 100);
	return 'NULL::' . $type if $how <= 2;
	return "'" . pick(@{ $types{$type}{special} }) . "'::$type" if $how <= 17;
	if ($how <= 70 && $type eq $own)
	{
		# a value that is, or was, in the table
		# (ids are not unique)
		return "(SELECT $column FROM T WHERE id >= " . rnd(1, $p->{last}) . " ORDER BY id, $column LIMIT 1)";
	}
	(my $e = random_expr($type, $distribution)) =~ s/\bg\b/rnd(1, $p->{last}) . '::bigint'/ge;
	return "($e)::$type";
}

sub array_constant
{
	my ($p, $column) = @_;
	my $own = $column eq 'k' ? $p->{type} : $p->{jtype};
	my $type = chance(75) ? $own : pick(@{ $types{$own}{others} });
	my $n = pick(0, 1, 2, 3, 5, 8, 30);
	return "ARRAY[" . join(', ', map { constant($p, $column, $type) } 1 .. $n) . "]::$type" . '[]';
}

sub simple_predicate
{
	my ($p, $column) = @_;
	my $k = rnd(1, 100);
	my $op = pick('=', '<', '<=', '>', '>=');
	return "$column = " . constant($p, $column) if $k <= 20;
	return "$column $op " . constant($p, $column) if $k <= 38;
	return "$column " . pick('>', '>=') . ' ' . constant($p, $column) . " AND $column " . pick('<', '<=') . ' ' . constant($p, $column) if $k <= 56;
	return "$column BETWEEN SYMMETRIC " . constant($p, $column) . ' AND ' . constant($p, $column) if $k <= 60;
	return "$column = ANY (" . array_constant($p, $column) . ')' if $k <= 72;
	return "$column $op " . pick('ANY', 'ANY', 'ALL') . ' (' . array_constant($p, $column) . ')' if $k <= 77;
	return "$column = ANY (" . array_constant($p, $column) . ") AND $column $op " . constant($p, $column) if $k <= 82;
	return "$column IS NULL" if $k <= 87;
	return "$column IS NOT NULL" if $k <= 91;
	return "$column IS " . pick('', 'NOT ') . "NULL AND $column $op " . constant($p, $column) if $k <= 93;
	return "$column $op " . constant($p, $column) . " AND $column " . pick('=', '<', '<=', '>', '>=') . ' ' . constant($p, $column) . " AND $column <> " . constant($p, $column) if $k <= 97;
	return "$column = NULL" if $k <= 98;
	return 'true';
}

sub predicate
{
	my ($p, $column) = @_;
	$column //= 'k';
	my $k = rnd(1, 100);
	return simple_predicate($p, $column) if $k <= 78;
	return '(' . simple_predicate($p, $column) . ' OR ' . simple_predicate($p, pick('k', 'j')) . ')' if $k <= 86;
	return '(' . simple_predicate($p, 'k') . ') AND (' . simple_predicate($p, 'j') . ')' if $k <= 92;
	return "$p->{expression} " . pick('=', '<', '>=') . ' (SELECT ' . $p->{expression} . ' FROM T WHERE id >= ' . rnd(1, $p->{last}) . " ORDER BY id, $p->{expression} LIMIT 1)" if $k <= 96;
	return simple_predicate($p, $column) . ' AND ' . pick('id % 3 = 0', 'k IS NOT NULL', 'j IS NULL');
}

# ---- changes ----

sub changed_rows
{
	my ($p) = @_;
	my $a = rnd(1, $p->{last});
	my $b = $a + pick(0, 0, 3, 30, 300);
	return chance(60) ? "id BETWEEN $a AND $b" : '(' . predicate($p, pick('k', 'j')) . ') AND id % ' . rnd(1, 12) . ' = 0';
}

sub dml
{
	my ($p) = @_;
	my $k = rnd(1, 100);
	if ($k <= 30)
	{
		my $from = $p->{last} + 1;
		my $to = $p->{last} = $p->{last} + pick(0, 1, 10, 100, 500);
		return rows_sql($p, $from, $to);
	}
	if ($k <= 36)
	{
		my $a = rnd(1, $p->{last});
		return rows_sql($p, $a, $a + pick(0, 3, 40));
	}
	if ($k <= 42)
	{
		my $a = rnd(1, $p->{last});
		(my $insert = rows_sql($p, $a, $a + pick(0, 3, 40))) =~ s/SELECT g::int/SELECT DISTINCT ON (4) g::int/;
		return "$insert ORDER BY 4, 1 ON CONFLICT DO NOTHING";
	}
	if ($k <= 46 && grep { $_->{kind} eq 'unique' } @{ $p->{indexes} })
	{
		my $a = rnd(1, $p->{last});
		(my $insert = rows_sql($p, $a, $a + pick(0, 3, 40))) =~ s/SELECT g::int/SELECT DISTINCT ON (4) g::int/;
		return "$insert ORDER BY 4, 1 ON CONFLICT (u) DO UPDATE SET k = excluded.k, pad = 'upserted'";
	}
	if ($k <= 66)
	{
		my $column = pick('k', 'k', 'j');
		my ($type, $distribution) = $column eq 'k' ? ($p->{type}, $p->{distribution}) : ($p->{jtype}, $p->{jdistribution});
		(my $e = value($type, $distribution, $p->{nulls})) =~ s/\bg\b/id::bigint/g;
		return "UPDATE T SET $column = $e WHERE " . changed_rows($p);
	}
	return "UPDATE T SET pad = pad || 'y' WHERE " . changed_rows($p) if $k <= 72;
	return 'UPDATE T SET u = u + ' . pick(1, 1000000007) . ' WHERE ' . changed_rows($p) if $k <= 76;
	return 'DELETE FROM T WHERE ' . changed_rows($p) if $k <= 94;
	# a whole stretch of the index, so that pages become empty
	return 'DELETE FROM T WHERE k BETWEEN ' . constant($p, 'k', $p->{type}) . ' AND ' . constant($p, 'k', $p->{type}) if $k <= 98;
	return 'DELETE FROM T WHERE id % 10 <> 0';
}

sub maintenance
{
	my ($p) = @_;
	my $k = rnd(1, 100);
	my $i = @{ $p->{indexes} } ? pick(@{ $p->{indexes} })->{name} : undef;
	return 'VACUUM T' if $k <= 30;
	return 'VACUUM (FREEZE, INDEX_CLEANUP ON) T' if $k <= 36;
	return 'VACUUM (PARALLEL 2, INDEX_CLEANUP ON) T' if $k <= 42;
	return 'ANALYZE T' if $k <= 50;
	return 'REINDEX TABLE T' if $k <= 54;
	return 'REINDEX INDEX ' . pick('', 'CONCURRENTLY ') . "T_$i" if $k <= 60 && $i;
	return 'VACUUM FULL T' if $k <= 63;
	return "CLUSTER T USING T_$i" if $k <= 66 && $i && !grep { $_->{name} eq $i && $_->{kind} eq 'partial' } @{ $p->{indexes} };
	if ($k <= 74 && $i && @{ $p->{indexes} } > 2)
	{
		my $drop = splice(@{ $p->{indexes} }, rnd(0, $#{ $p->{indexes} }), 1);
		return 'DROP INDEX ' . pick('', 'CONCURRENTLY ') . "IF EXISTS T_$drop->{name}";
	}
	if ($k <= 92 && @{ $p->{indexes} } < 6)
	{
		my $sql = index_sql($p);
		$sql =~ s/INDEX/INDEX CONCURRENTLY/ if chance(25);
		return $sql;
	}
	if ($k <= 94) { return 'TRUNCATE T' }
	return 'ALTER INDEX IF EXISTS T_' . ($i // 'i1') . ' SET (fillfactor = ' . rnd(50, 100) . ')';
}

# what is done to the alex twin alone
sub alone
{
	my ($p) = @_;
	my $t = "a_$p->{n}";
	return "VACUUM $t" if $p->{am} eq 'heap';
	return pick("SELECT 1 FROM omendb.seal('$t', true)", "VACUUM (FREEZE) $t; SELECT 1 FROM omendb.seal('$t', true)", "SELECT 1 FROM omendb.unseal('$t')");
}

# ---- queries: [text, how to compare] ----
#	rows		a set of rows
#	exact		line by line

# the order that an index on the column could give
sub order { my ($column) = @_; return "ORDER BY $column" . pick('', '', ' DESC', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'); }

sub query
{
	my ($p) = @_;
	my $column = pick('k', 'k', 'k', 'j');
	my $type = $column eq 'k' ? $p->{type} : $p->{jtype};
	my $w = predicate($p, $column);
	my $norm = norm($type, $column);
	my $k = rnd(1, 100);
	my $limit = pick(1, 2, 10, 40);
	my $offset = pick(0, 0, 0, 5, 700);
	my $order = order($column);
	# whole rows, few of them as they are, all of them as a sum
	return [ "SELECT id, k, j, u, pad FROM T WHERE $w", 'sum' ] if $k <= 12;
	return [ "SELECT $column FROM T WHERE $w", 'sum' ] if $k <= 20;
	return [ "SELECT $norm FROM T WHERE $w $order LIMIT $limit OFFSET $offset", 'exact' ] if $k <= 36;
	return [ "SELECT md5(string_agg(coalesce(x::text, '~'), ',')), count(*) FROM (SELECT $norm AS x FROM T WHERE $w $order) s", 'exact' ] if $k <= 46;
	return [ "SELECT min($column), max($column), count($column), count(*) FROM T WHERE $w", 'exact' ] if $k <= 50 && $type ne 'bool' && $type ne '"char"' && $type !~ /float/;
	return [ "SELECT count(*), sum(id::bigint) FROM T WHERE $w", 'exact' ] if $k <= 60;
	return [ "SELECT $norm, count(*), sum(id::bigint) FROM T WHERE $w GROUP BY $column $order LIMIT 60", 'exact' ] if $k <= 64;
	return [ "SELECT DISTINCT $norm FROM T WHERE $w", 'sum' ] if $k <= 66;
	# INCLUDE columns and keys from the index alone
	return [ 'SELECT ' . pick("$column, id", "$column, pad, id", 'id, k, j', "$column, pad") . " FROM T WHERE $w", 'sum' ] if $k <= 71;
	return [ 'SELECT u FROM T WHERE u ' . pick('=', '<', '>=') . " $p->{last} - " . rnd(0, 500) . ' ORDER BY u LIMIT 50', 'exact' ] if $k <= 74;
	# merge joins mark and restore; duplicates on both sides
	my $first = rnd(1, $p->{last});
	my $part = "s.id BETWEEN $first AND " . ($first + 2000);
	return [
		"SELECT count(*), sum(s.id::bigint * t.id) FROM (SELECT k, id FROM T s WHERE $part AND id % " . rnd(5, 20) . " = 0) s JOIN T t ON s.k = t.k WHERE t.id % " . rnd(15, 30) . ' = 1',
		'exact', 'merge' ] if $k <= 79;
	return [ "SELECT count(*), sum(t.id::bigint) FROM T s JOIN T t ON t.k = s.k WHERE s.id BETWEEN $first AND $first + 20", 'exact', 'loop' ] if $k <= 83;
	if ($k <= 86)
	{
		return [
			"SELECT s.id, n FROM T s, LATERAL (SELECT " . norm($p->{type}, 't.k') . " AS n FROM T t WHERE t.k " . pick('<', '>=', '=', '>', '<=') . " s.k ORDER BY t.k" . pick('', ' DESC') . " LIMIT 3) l WHERE s.id BETWEEN $first AND $first + 12",
			'rows', 'loop' ];
	}
	return [ "SELECT count(*) FROM T s WHERE $part AND id % 17 = 0 AND " . pick('', 'NOT ') . "EXISTS (SELECT FROM T t WHERE t.k = s.j AND t.id <> s.id)", 'exact', 'loop' ] if $k <= 88 && $p->{type} eq $p->{jtype};
	return [ "SELECT count(*), sum(id::bigint) FROM T WHERE ($w) AND (" . predicate($p, 'j') . ')', 'exact', 'bitmap' ] if $k <= 91;
	# cursors that turn round
	my $moves = join("\n", map {
			my $n = pick(1, 1, 2, 5, 60, 400);
			'FETCH ' . pick("FORWARD $n", "FORWARD $n", "BACKWARD $n", "ABSOLUTE $n", "RELATIVE " . pick(1, 3, -2), 'FIRST', 'LAST', 'NEXT', 'PRIOR', 'FORWARD ALL', 'BACKWARD ALL') . ' FROM c;'
		} 1 .. rnd(3, 9));
	return [ "BEGIN;\nDECLARE c SCROLL CURSOR FOR SELECT $norm FROM T WHERE $w $order;\n$moves\nCOMMIT", 'exact' ];
}

my %planner = (
	index => ['enable_seqscan = off', 'enable_bitmapscan = off', 'enable_indexonlyscan = off', 'enable_sort = off'],
	indexonly => ['enable_seqscan = off', 'enable_bitmapscan = off', 'enable_sort = off'],
	bitmap => [ 'enable_seqscan = off', 'enable_indexscan = off', 'enable_indexonlyscan = off' ],
	parallel => [
		'enable_seqscan = off', 'enable_bitmapscan = off', 'min_parallel_index_scan_size = 0',
		'parallel_setup_cost = 0', 'parallel_tuple_cost = 0', 'max_parallel_workers_per_gather = 2', 'force_parallel_mode = off' ],
	merge => [ 'enable_seqscan = off', 'enable_bitmapscan = off', 'enable_hashjoin = off', 'enable_nestloop = off', 'enable_sort = off', 'enable_material = off', 'enable_memoize = off' ],
	loop => [ 'enable_seqscan = off', 'enable_bitmapscan = off', 'enable_hashjoin = off', 'enable_mergejoin = off', 'enable_memoize = off' ],
	default => []);

sub for_twin
{
	my ($sql, $p, $side) = @_;
	my $iam = $side eq 'b' ? 'btree' : 'alex';
	$sql =~ s/\bT_(\w+)/${side}_$p->{n}_$1/g;
	$sql =~ s/\bT\b/${side}_$p->{n}/g;
	$sql =~ s/\bIAM\b/$iam/g;
	return $sql;
}

# ---- a batch: a psql script, tagged so that outputs can be told apart ----

my ($queries, $changes, $batch, $tag) = (0, 0, 0, 0);
my (%sql_of, %how_of, %nodes);

sub both
{
	my ($p, $sql, $how) = @_;
	my $n = ++$tag;
	$sql_of{$n} = for_twin($sql, $p, 'a');
	$how_of{$n} = $how // 'exact';
	return "\\echo \@\@ $n b\n" . for_twin($sql, $p, 'b') . ";\n\\echo \@\@ $n a\n" . for_twin($sql, $p, 'a') . ";\n\\echo \@\@ 0 x\n";
}

# the rows of a query as a few numbers, and the first of them
sub summed
{
	my ($sql) = @_;
	return "SELECT count(*), sum(hashtextextended(s::text, 0)::numeric), (array_agg(s::text ORDER BY s::text COLLATE \"C\"))[1:4] FROM ($sql) s";
}

sub contents { my ($p) = @_; return "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM T t"; }

sub make_batch
{
	my $s = "\\set VERBOSITY terse\n\\pset null ~\nSET extra_float_digits = 3;\nSET timezone = 'Europe/Berlin';\nSET statement_timeout = '120s';\n";
	$s .= "SET omendb.alex_directory_stale = on;\n" if chance(15);
	# builds that spill, builds by several processes
	$s .= pick("SET maintenance_work_mem = '1MB';\n", "SET maintenance_work_mem = '64MB';\n",
		"SET maintenance_work_mem = '128MB';\nSET min_parallel_table_scan_size = 0;\nSET max_parallel_maintenance_workers = 3;\n");
	if (@pairs < 2 || (@pairs < 3 && chance(30)))
	{
		my ($b, $a) = new_pair();
		my $p = $pairs[-1];
		$s .= "$b;\n$a;\n";
		# some indexes are built, some inserted into from the start
		$s .= both($p, index_sql($p)) if chance(50);
		$s .= both($p, rows_sql($p, 1, $p->{last}));
		$s .= both($p, index_sql($p)) for 1 .. rnd(2, 4);
		$s .= both($p, 'CREATE INDEX T_k ON T USING IAM (k)') if chance(70);
		$s .= both($p, 'CREATE INDEX T_j ON T USING IAM (j)') if chance(50);
		$s .= both($p, 'VACUUM ANALYZE T') if chance(70);
	}
	elsif (@pairs > 2 && chance(40) || chance(12))
	{
		my $p = splice(@pairs, rnd(0, $#pairs), 1);
		$s .= both($p, 'DROP TABLE T');
	}
	return $s unless @pairs;
	for (1 .. 24)
	{
		my $p = pick(@pairs);
		my $k = rnd(1, 100);
		if ($k <= 24)
		{
			$changes++;
			if (chance(60)) { $s .= both($p, dml($p)); next; }
			$s .= "BEGIN;\n";
			foreach (1 .. pick(1, 2, 3))
			{
				my $save = chance(25);
				$s .= "SAVEPOINT s;\n" if $save;
				$s .= both($p, "SAVEPOINT t;\n" . dml($p) . ";\nROLLBACK TO t") if chance(10);
				$s .= both($p, "SAVEPOINT t;\n" . dml($p) . ";\n\\if :ERROR\nROLLBACK TO t;\n\\endif\nRELEASE t");
				$s .= pick("ROLLBACK TO s;\n", "RELEASE s;\n") if $save;
			}
			$s .= pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n";
		}
		elsif ($k <= 33) { $changes++; $s .= both($p, maintenance($p)); }
		elsif ($k <= 37) { $s .= "\\echo \@\@ 0 m\n" . alone($p) . ";\n\\echo \@\@ 0 x\n"; }
		else
		{
			my @set = ();
			my $plan;
			my $text = '';
			# the full run asks more between two changes
			foreach (1 .. ($wanted < 20000 ? rnd(2, 5) : rnd(6, 14)))
			{
				my ($sql, $how, $needs) = @{ query($p) };
				my $with = $needs && chance(80) ? $needs : pick(qw(index index index indexonly indexonly indexonly bitmap bitmap parallel default));
				# a batch of cursors and joins is planned one by one
				$text .= "SET $_;\n" for @{ $planner{$with} };
				$sql = summed($sql) if $how eq 'sum';
				my ($explain) = $sql =~ /((?:SELECT).*?)(?:;\n|$)/s;
				$text .= "\\echo \@\@ 0 e\nEXPLAIN (costs off) " . for_twin($explain, $p, 'a') . ";\n\\echo \@\@ 0 x\n" if chance($wanted <= 2000 ? 60 : 10);
				$text .= both($p, $sql, $how eq 'rows' ? 'rows' : 'exact');
				$text .= join('', map { /^(\w+)/; "RESET $1;\n" } @{ $planner{$with} });
				$queries++;
			}
			$s .= $text;
		}
	}
	$s .= both($_, contents($_)) for @pairs;
	$s .= "\\echo \@\@ 0 m\nSELECT omendb.alex_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam JOIN pg_index i ON i.indexrelid = c.oid WHERE amname = 'alex' AND i.indisvalid;\n\\echo \@\@ 0 x\n";
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
	IPC::Run::run(
		[ 'psql', '-X', '-q', '-A', '-t', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-f', $file ],
		'<', \undef, '>', \$out, '2>&1');
	my ($n, $side) = (0, 'x');
	my (%got, @complaints);
	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^@@ (\d+) (\w)$/) { ($n, $side) = ($1, $2); next; }
		$line =~ s/^psql:[^:]*:\d+: //;
		push @complaints, "maintenance: $line" if $side eq 'm' && $line =~ /ERROR|FATAL|PANIC|WARNING/;
		push @complaints, $line if $line =~ /server closed|terminating|connection.*lost|XX00|corrupt/;
		if ($side eq 'e')
		{
			$nodes{$1}++ if $line =~ /((?:Index Only|Index|Bitmap Index) Scan(?: Backward)?) (?:using|on) a_/;
			$nodes{$1}++ if $line =~ /(Parallel Index (?:Only )?Scan|Merge Join|Bitmap(?:Or|And)|Incremental Sort)/;
		}
		# names of the twins in messages
		$line =~ s/\b[ab]_(\d+)/T_$1/g;
		push @{ $got{$n}{$side} }, $line if $side =~ /[ab]/;
	}
	foreach my $n (sort { $a <=> $b } keys %got)
	{
		my @b = @{ $got{$n}{b} // [] };
		my @a = @{ $got{$n}{a} // [] };
		if ($how_of{$n} eq 'rows') { @a = sort @a; @b = sort @b; }
		my $b = join("\n", @b);
		my $a = join("\n", @a);
		diag("$sql_of{$n}\n$b") if $verbose && $b =~ /ERROR/;
		next if $a eq $b;
		push @complaints, "statement $n: $sql_of{$n}\n--- btree\n" . substr($b, 0, 1000) . "\n--- alex\n" . substr($a, 0, 1000);
	}
	return @complaints;
}

$ENV{PGOPTIONS} = '-c search_path=public';
$node->safe_psql('postgres', q{CREATE FUNCTION pad_int(text) RETURNS int4 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT hashtext($1) % 50'});
while ($queries < $wanted)
{
	$batch++;
	my ($first_q, $first_c) = ($queries, $changes);
	%sql_of = ();
	%how_of = ();
	my $script = make_batch();
	my @complaints = run_batch($script);
	ok(!@complaints, "batch $batch, seed $seed: " . ($queries - $first_q) . ' queries, ' . ($changes - $first_c) . ' changes');
	if (@complaints)
	{
		diag($_) for @complaints[0 .. ($#complaints > 4 ? 4 : $#complaints)];
		my $keep = "$PostgreSQL::Test::Utils::log_path/failed-batch-$batch.sql";
		append_to_file($keep, $script);
		diag("the script is $keep");
		last;
	}
	if ($batch % 12 == 6 && @directory_sizes > 1)
	{
		push @directory_sizes, shift @directory_sizes;
		$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.alex_directory_size = $directory_sizes[0]");
		# unlogged tables are empty after a crash, in both twins
		chance(50) ? $node->restart : kill_server($node);
		$node->start if !defined $node->{_pid};
	}
}
note("$queries queries and $changes changes in $batch batches");
note(join(', ', map { "$_: $nodes{$_}" } sort keys %nodes));
if (Test::More->builder->is_passing)
{
	cmp_ok($queries, '>=', $wanted, "$queries queries gave the same on btree and on alex");
	# what is rare in a short run also depends on when autovacuum came
	my @expected = $wanted < 1000 ? () :
	  ('Index Scan', 'Index Only Scan', 'Index Scan Backward', 'Index Only Scan Backward',
		'Parallel Index Only Scan', 'Bitmap Index Scan', 'BitmapOr', 'Merge Join');
	push @expected, 'Parallel Index Scan', 'BitmapAnd' if $wanted >= 10000;
	cmp_ok($nodes{$_} // 0, '>', 0, "there were plans with $_") foreach @expected;
}
crash_free($node, 'the log');
$node->stop;

done_testing();
