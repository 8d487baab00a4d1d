# Random tables, their changes, and queries on them, for queries.pl.
#
# A query is a hash:
#   sql       text, with literals still marked (see lit() and render())
#   ordered   its rows come in one possible order, which is compared too
#   order_sensitive   its result depends on the order in which rows are read (a
#             sum of floats, LIMIT without ORDER BY, which of -0 and 0 stands for
#             a group): plans that read them otherwise are switched off

package VectorQueries;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(pick rnd chance new_table table_change uncommitted_change
  random_query render writer_script);

sub pick { return $_[ int(rand(@_)) ]; }
sub rnd { my ($a, $b) = @_; return $a + int(rand($b - $a + 1)); }
sub chance { my ($percent) = @_; return rand(100) < $percent; }

# ---- types ----------------------------------------------------------------

# Each type: sql (its name), gen (an expression of g for stored values), lits
# (texts of constants).  exact: equal values are the same in every bit, so that
# it does not matter which of them is shown, and in which order they are added.
sub h { my ($k) = @_; my $s = rnd(1, 1_000_000); return "(abs(hashint8(g * 7919 + $s)::bigint) % $k)"; }

# few values, many, ascending, long runs, or one
sub spread
{
	my ($few, $many) = @_;
	return pick(h($few), h($few), h($many), h($many), "(g % $many)", "(g / 37)", rnd(0, 9));
}

my %types = (
	int2 => { exact => 1, class => 'int',
		gen => sub { return pick('(' . spread(7, 3000) . ')::int2', "((g * 31) % 65536 - 32768)::int2") },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 3000), 32767, -32768, 0) } },
	int4 => { exact => 1, class => 'int',
		gen => sub { return pick('(' . spread(9, 1_000_000) . ')::int4', '(' . h(2000) . ' - 1000)::int4', 'CASE WHEN ' . h(50) . ' = 0 THEN 2147483647 ELSE ' . h(20) . ' END::int4') },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 1000), rnd(0, 1_000_000), 2147483647, -2147483648, 0) } },
	int8 => { exact => 1, class => 'int',
		gen => sub { return pick('(' . spread(5, 100_000) . ')::int8', '(' . h(1_000_000) . ' * 10000000019)', 'CASE WHEN ' . h(60) . ' = 0 THEN 9223372036854775807 ELSE ' . h(300) . ' END::int8', '(' . h(1000) . " * 4611686018427388 - 2305843009213693952)") },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 100_000), '5000000000', '9223372036854775807', '-9223372036854775808', 0, rnd(1, 1000) . '0000000190') } },
	float4 => { class => 'float',
		gen => sub { return pick('(' . spread(10, 1000) . ')::float4 / 4', h(1000) . '::float4 / 7', float_special('float4')) },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 1000) . '.25', '0.1', 'NaN', 'Infinity', '-Infinity', '-0', '3e38') } },
	float8 => { class => 'float',
		gen => sub { return pick(spread(10, 100_000) . '::float8 / 8', h(1000) . '::float8 / 3', h(1000) . "::float8 * 1e30", float_special('float8')) },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 1000) . '.125', '0.1', 'NaN', 'Infinity', '-Infinity', '-0', '1e308', '1e-310', '3.3333333333333335') } },
	# chunks have its values as integers, not as images of floats
	'vq.dfloat' => { class => 'float',
		gen => sub { return pick('(' . rnd(100, 900) . ' - g)::float8 / 4', '(' . rnd(100, 900) . ' - g)::float8 / 4', float_special('float8')) },
		lits => sub { return pick(rnd(-130, 130), rnd(-100, 100) . '.25', '0', '-0', 'NaN', '-Infinity') } },
	numeric => { class => 'numeric',
		gen => sub { return pick('(' . h(100000) . ' / 7.0)', '(' . spread(9, 100) . ')::numeric', h(1000) . '::numeric(12,4)',
			'CASE ' . h(12) . " WHEN 0 THEN 'NaN' WHEN 1 THEN 1e30 WHEN 2 THEN 1.00 WHEN 3 THEN 1.0 WHEN 4 THEN 1e-20 WHEN 5 THEN -0.000 ELSE " . h(100) . '::numeric END',
			'CASE ' . h(40) . " WHEN 0 THEN 'Infinity' WHEN 1 THEN '-Infinity' ELSE " . h(1000) . "::numeric / 100 END") },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 100) . '.' . rnd(0, 99), '1.00', '1.0', 'NaN', 'Infinity', '0.1428571428571429', '1e30', '9223372036854775808', '12345678901234567890.123') } },
	'numeric(15,2)' => { class => 'numeric', exact => 1,
		gen => sub { return pick('(' . spread(50, 1_000_000) . ' / 100.0)', '(' . h(20000) . ' - 10000) / 100.0', h(1000) . ' * 9999999999.17') },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 100) . '.' . rnd(10, 99), '0.055', '1e12', '9999999999999.99', rnd(0, 10000) . '.00', '0.1') } },
	'numeric(6,0)' => { class => 'numeric', exact => 1,
		gen => sub { return spread(10, 99999) },
		lits => sub { return pick(rnd(-3, 10), rnd(0, 99999), '7.5', 'NaN') } },
	'numeric(4,-2)' => { class => 'numeric', exact => 1, sql15 => 1,
		gen => sub { return h(30000) },
		lits => sub { return pick(0, rnd(0, 300) . '00', 50) } },
	text => { exact => 1, class => 'text',
		gen => sub { return pick("'v' || " . spread(10, 20), 'md5(' . h(100000) . '::text)', "repeat('ab', (" . h(60) . ')::int)', "chr((65 + " . h(26) . ")::int) || chr((945 + " . h(5) . ")::int)",
			"repeat('packed ' || " . h(6) . ", 500 + (" . h(2) . ")::int)",
			"CASE " . h(40) . " WHEN 0 THEN (SELECT string_agg(md5((g * 100 + k)::text), '') FROM generate_series(1, 90) k) ELSE '' || " . h(9) . ' END', "'http://example.org/' || " . h(300) . " || '?q=' || " . h(7)) },
		lits => sub { return pick('v' . rnd(0, 12), '', 'abab', "A\xce\xb1", 'http://example.org/7?q=1', '3', 'm', 'a') } },
	'varchar(30)' => { exact => 1, class => 'text',
		gen => sub { return "'x' || " . spread(12, 1000) },
		lits => sub { return pick('x' . rnd(0, 12), 'x5  ', 'y', '') } },
	'char(5)' => { class => 'bpchar', sql_cast => 'bpchar',
		gen => sub { return pick("'c' || " . spread(20, 100), "CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END") },
		lits => sub { return pick('c' . rnd(0, 20), 'a', 'a  ', 'b    ', '') } },
	'char(1)' => { class => 'bpchar', sql_cast => 'bpchar',
		gen => sub { return "chr((65 + " . h(4) . ")::int)" },
		lits => sub { return pick('A', 'B', 'Z', ' ') } },
	date => { exact => 1, class => 'date',
		gen => sub { return pick("date '2000-01-01' + (" . spread(30, 9000) . ')::int', "CASE " . h(30) . " WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-01 BC' ELSE date '2020-01-01' + (" . h(100) . ')::int END') },
		lits => sub { return pick('2000-01-' . rnd(10, 28), '2005-06-15', '2012-02-29', 'infinity', '-infinity', '2020-03-01') } },
	timestamp => { exact => 1, class => 'date',
		gen => sub { return pick("timestamp '2000-01-01' + " . spread(50, 900000) . " * interval '1 min'", "CASE " . h(20) . " WHEN 0 THEN 'infinity' ELSE timestamp '2020-10-25 00:00:00.5' + " . h(3000) . " * interval '71 sec' END") },
		lits => sub { return pick('2000-01-01 00:' . rnd(10, 59), '2001-01-01', 'infinity', '2020-10-25 02:30:00', '1999-12-31 23:59:59.999999') } },
	timestamptz => { exact => 1, class => 'date',
		gen => sub { return pick("timestamptz '2000-01-01 00:00+00' + " . spread(50, 900000) . " * interval '1 min'", "timestamptz '2020-10-24 22:00:00+00' + " . h(3000) . " * interval '71 sec'") },
		lits => sub { return pick('2000-01-01 00:' . rnd(10, 59) . '+00', '2001-01-01', 'infinity', '2020-10-25 02:30:00', '-infinity') } },
	bool => { exact => 1, class => 'bool',
		gen => sub { return pick(h(2) . ' = 0', h(20) . ' = 0', 'true') },
		lits => sub { return pick('t', 'f') } },
	uuid => { exact => 1, class => 'other',
		gen => sub { return 'md5(' . spread(20, 100000) . '::text)::uuid' },
		lits => sub { return pick('cfcd2084-95d5-65ef-66e7-dff9f98764da', 'c4ca4238-a0b9-2382-0dcc-509a6f75849b', '00000000-0000-0000-0000-000000000000') } },
	interval => { class => 'interval',
		gen => sub { return pick(spread(9, 1000) . " * interval '1 hour'", 'CASE WHEN ' . h(2) . " = 0 THEN interval '1 mon' ELSE interval '30 days' END", h(100) . " * interval '1 mon 3 days'") },
		lits => sub { return pick('5 hours', '1 mon', '30 days', '0', '2 years') } },
	bytea => { exact => 1, class => 'other',
		gen => sub { return "decode(md5(" . spread(20, 1000) . "::text), 'hex')" },
		lits => sub { return pick('\\xcfcd208495d565ef66e7dff9f98764da', '\\x', '\\xff') } },
	time => { exact => 1, class => 'other', rare => 1,
		gen => sub { return "time '00:00' + " . h(86400) . " * interval '1 s'" },
		lits => sub { return pick('12:00', '00:00', '23:59:59') } },
	oid => { exact => 1, class => 'other', rare => 1,
		gen => sub { return pick('(' . h(50) . ')::oid', '(4294967295 - ' . h(50) . ')::oid') },
		lits => sub { return pick(7, '4294967290', 3000000000) } },
	'int4[]' => { exact => 1, class => 'other', rare => 1,
		gen => sub { return 'ARRAY[' . h(4) . ', NULL, ' . h(3) . ']::int[]' },
		lits => sub { return pick('{1,NULL,2}', '{}', '{1}') } },
	inet => { exact => 1, class => 'other', rare => 1,
		gen => sub { return "'10.0.0.0'::inet + " . spread(5, 65000) },
		lits => sub { return pick('10.0.0.3', '10.0.0.0/8') } },
	jsonb => { class => 'other', rare => 1, plain_only => 1,
		gen => sub { return "jsonb_build_object('a', " . h(5) . ", 'b', jsonb_build_array(" . h(5) . ", 'x', null))" },
		lits => sub { return pick('{"a": 1}', '{}') } },
);
my @common = grep { !$types{$_}{rare} } sort keys %types;
my @rare = grep { $types{$_}{rare} } sort keys %types;

sub float_special
{
	my ($t) = @_;
	return 'CASE ' . h(12) . " WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' WHEN 3 THEN '-0' WHEN 4 THEN '0' ELSE " . h(30) . "::$t END::$t" if chance(50);
	return 'CASE ' . h(3) . " WHEN 0 THEN '-0' ELSE " . h(5) . "::$t END::$t";
}

# A literal: inline, or a parameter of a prepared statement (see render())
sub lit
{
	my ($type, $text) = @_;
	$text = $types{$type}{lits}->() unless defined $text;
	return "\x01" . cast_name($type) . "\x02$text\x03";
}

sub cast_name
{
	my ($type) = @_;
	return 'bpchar' if $type =~ /^char/;
	return 'varchar' if $type =~ /^varchar/;
	return 'numeric' if $type =~ /^numeric/;
	return $type;
}

sub quote { my ($s) = @_; $s =~ s/'/''/g; return "'$s'"; }

# render(sql, percent): text of the statement; so many percent of the literals
# become parameters.  Returns text, types of the parameters, their values.
sub render
{
	my ($sql, $percent) = @_;
	my (@types, @values);
	$sql =~ s{\x01([^\x02]*)\x02([^\x03]*)\x03}{
		my ($t, $v) = ($1, $2);
		my $text = $v eq "\x04" ? 'NULL' : quote($v);
		if (chance($percent)) { push @types, $t; push @values, "$text\:\:$t"; '$' . scalar(@types) }
		elsif ($t =~ /^(int4|numeric)$/ && $v =~ /^\d+(\.\d+)?$/ && length($v) < 9 && ($t eq 'numeric') == ($v =~ /\./ ? 1 : 0)) { $v }
		else { "$text\:\:$t" }
	}ge;
	return ($sql, \@types, \@values);
}

# ---- tables ---------------------------------------------------------------

my $serial = 0;

sub value
{
	my ($type) = @_;
	my $e = $types{$type}{gen}->();
	my $nulls = pick(0, 0, 0, 3, 50, 100);
	return $nulls == 0 ? $e : $nulls == 100 && chance(70) ? $e : 'CASE WHEN ' . h(100) . " >= $nulls THEN $e END";
}

sub random_type
{
	return chance(92) ? pick(@common) : pick(@rare);
}

sub has_icu { return $ENV{VECTOR_ICU}; }

sub column_def
{
	my ($c) = @_;
	my $def = "$c->{name} $c->{type}";
	$def .= " COLLATE $c->{collation}" if $c->{collation};
	return $def;
}

sub new_column
{
	my ($name) = @_;
	my $c = { name => $name, type => random_type() };
	if ($types{ $c->{type} }{class} eq 'text' && chance(12))
	{
		$c->{collation} = has_icu() && chance(70) ? 'vq.ci' : '"C"';
		$c->{nondeterministic} = 1 if $c->{collation} eq 'vq.ci';
	}
	return $c;
}

# A table and the statements that make it
sub new_table
{
	my ($rows) = @_;
	my $n = ++$serial;
	my @cols = map { new_column("c$_") } 1 .. rnd(2, 9);
	my $t = { name => "t$n", cols => \@cols, next_col => scalar(@cols) + 1, rows => $rows };
	my @sql;
	my $defs = join(', ', 'id int' . pick('', ' NOT NULL', ' PRIMARY KEY'), map { column_def($_) } @cols);
	# a column that is dropped at once moves the others' numbers
	$defs = "gone text, $defs" if chance(15);
	my $with = pick('', '', ' WITH (fillfactor = 70)');
	if (chance(12))
	{
		$t->{partitioned} = 1;
		$defs =~ s/ PRIMARY KEY//;
		push @sql, "CREATE TABLE t$n ($defs) PARTITION BY RANGE (id)";
		my $third = int($rows / 3);
		push @sql, "CREATE TABLE t${n}_a PARTITION OF t$n FOR VALUES FROM (MINVALUE) TO ($third) USING omendb";
		push @sql, "CREATE TABLE t${n}_b PARTITION OF t$n FOR VALUES FROM ($third) TO (" . 2 * $third . ') USING ' . pick('omendb', 'heap');
		push @sql, "CREATE TABLE t${n}_c PARTITION OF t$n DEFAULT USING omendb";
		$t->{parts} = [ "t${n}_a", "t${n}_c" ];
	}
	else
	{
		push @sql, "CREATE TABLE t$n ($defs) USING omendb$with";
		$t->{parts} = ["t$n"];
		if (chance(8))
		{
			$t->{inherited} = 1;
			push @sql, "CREATE TABLE t${n}_i (extra int) INHERITS (t$n) USING omendb";
			push @{ $t->{parts} }, "t${n}_i";
		}
	}
	push @sql, "ALTER TABLE t$n DROP COLUMN gone" if $defs =~ /^gone/;
	push @sql, "INSERT INTO t$n (" . list($t) . ') SELECT ' . exprs($t) . " FROM generate_series(1, $rows) g" . (chance(30) ? ' ORDER BY ' . h(1000) : '');
	push @sql, "INSERT INTO t${n}_i (" . list($t) . ') SELECT ' . exprs($t) . ' FROM generate_series(' . ($rows + 1) . ', ' . ($rows + 1 + int($rows / 5)) . ') g' if $t->{inherited};
	if (chance(20) && !$t->{partitioned})
	{
		my @can = grep { $types{ $_->{type} }{class} =~ /^(int|date)$/ } @cols;
		push @sql, "CREATE INDEX ON t$n (" . pick(@can)->{name} . ')' if @can;
	}
	push @sql, "ANALYZE t$n" if chance(80);
	push @sql, seal_some($t) unless chance(8);
	return ($t, @sql);
}

sub list { my ($t) = @_; return join(', ', 'id', map { $_->{name} } @{ $t->{cols} }); }
sub exprs { my ($t) = @_; return join(', ', 'g::int', map { value($_->{type}) } @{ $t->{cols} }); }

sub seal_some
{
	my ($t) = @_;
	return map {; "VACUUM (FREEZE) $_", "SELECT 1 FROM omendb.seal('$_', " . pick('true', 'true', 'false') . ')' } @{ $t->{parts} };
}

# What UPDATE sets, of one or two columns
sub assignments
{
	my ($t) = @_;
	my @c = @{ $t->{cols} };
	return 'id = id' unless @c;
	my %set;
	foreach (1 .. rnd(1, 2))
	{
		my $c = pick(@c);
		my $e = value($c->{type});
		$e =~ s/\bg\b/t.id/g;
		$set{ $c->{name} } = chance(12) ? 'NULL' : $e;
	}
	return join(', ', map { "$_ = $set{$_}" } sort keys %set);
}

# Rows that a change is to touch
sub some_rows
{
	my ($t) = @_;
	my $a = rnd(1, $t->{rows});
	return pick("id % " . rnd(2, 150) . ' = ' . rnd(0, 1), "id BETWEEN $a AND " . ($a + rnd(0, 400)), "id = $a", "id IN ($a, " . rnd(1, $t->{rows}) . ', ' . rnd(1, $t->{rows}) . ')', 'id % 100 = 7');
}

sub change
{
	my ($t) = @_;
	my $k = rnd(1, 100);
	return "UPDATE $t->{name} t SET " . assignments($t) . ' WHERE ' . some_rows($t) if $k <= 60;
	return "DELETE FROM $t->{name} t WHERE " . some_rows($t) if $k <= 75;
	my $from = $t->{rows} + 1;
	my $to = $from + rnd(0, 200);
	$t->{rows} = $to;
	return "INSERT INTO $t->{name} (" . list($t) . ') SELECT ' . exprs($t) . " FROM generate_series($from, $to) g";
}

# table_change(table): statements that change or maintain it
sub table_change
{
	my ($t) = @_;
	my $k = rnd(1, 100);
	my $name = $t->{name};
	return (change($t)) if $k <= 40;
	return (change($t), seal_some($t)) if $k <= 52;
	return seal_some($t) if $k <= 66;
	return map {; "SELECT 1 FROM omendb.unseal('$_')" } pick(@{ $t->{parts} }) if $k <= 69;
	return ('BEGIN', change($t), 'ROLLBACK') if $k <= 73;
	return ("ANALYZE $name") if $k <= 77;
	return ("VACUUM $name") if $k <= 80;
	if ($k <= 91)
	{
		my $c = new_column('c' . $t->{next_col}++);
		push @{ $t->{cols} }, $c;
		my $default = $types{ $c->{type} }{gen}->();
		$default =~ s/\bg\b/17/g;
		# DEFAULT without a sub-select; one that is constant is not written to rows
		$default = quote($types{ $c->{type} }{lits}->()) . '::' . cast_name($c->{type}) if $default =~ /SELECT/ || chance(50);
		my @sql = ("ALTER TABLE $name ADD COLUMN " . column_def($c) . (chance(75) ? " DEFAULT $default" : ''));
		push @sql, "ALTER TABLE $name ALTER $c->{name} DROP DEFAULT" if chance(30);
		push @sql, change($t) if chance(50);
		return @sql;
	}
	if ($k <= 95 && @{ $t->{cols} } > 2)
	{
		my $c = splice(@{ $t->{cols} }, rnd(0, $#{ $t->{cols} }), 1);
		return ("ALTER TABLE $name DROP COLUMN $c->{name}");
	}
	return ('SELECT omendb.cache_reset()') if $k <= 98;
	return ("UPDATE $name t SET " . assignments($t));
}

# A change for a transaction that will be rolled back
sub uncommitted_change
{
	my ($t) = @_;
	# (ids are not used again: the transaction may insert twice)
	return change($t);
}

# writer_script(tables): for pgbench, changes of random rows all the time
sub writer_script
{
	my (@tables) = @_;
	my $s = "\\set k random(1, 100)\n";
	my $n = 0;
	my $share = int(90 / (@tables * 3)) || 1;
	foreach my $t (@tables)
	{
		my $rows = $t->{rows};
		foreach my $i (1 .. 3)
		{
			my $low = $n * $share;
			my $high = $low + $share;
			$s .= "\\set id random(1, $rows)\n" if $i == 1;
			$s .= ($n == 0 ? '\\if' : '\\elif') . " :k <= $high\n";
			(my $set = assignments($t)) =~ s/\bt\.id\b/:id/g;
			$s .= $i == 1 ? "UPDATE $t->{name} t SET $set WHERE id BETWEEN :id AND :id + 3;\n"
			  : $i == 2 ? "DELETE FROM $t->{name} WHERE id = :id;\n"
			  : "UPDATE $t->{name} t SET $set WHERE id % 997 = :id % 997;\n";
			$n++;
		}
	}
	my $seals = join('', map {; "SELECT 1 FROM omendb.seal('$_', true);\n" } map { @{ $_->{parts} } } @tables);
	$s .= "\\else\n$seals\\endif\n\\sleep 3 ms\n";
	return $s;
}

# ---- expressions ----------------------------------------------------------

# The relation that expressions are about: alias and columns
sub cols_of
{
	my ($r, $want) = @_;
	return grep { $want->($_) } @{ $r->{cols} };
}

sub col { my ($r, $c) = @_; return $r->{alias} ? "$r->{alias}.$c->{name}" : $c->{name}; }

sub class_of { my ($c) = @_; return $types{ $c->{type} }{class}; }

sub some_col
{
	my ($r, $class) = @_;
	my @c = cols_of($r, sub { class_of($_[0]) =~ /^(?:$class)$/ });
	return @c ? pick(@c) : undef;
}

# num(relation, depth): a numeric expression; returns text and a rough class
sub num
{
	my ($r, $depth) = @_;
	my $c = some_col($r, 'int|float|numeric');
	return (lit('int4'), 'int') unless $c;
	my $class = class_of($c);
	my $x = col($r, $c);
	return ($x, $class) if $depth <= 0 || chance(35);
	my $k = rnd(1, 100);
	if ($k <= 45)
	{
		my $op = pick('+', '-', '*', '*', '+');
		my ($y, $other);
		if (chance(50)) { ($y, $other) = num($r, $depth - 1); }
		else
		{
			my $t = chance(60) ? $c->{type} : pick(qw(int2 int4 int8 numeric float8 float4));
			($y, $other) = (lit($t), $types{$t}{class});
		}
		($x, $y) = ($y, $x) if chance(30);
		return ("($x $op $y)", $class eq 'float' || $other eq 'float' ? 'float' : $class eq 'numeric' || $other eq 'numeric' ? 'numeric' : 'int');
	}
	return ("($x / " . lit(pick($c->{type}, 'int4', 'numeric'), pick(2, 3, 7, 10, 0)) . ')', $class eq 'int' ? 'numeric' : $class) if $k <= 54;
	return ("($x % " . lit($class eq 'float' ? 'int4' : $c->{type}, pick(2, 3, 7)) . ')', 'int') if $k <= 59 && $class eq 'int';
	return ('CASE WHEN ' . pred($r, $depth - 1) . " THEN $x ELSE " . (chance(60) ? lit($c->{type}) : $x . ' + ' . lit('int4', 1)) . ' END', $class) if $k <= 70;
	return ("COALESCE($x, " . lit($c->{type}) . ')', $class) if $k <= 77;
	return ("NULLIF($x, " . lit($c->{type}) . ')', $class) if $k <= 80;
	return ("$x\:\:" . pick('int8', 'float8', 'numeric', 'numeric(10,1)', 'float4', 'int4', 'int2'), 'float') if $k <= 88;
	return ("abs($x)", $class) if $k <= 92;
	return ("-$x", $class) if $k <= 95;
	return ("GREATEST($x, " . lit($c->{type}) . ')', $class) if $k <= 97;
	return ('round((' . $x . ')::numeric, 1)', 'numeric');
}

# any(relation, depth): an expression of some type; returns text, exact?, class
sub any
{
	my ($r, $depth) = @_;
	my $c = pick(@{ $r->{cols} }, { name => 'id', type => 'int4' });
	my $x = col($r, $c);
	my $class = class_of($c);
	my $exact = $types{ $c->{type} }{exact} && !$c->{nondeterministic} ? 1 : 0;
	return ($x, $exact, $class) if $depth <= 0 || chance(55);
	if ($class =~ /^(int|float|numeric)$/)
	{
		my ($n, $cl) = num($r, $depth);
		return ($n, $cl eq 'int' ? 1 : 0, $cl);
	}
	if ($class eq 'date')
	{
		my $k = rnd(1, 100);
		my $ts = $c->{type} eq 'timestamptz' ? $x : "$x";
		return ("date_trunc('" . pick(qw(minute hour day week month quarter year)) . "', $ts)", 1, 'date') if $k <= 40;
		return ("extract(" . pick(qw(year month day dow doy epoch)) . " FROM $x)", 0, 'numeric') if $k <= 65;
		return ("date_part('" . pick(qw(year month day epoch)) . "', $x)", 0, 'float') if $k <= 75;
		return ("$x\:\:" . pick(qw(date timestamp timestamptz)), 1, 'date') if $k <= 85;
		return ("$x + interval '1 day'", 1, 'date') if $k <= 92;
		return ("to_char($x, 'YYYY-MM')", 1, 'text');
	}
	if ($class eq 'text')
	{
		my $k = rnd(1, 100);
		return ($x, $exact, $class) if $c->{nondeterministic};
		return ("length($x)", 1, 'int') if $k <= 30;
		return (pick('upper', 'lower', 'md5') . "($x)", 1, 'text') if $k <= 50;
		return ("substr($x, 1, " . rnd(1, 4) . ')', 1, 'text') if $k <= 70;
		return ("$x || " . lit('text', '-x'), 1, 'text') if $k <= 80;
		return ("COALESCE($x, " . lit('text', 'none') . ')', 1, 'text') if $k <= 90;
		return ("CASE WHEN " . pred($r, $depth - 1) . " THEN $x ELSE 'else' END", 1, 'text');
	}
	return (pred($r, $depth - 1), 1, 'bool') if chance(15);
	return ("COALESCE($x, " . lit($c->{type}) . ')', $exact, $class) if chance(30);
	return ("($x IS NULL)", 1, 'bool') if chance(20);
	return ($x, $exact, $class);
}

# ---- conditions -----------------------------------------------------------

my @cmp = ('=', '<', '>', '<=', '>=', '<>');

# Other types that a column may be compared with
my %wider = (
	int2 => [qw(int4 int8 int4 int8 numeric float8)],
	int4 => [qw(int2 int8 int8 numeric float8)],
	int8 => [qw(int2 int4 int4 numeric float8)],
	float4 => [qw(float8 float8 int4 numeric)],
	float8 => [qw(float4 int8 int4 numeric)],
	'vq.dfloat' => [qw(float8 float8 int4 numeric)],
	numeric => [qw(int4 int8 float8)],
	'numeric(15,2)' => [qw(int4 numeric numeric float8)],
	'numeric(6,0)' => [qw(int4 int8 numeric float8)],
	date => [qw(timestamp timestamptz)],
	timestamp => [qw(date timestamptz)],
	timestamptz => [qw(date timestamp)],
	'varchar(30)' => ['text'],
	'char(5)' => ['text'],
	'char(1)' => ['text'],
	text => ['varchar(30)']);

sub lit_list
{
	my ($type, $n) = @_;
	return join(', ', map { chance(12) ? 'NULL' : lit($type) } 1 .. $n);
}

sub array_text
{
	my ($type, $n) = @_;
	my @v = map { chance(15) ? 'NULL' : '"' . $types{$type}{lits}->() . '"' } 1 .. $n;
	s/\\/\\\\/g for @v;
	return '{' . join(',', @v) . '}';
}

sub atom
{
	my ($r, $depth) = @_;
	my $c = chance(12) || !@{ $r->{cols} } ? { name => 'id', type => 'int4' } : pick(@{ $r->{cols} });
	my $x = col($r, $c);
	my $class = class_of($c);
	my $t = $c->{type};
	my $k = rnd(1, 100);
	if ($t eq 'jsonb')
	{
		return pick("$x ->> 'a' = '" . rnd(0, 5) . "'", "$x IS NULL", "$x \@> '{\"a\": 1}'");
	}
	return pick($x, "NOT $x", "$x IS TRUE", "$x IS NOT TRUE", "$x IS FALSE", "$x IS NOT FALSE", "$x IS UNKNOWN", "$x = true", "$x <> " . lit('bool')) if $class eq 'bool' && chance(60);
	return "$x " . pick(@cmp) . ' ' . lit($t) if $k <= 27;
	if ($k <= 36 && $wider{$t})
	{
		my $o = pick(@{ $wider{$t} });
		my ($a, $b) = ($x, chance(25) && $o eq 'int8' ? lit($o, pick(70000, -70000, 5000000000)) : lit($o));
		($a, $b) = ($b, $a) if chance(25);
		return "$a " . pick(@cmp) . " $b";
	}
	return "$x " . pick('', '', 'NOT ') . 'BETWEEN ' . pick('', '', 'SYMMETRIC ') . lit($t) . ' AND ' . lit($t) if $k <= 44;
	return "$x " . pick('', '', 'NOT ') . 'IN (' . lit_list($t, rnd(1, 6)) . ')' if $k <= 53;
	if ($k <= 58 && $t !~ /\[\]/)
	{
		my $any = "$x " . pick('= ANY', '= ANY', '<> ALL', '> ANY', '<= ALL') . ' (';
		my $ct = cast_name($t);
		return $any . "\x01${ct}[]\x02" . (chance(6) ? "\x04" : array_text($t, rnd(0, 12))) . "\x03)";
	}
	return "$x IS " . pick('', 'NOT ') . 'NULL' if $k <= 66;
	return "$x IS " . pick('', 'NOT ') . 'DISTINCT FROM ' . (chance(20) ? 'NULL' : lit($t)) if $k <= 69;
	# (an error under a nondeterministic collation, and only for rows that other
	# conditions leave: see random_query())
	if ($k <= 77 && ($class eq 'text' || $class eq 'bpchar') && !$c->{nondeterministic})
	{
		return "$x " . pick('LIKE', 'LIKE', 'NOT LIKE', 'ILIKE') . ' ' . lit('text', pick('v%', '%1%', 'x_', '%a', '', '%', 'c1%', 'A%', 'http://%q=3', 'v1\\%', '%example%7%', 'ab%')) if chance(80);
		return "$x ~ " . lit('text', pick('^v[0-3]', '5$', 'a.b'));
	}
	if ($k <= 84)
	{
		my $o = some_col($r, $class eq 'bpchar' ? 'text|bpchar' : $class =~ /^(int|float|numeric)$/ ? 'int|float|numeric' : $class);
		# (two collations are in conflict, which is an error as above)
		my $conflict = $o && $o->{collation} && $c->{collation} && $o->{collation} ne $c->{collation};
		return "$x " . pick(@cmp) . ' ' . col($r, $o) if $o && !$conflict && ($class ne 'other' || $o->{type} eq $t);
		return "$x IS NOT NULL";
	}
	if ($k <= 93)
	{
		my ($n, $cl) = num($r, $depth);
		return "$n " . pick(@cmp) . ' ' . lit(pick(qw(int4 int8 numeric float8 int2)));
	}
	if ($k <= 96)
	{
		my $i = some_col($r, 'int');
		my $y = $i ? col($r, $i) : ($r->{alias} ? "$r->{alias}.id" : 'id');
		return pick("10 / $y > 1", "($y <> 0 AND 10 / $y > 1)", "CASE WHEN $y <> 0 THEN 10 / $y > 1 ELSE false END", "$y\:\:int2 > 5");
	}
	my ($e, undef, $cl) = any($r, $depth);
	return "($e) IS " . pick('', 'NOT ') . 'NULL';
}

sub pred
{
	my ($r, $depth) = @_;
	return atom($r, $depth) if $depth <= 0 || chance(45);
	my $k = rnd(1, 100);
	return '(' . join(' AND ', map { pred($r, $depth - 1) } 1 .. rnd(2, 3)) . ')' if $k <= 45;
	return '(' . join(' OR ', map { pred($r, $depth - 1) } 1 .. rnd(2, 3)) . ')' if $k <= 80;
	return 'NOT (' . pred($r, $depth - 1) . ')' if $k <= 92;
	return 'COALESCE(' . pred($r, $depth - 1) . ', ' . pick('true', 'false') . ')' if $k <= 96;
	return '(' . pred($r, $depth - 1) . ') IS ' . pick('TRUE', 'NOT TRUE', 'UNKNOWN');
}

# A condition with a sub-select on some other table
sub sub_pred
{
	my ($r, $o) = @_;
	my $inner = { alias => 'i', cols => $o->{cols} };
	my $c = some_col($r, 'int') // { name => 'id', type => 'int4' };
	my $i = some_col($inner, 'int') // { name => 'id', type => 'int4' };
	my $x = col($r, $c);
	my $y = col($inner, $i);
	my $from = "FROM $o->{name} i WHERE " . pred($inner, 1);
	return pick(
		"$x " . pick(@cmp) . " (SELECT " . pick('min', 'max', 'avg') . "($y) $from)",
		"$x IN (SELECT $y $from)",
		"$x NOT IN (SELECT $y $from AND i.id < 100)",
		"EXISTS (SELECT $from AND $y = $x)",
		"NOT EXISTS (SELECT $from AND $y = $x)",
		($r->{alias} ? "$r->{alias}." : '') . "id % 97 = 1 AND $x = (SELECT count(*) FROM $o->{name} i WHERE i.id = " . ($r->{alias} ? "$r->{alias}.id" : "$r->{name}.id") . ')',
		"(SELECT count(*) $from) > " . lit('int8', rnd(0, 500)));
}

# ---- aggregates -----------------------------------------------------------

# aggregate(relation, exact only): text, and whether it is exact in any order
sub aggregate
{
	my ($r, $exact) = @_;
	my $k = rnd(1, 100);
	my ($agg, $is_exact) = ('count(*)', 1);
	if ($k <= 12) { }
	elsif ($k <= 22) { my ($e) = any($r, 1); $agg = "count($e)"; }
	elsif ($k <= 29)
	{
		my $c = some_col($r, 'int|text|bpchar|date|numeric|float|bool') // { name => 'id', type => 'int4' };
		$agg = 'count(DISTINCT ' . col($r, $c) . ')';
	}
	elsif ($k <= 70)
	{
		my ($e, $class) = num($r, rnd(0, 2));
		my $f = pick(qw(sum sum sum avg avg min max stddev variance stddev_pop var_pop));
		if ($exact && $class eq 'float')
		{
			my $c = some_col($r, 'int') // { name => 'id', type => 'int4' };
			($e, $class) = (col($r, $c), 'int');
		}
		$is_exact = $class eq 'int' ? 1 : 0;
		$f = pick(qw(sum avg count)) if $exact && !$is_exact;
		$is_exact = 1 if $exact;
		$agg = "$f($e)";
		$agg = "$f(DISTINCT $e)" if $is_exact && chance(4);
	}
	elsif ($k <= 85)
	{
		my $c = some_col($r, $exact ? 'int|date' : 'text|date|int|bpchar|interval|other|float|numeric') // { name => 'id', type => 'int4' };
		$c = { name => 'id', type => 'int4' } if $c->{type} =~ /^(uuid|jsonb|bytea|bool)$/ || $c->{nondeterministic};
		$agg = pick('min', 'max') . '(' . col($r, $c) . ')';
		$is_exact = $types{ $c->{type} }{exact} // 0;
	}
	elsif ($k <= 94)
	{
		$agg = pick('bool_and', 'bool_or', 'every') . '(' . pred($r, 1) . ')';
	}
	elsif ($k <= 97) { $agg = 'array_agg(' . ($r->{alias} ? "$r->{alias}.id" : 'id') . ' ORDER BY ' . ($r->{alias} ? "$r->{alias}.id" : 'id') . ')'; }
	else { $agg = 'bit_and(' . ($r->{alias} ? "$r->{alias}.id" : 'id') . ')'; }
	$agg .= ' FILTER (WHERE ' . pred($r, 1) . ')' if chance(14);
	# an aggregate inside another expression
	$agg = "($agg) + 1" if chance(5) && $agg =~ /^count/;
	$agg = "COALESCE($agg, NULL)" if chance(3);
	return ($agg, $is_exact);
}

sub where
{
	my ($r, $tables) = @_;
	my @p;
	push @p, pred($r, rnd(0, 2)) if chance(70);
	push @p, pred($r, 0) if chance(20);
	push @p, sub_pred($r, pick(@$tables)) if chance(7);
	return @p ? ' WHERE ' . join(' AND ', @p) : '';
}

# ---- queries --------------------------------------------------------------

sub group_query
{
	my ($from, $r, $tables, $exact) = @_;
	my (@keys, @out, @having, @group);
	my $is_exact = 1;
	foreach (1 .. pick(1, 1, 1, 2, 2, 3, 4))
	{
		my ($e, $ex, $class) = any($r, chance(40) ? 1 : 0);
		if ($e =~ /^\d/ || ($exact && !$ex))
		{
			$e = $r->{alias} ? "$r->{alias}.id % 10" : 'id % 10';
			$ex = 1;
		}
		push @keys, $e;
		$is_exact &&= $ex;
	}
	# (parameters: the same expression has to be the same in both places, which
	# two parameters are not)
	s/\x01([^\x02]*)\x02([^\x03]*)\x03/quote($2) . "::$1"/ge for @keys;
	foreach (1 .. rnd(0, 4))
	{
		my ($a, $ex) = aggregate($r, $exact);
		push @out, $a;
		$is_exact &&= $ex;
	}
	# for such an aggregate the row path sorts all rows by the keys, and equal ones
	# come in another order than that of the table
	@out = grep { !/DISTINCT|ORDER BY/ } @out unless $is_exact;
	my @select = @keys;
	# keys that are not in the list
	@select = grep { chance(50) } @select if chance(12);
	push @select, @out;
	push @select, 'count(*)' unless @select;
	my $sql = 'SELECT ' . join(', ', @select) . " FROM $from" . where($r, $tables) . ' GROUP BY ';
	my $k = rnd(1, 100);
	# sorts, whatever is preferred: no matter, the order among equals is the same
	$sql .= $k <= 92 ? join(', ', map { "($_)" } @keys) : $k <= 95 ? 'ROLLUP (' . join(', ', @keys) . ')' : $k <= 97 ? 'CUBE (' . join(', ', @keys[0 .. ($#keys > 2 ? 2 : $#keys)]) . ')' : 'GROUPING SETS ((' . join(', ', @keys) . "), ($keys[0]), ())";
	$sql =~ s/^SELECT .*? FROM \Q$from\E/"SELECT " . join(', ', @keys[0 .. ($#keys > 2 ? 2 : $#keys)], 'count(*)') . " FROM $from"/e if $sql =~ /GROUP BY CUBE/;
	$sql .= ' HAVING ' . pick('count(*) > ' . rnd(1, 5), 'count(*) < 3', 'max(' . ($r->{alias} ? "$r->{alias}." : '') . 'id) > 100') if chance(18);
	my $ordered = 0;
	if (chance(12) && $is_exact && $sql !~ /nondet/)
	{
		my $n = $sql =~ /GROUP BY CUBE/ ? ($#keys > 2 ? 3 : @keys) + 1 : scalar @select;
		$sql .= ' ORDER BY ' . join(', ', map { $_ . pick('', ' DESC', ' NULLS FIRST') } 1 .. $n);
		$sql .= ' LIMIT ' . rnd(1, 20) if chance(60);
		$ordered = 1;
	}
	return { sql => $sql, ordered => $ordered, order_sensitive => !$is_exact };
}

# random_query(tables)
sub random_query
{
	my ($tables) = @_;
	my $t = pick(@$tables);
	my $o = pick(@$tables);
	my $r = { name => $t->{name}, cols => $t->{cols} };
	my $k = rnd(1, 1000);
	my @simple = map { (any($r, rnd(0, 1)))[0] } 1 .. rnd(1, 4);

	if ($k <= 150)
	{
		# rows
		my $list = join(', ', @simple, chance(20) ? ('id') : ());
		$list = '*' if chance(6);
		$list = pick("$t->{name}\::text", "$t->{name}", 'ctid, id', 'tableoid::regclass, id', 'xmin IS NULL, id', "$t->{name} IS NULL", "row($simple[0], id)") if chance(6);
		return { sql => "SELECT $list FROM $t->{name}" . where($r, $tables) };
	}
	my @nondeterministic = cols_of($r, sub { $_[0]{nondeterministic} });
	if ($k <= 160 && @nondeterministic)
	{
		# nothing else may decide whether the condition is evaluated
		my $c = pick(@nondeterministic);
		my $list = pick("count(*), min(id)", "id, $c->{name}", "$c->{name}, count(*)");
		return { sql => "SELECT $list FROM $t->{name} WHERE $c->{name} " . pick("LIKE 'v%'", "NOT LIKE '%1%'", "ILIKE 'A%'", "~ '^v[0-3]'") . ($list =~ /, count/ ? " GROUP BY $c->{name}" : ''), order_sensitive => 1 };
	}
	if ($k <= 190)
	{
		return { sql => 'SELECT ' . join(', ', @simple, 'id') . " FROM $t->{name}" . where($r, $tables) . ' LIMIT ' . rnd(0, 40) . pick('', '', ' OFFSET ' . rnd(0, 300)), ordered => 1, order_sensitive => 1 };
	}
	if ($k <= 260)
	{
		my $c = pick(@{ $t->{cols} }, { name => 'id', type => 'int4' });
		$c = { name => 'id', type => 'int4' } if $c->{type} eq 'jsonb';
		my $more = chance(20) && $types{ $c->{type} }{class} ne 'bool' ? '' : '';
		return { sql => 'SELECT ' . join(', ', @simple, 'id') . " FROM $t->{name}" . where($r, $tables) . " ORDER BY $c->{name}" . pick('', ' DESC') . pick('', '', ' NULLS FIRST', ' NULLS LAST') . ", id" . (chance(85) ? ' LIMIT ' . rnd(1, 30) : '') . pick('', '', ' OFFSET ' . rnd(0, 50)),
			ordered => ($t->{inherited} ? 0 : 1), order_sensitive => $t->{inherited} ? 1 : 0 };
	}
	if ($k <= 480)
	{
		my $exact = 1;
		my @list;
		foreach (1 .. rnd(1, 5))
		{
			my ($a, $ex) = aggregate($r, 0);
			push @list, $a;
			$exact &&= $ex;
		}
		return { sql => 'SELECT ' . join(', ', @list) . " FROM $t->{name}" . where($r, $tables) . (chance(4) ? ' HAVING count(*) > 10' : ''), order_sensitive => !$exact };
	}
	return group_query($t->{name}, $r, $tables, 0) if $k <= 720;

	# what follows reads more than one table, in an order that the plan chooses
	my $a = { alias => 'a', name => $t->{name}, cols => $t->{cols} };
	my $b = { alias => 'b', name => $o->{name}, cols => $o->{cols} };
	my $both = { alias => 'a', cols => $a->{cols} };
	my $ca = some_col($a, 'int') // { name => 'id', type => 'int4' };
	my $cb = some_col($b, 'int') // { name => 'id', type => 'int4' };
	my $on = pick('a.id = b.id', 'a.id = b.id', "a.id = " . col($b, $cb), col($a, $ca) . ' = b.id');
	my $narrow = ' AND a.id % 10 = 3';
	if ($k <= 790)
	{
		my $join = pick('JOIN', 'JOIN', 'LEFT JOIN', 'FULL JOIN');
		my $pa = $join eq 'FULL JOIN' ? '' : ' AND ' . pred($a, 1);
		my $pb = $join eq 'JOIN' ? ' AND ' . pred($b, 1) : '';
		my @l = (col($a, pick(@{ $a->{cols} })), col($b, pick(@{ $b->{cols} })));
		return { sql => 'SELECT ' . join(', ', @l, 'a.id') . " FROM $t->{name} a $join $o->{name} b ON $on" . ($join eq 'JOIN' || $join eq 'LEFT JOIN' ? "$pa$pb$narrow" : '') . ' WHERE a.id < 3000' };
	}
	if ($k <= 840)
	{
		my $q = group_query("$t->{name} a JOIN $o->{name} b ON $on", $a, [$o], 1);
		$q->{order_sensitive} = 0;
		return $q;
	}
	if ($k <= 870)
	{
		# a parameter of a nested loop, and rescans
		my ($g) = aggregate($b, 1);
		my $limit = chance(30) ? ' LIMIT 1' : '';
		return { sql => "SELECT a.id, x.* FROM (SELECT * FROM $t->{name} WHERE id % 400 = " . rnd(0, 9) . ") a, LATERAL (SELECT $g FROM $o->{name} b WHERE " . col($b, $cb) . ' ' . pick('=', '<', '>') . ' ' . col($a, $ca) . ' AND ' . pred($b, 0) . "$limit) x" };
	}
	if ($k <= 885)
	{
		my $c = pick(grep { $types{ $_->{type} }{exact} && !$_->{nondeterministic} } @{ $t->{cols} }, { name => 'id', type => 'int4' });
		return { sql => "SELECT DISTINCT $c->{name} FROM $t->{name}" . where($r, $tables) };
	}
	if ($k <= 910)
	{
		my $op = pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL');
		return { sql => "SELECT $ca->{name}\::int8 FROM $t->{name} a WHERE " . pred($a, 1) . " $op SELECT $cb->{name}\::int8 FROM $o->{name} b WHERE " . pred($b, 1) };
	}
	if ($k <= 925)
	{
		return { sql => 'SELECT id, ' . pick('row_number()', 'rank()', "sum($ca->{name}\::int8)", 'count(*)') . ' OVER (' . (chance(50) ? "PARTITION BY $ca->{name} " : '') . "ORDER BY id) FROM $t->{name}" . where($r, $tables) } unless $t->{inherited};
	}
	if ($k <= 940)
	{
		my ($g, undef) = aggregate($r, 1);
		return { sql => "WITH x AS MATERIALIZED (SELECT id, $ca->{name} AS k FROM $t->{name}" . where($r, $tables) . ") SELECT count(*), sum(x.k::numeric), (SELECT $g FROM $t->{name}) FROM x JOIN $o->{name} b ON b.id = x.id" };
	}
	if ($k <= 952)
	{
		my ($g) = aggregate($a, 1);
		return { sql => "SELECT $g FROM vq.barrier_$t->{name} a WHERE " . pred($a, 1), needs_view => $t };
	}
	if ($k <= 962)
	{
		return { sql => "SELECT a.id FROM $t->{name} a WHERE " . pred($a, 1) . ' FOR ' . pick('UPDATE', 'SHARE', 'KEY SHARE'), locks => 1 };
	}
	if ($k <= 985)
	{
		# changes that read by scans; undone by queries.pl
		my $set = assignments($t);
		my $w = pred({ alias => 't', cols => $t->{cols} }, 1);
		return pick(
			{ sql => "UPDATE $t->{name} t SET $set WHERE $w RETURNING t.id", dml => 1 },
			{ sql => "DELETE FROM $t->{name} t WHERE $w RETURNING t.*", dml => 1 },
			{ sql => "UPDATE $t->{name} t SET $set FROM $o->{name} b WHERE b.id = t.id AND " . pred($b, 1) . ' RETURNING t.id', dml => 1 },
			{ sql => "DELETE FROM $t->{name} t USING (SELECT max(id) AS m FROM $o->{name}) b WHERE b.m > t.id AND $w RETURNING t.id", dml => 1 },
			{ sql => "INSERT INTO $t->{name} (id) SELECT id + 1000000 FROM $o->{name} b WHERE " . pred($b, 1) . ' RETURNING id', dml => 1 });
	}
	return { sql => "SELECT count(*), sum(s.n) FROM (SELECT count(*) AS n FROM $t->{name} a" . where($a, $tables) . ' GROUP BY ' . col($a, $ca) . ') s' } if $k <= 993;
	return { sql => "SELECT (SELECT count(*) FROM $o->{name} b WHERE b.id <= a.id AND " . pred($b, 0) . ") FROM $t->{name} a WHERE a.id % 500 = 1" };
}

1;
