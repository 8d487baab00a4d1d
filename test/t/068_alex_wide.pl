# Random queries on two equal heap tables, one with a btree index and one with
# an alex index on the same columns: one to four of all types that alex takes,
# each ascending or descending with NULLs first or last, unique or not, partial,
# with INCLUDE columns, on expressions.  Between them rows are inserted, updated
# and deleted, unique keys collide, and VACUUM runs.  The same rows must come,
# in the same order where one is asked for, and the same errors.
#
#   ALEX_QUERIES   how many queries (default 2500; long run 100000)
#   SEED           (default 1)
#   ALEX_ROUNDS    tables that share them (default: one for 100 queries)

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $queries = $ENV{ALEX_QUERIES} // 2500;
my $seed = $ENV{SEED} // 1;
my $rounds = $ENV{ALEX_ROUNDS} // int(($queries + 99) / 100);
srand($seed);

sub pick { return $_[ int(rand(@_)) ]; }
sub rnd { my ($a, $b) = @_; return $a + int(rand($b - $a + 1)); }
sub quote { my ($s) = @_; $s =~ s/'/''/g; return "'$s'"; }
sub digits { return join '', map { rnd(0, 9) } 1 .. $_[0]; }
sub hex_of { return join '', map { sprintf '%02x', pick(0, 1, 127, 128, 255, rnd(0, 255)) } 1 .. $_[0]; }

my $node = omen_node('alex_wide', 'autovacuum' => 'off', 'fsync' => 'off', 'deadlock_timeout' => '100ms');
# ICU's collations want an encoding that it knows
$node->safe_psql('postgres', "CREATE DATABASE wide TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
$node->safe_psql('wide', 'CREATE EXTENSION omendb');
my $icu = $node->safe_psql('wide', q{SELECT count(*) FROM pg_collation WHERE collname = 'en-x-icu'});
my $en = $node->safe_psql('wide', q{SELECT coalesce(min(quote_ident(collname)), '') FROM pg_collation WHERE collname ~* '^(en_US|C)[.]utf-?8$' AND collprovider = 'c' AND collencoding IN (-1, pg_char_to_encoding('UTF8'))});

# Words that languages sort in ways of their own, and prefixes of each other
my @words = ('', 'a', 'A', 'b', 'B', 'ab', 'a b', 'a-b', 'aB', 'Ab', 'abc', 'abd', 'z', 'Z', "\x{e4}", "\x{c4}", "a\x{e4}", '~', '_', '%', 'a_c', '0', '10', '9', "\x01", "a\x01", 'co-op', 'coop', 'CO-OP', "\x{df}", 'ss');
sub word
{
	return pick(@words) if rand() < 0.6;
	return 'https://www.example.com/a/long/path/to/item/' . rnd(0, 300) if rand() < 0.5;
	return pick('tenant-00000000-0000-0000-0000-', 'x' x 20) . digits(rnd(0, 4)) if rand() < 0.7;
	return join('', map { pick(@words) } 1 .. rnd(1, 12)) if rand() < 0.9;
	return pick('p', 'q') x pick(100, 250, 251, 252, 253) . digits(2);
}
# most begin alike, and an index that is built on them remembers how
sub url
{
	return 'https://www.example.com/item/' . pick('', "\x01", '/', 'a', 'z' x 20, rnd(0, 300), digits(rnd(1, 16)) . pick('', '?q=' . rnd(0, 3))) if rand() < 0.93;
	return pick('', 'h', 'https://www.example.com/item', 'https://www.example.com/itf', 'https://www.example.com/itel/9', 'https://www.example.com/ite~', 'i', "\x{e4}", 'https://www.example.org/' . rnd(0, 9));
}
# many begin alike, but not all, and further than images go: such an index has a code
sub versioned
{
	return pick('', 'l', 'lib', 'libboost-filesystem', 'libboost-filesysten', "libboost\x01", "\x01", "\x{7f}", "\x{10ffff}", 'zz') . pick('', '', digits(2), "\x{e4}", 'x' x 50) if rand() < 0.1;
	return pick('libboost-filesystem', 'libboost-program-options', 'postgresql-server', 'python3-sphinx-theme', "stra\x{df}enbahn-\x{10ffff}") . pick('', '-dev', '-doc', '-common', "\x01", '~', ' ') .
	  '_' . pick(1, 1, 1, 2, 17) . '.' . rnd(0, 40) . pick('', '', '.0', '+deb12u1', '~rc1', '-' . rnd(0, 9), "\x{10ffff}") . pick('', '', '', pick('x', "\x{e4}") x rnd(1, 80));
}
sub number
{
	my ($most) = @_;
	return sprintf '%.0f', pick(-$most, $most - 1, -1, 0, 1, map { rnd(-5, 5) } 1 .. 6) if rand() < 0.7;
	return rnd(-1000, 1000) if rand() < 0.5;
	return sprintf '%.0f', (rand() - 0.5) * 2 * $most;
}
sub stamp
{
	return pick('infinity', '-infinity', '2000-01-01', '1999-12-31', '4000-01-01 BC', '5000-01-01') if rand() < 0.2;
	return sprintf '20%02d-%02d-%02d', rnd(0, 3), rnd(1, 4), rnd(1, 28);
}
sub clock { return sprintf '%02d:%02d:%02d.%06d', rnd(0, 23), rnd(0, 3), pick(0, 59), pick(0, 0, 1, 999999); }
sub address
{
	return sprintf '10.%d.%d.%d/%d', rnd(0, 3), pick(0, 128), pick(0, 1, 255), pick(8, 16, 24, 32, 32) if rand() < 0.7;
	return sprintf '2001:db8:%x::%x/%d', rnd(0, 3), rnd(0, 3), pick(32, 48, 64, 127, 128);
}

# type => [declaration, sub for the text of a value, other types its values compare with]
my @types = (
	[ 'int2', 'int2', sub { number(32768) }, 'int4', 'int8' ],
	[ 'int4', 'int4', sub { number(2147483648) }, 'int2', 'int8' ],
	[ 'int8', 'int8', sub { number(9e18) }, 'int4' ],
	[ 'oid', 'oid', sub { abs number(2147483648) } ],
	[ 'bool', 'bool', sub { pick('t', 'f') } ],
	[ '"char"', '"char"', sub { pick('a', 'b', 'z', 'A', '~', '') } ],
	[ 'float4', 'float4', sub { pick('-0', 'NaN', 'Infinity', '-Infinity', '1.5', '0.1', '1e-30', number(1000)) }, 'float8' ],
	[ 'float8', 'float8', sub { pick('-0', 'NaN', 'Infinity', '-Infinity', '1.5', '0.1', '1e300', number(1000)) }, 'float4' ],
	[ 'date', 'date', sub { stamp() }, 'timestamp', 'timestamptz' ],
	[ 'time', 'time', sub { clock() } ],
	[ 'timestamp', 'timestamp', sub { my $s = stamp(); $s =~ /^\d+-\d+-\d+$/ ? "$s " . clock() : $s }, 'date', 'timestamptz' ],
	[ 'timestamptz', 'timestamptz', sub { my $s = stamp(); $s =~ /^\d+-\d+-\d+$/ ? "$s " . clock() : $s }, 'date', 'timestamp' ],
	[ 'text', 'text COLLATE "C"', sub { word() }, 'name' ],
	[ 'text', 'text', sub { word() } ],
	($en ? [ 'text', "text COLLATE $en", sub { word() } ] : ()),
	($icu ? ([ 'text', 'text COLLATE "en-x-icu"', sub { word() } ], [ 'text', 'text COLLATE insensitive', sub { word() } ]) : ()),
	[ 'text', 'text', sub { word() }, 'bytewise' ],
	[ 'varchar', 'varchar(300)', sub { word() } ],
	[ 'text', 'text COLLATE "C"', sub { url() } ],
	[ 'text', 'text', sub { url() }, 'bytewise' ],
	[ 'varchar', 'varchar(300)', sub { url() } ],
	[ 'name', 'name', sub { substr(url(), 0, 60) }, 'text' ],
	[ 'text', 'text COLLATE "C"', sub { versioned() }, 'name' ],
	[ 'text', 'text', sub { versioned() }, 'bytewise' ],
	[ 'varchar', 'varchar(300)', sub { versioned() } ],
	[ 'bpchar', 'char(6)', sub { substr(pick('', 'a', 'ab', 'ab ', "ab\x01", 'abc', 'zz') . pick('', ' ', 'x'), 0, 6) } ],
	[ 'bpchar', 'char(6) COLLATE "C"', sub { substr(pick('', 'a', 'ab', 'ab ', "ab\x01", 'abc', 'zz') . pick('', ' ', 'x'), 0, 6) } ],
	[ 'name', 'name', sub { substr(word(), 0, 60) }, 'text' ],
	[ 'bytea', 'bytea', sub { '\x' . hex_of(pick(0, 1, 2, 3, 14, 15, 16, 40)) } ],
	[ 'uuid', 'uuid', sub { pick('00000000-0000-0000-0000-00000000000', '00000000-0000-4000-8000-00000000000', 'ffffffff-ffff-ffff-ffff-fffffffffff') . pick(0 .. 9, 'a' .. 'f') } ],
	[ 'numeric', 'numeric', sub {
		return pick('NaN', 'Infinity', '-Infinity', '0', '0.0', '1', '1.0', '1.000', '-1', '0.0001', '0.00010', '-0.0001', '1e100', '-1e100', '1e-100', '9999', '10000', '10001', '99990000') if rand() < 0.5;
		return pick('', '-') . digits(rnd(1, 30)) . pick('', '.' . digits(rnd(1, 30)));
	} ],
	[ 'numeric', 'numeric(12,2)', sub { pick(number(1000), sprintf('%.2f', number(100000) / 100)) } ],
	[ 'interval', 'interval', sub { pick('1 mon', '30 days', '29 days 24:00', '720:00', '-1 mon', '-30 days', '1 day', '24:00', '23:59:59.999999', '-1 day 24:00', '0', '-0.000001 s', '178000000 years', '-178000000 years', number(1000) . ' hours') } ],
	[ 'timetz', 'timetz', sub { sprintf '%02d:00%s', rnd(8, 12), pick('+00', '+01', '-01', '+02:30', '-11') } ],
	[ 'inet', 'inet', sub { address() } ],
	[ 'inet', 'cidr', sub { my $a = address(); $a =~ s/\/\d+//; $a } ],
	[ 'macaddr', 'macaddr', sub { join ':', map { sprintf '%02x', pick(0, 1, 128, 255) } 1 .. 6 } ],
	[ 'macaddr8', 'macaddr8', sub { join ':', map { sprintf '%02x', pick(0, 128, 255) } 1 .. 8 } ],
	[ 'pg_lsn', 'pg_lsn', sub { sprintf '%X/%X', pick(0, 1, 0x7FFFFFFF, 0xFFFFFFFF), pick(0, 1, rnd(0, 0xFFFFFFFF)) } ],
	[ 'xid8', 'xid8', sub { pick(0, 1, 5, '18446744073709551615', '9223372036854775808', rnd(0, 100)) } ],
	[ 'money', 'money', sub { number(1000000) } ],
	[ 'tid', 'tid', sub { '(' . pick(0, 1, 4294967295, rnd(0, 9)) . ',' . pick(0, 1, 65535, rnd(0, 9)) . ')' } ],
	[ 'bit(5)', 'bit(5)', sub { join '', map { rnd(0, 1) } 1 .. 5 } ],
	[ 'varbit', 'varbit', sub { join '', map { rnd(0, 1) } 1 .. rnd(0, 12) } ],
	[ 'jsonb', 'jsonb', sub { pick('1', '1.0', '"a"', 'null', 'true', '[]', '{}', '[1, "a"]', '{"a": 1}', '{"a": 1, "b": [2]}', '"' . digits(rnd(1, 30)) . '"') } ],
	[ 'mood', 'mood', sub { pick('sad', 'ok', 'happy', 'late', 'early') } ],
	[ 'int4[]', 'int4[]', sub { '{' . join(',', map { pick(1, 2, 3, 'NULL') } 1 .. rnd(0, 4)) . '}' } ],
	[ 'text[]', 'text[]', sub { '{' . join(',', map { pick('a', 'B', 'c', 'NULL') } 1 .. rnd(0, 4)) . '}' } ],
	[ 'int4range', 'int4range', sub { pick('empty', '(,)', '[1,)', '(,5)', '[' . rnd(0, 3) . ',' . rnd(4, 6) . ']') } ],
	[ 'numrange', 'numrange', sub { pick('empty', '(,)', '[1,)', '(,5)', '(' . rnd(0, 3) . ',' . rnd(4, 6) . '.5)') } ]);

my @versioned = grep { my $type = $_; grep { $type->[2]->() =~ /^libboost.*_/ } 1 .. 20 } grep { $_->[0] =~ /^(text|varchar)$/ } @types;
my @prefixed = grep { my $type = $_; !grep { $type->[2]->() !~ /^https:..www.example.com.item/ } 1 .. 3 } (grep { $_->[0] =~ /^(text|varchar)$/ } @types) x 10;
my @urls = grep { my $type = $_; grep { $type->[2]->() =~ /item|lib/ } 1 .. 20 } grep { $_->[0] =~ /^(text|varchar)$/ } @types;

my $setup = q{
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TYPE mood ADD VALUE 'early' BEFORE 'ok';
ALTER TYPE mood ADD VALUE 'late' AFTER 'ok';
-- what a query gives, or its error
CREATE FUNCTION run(q text, change bool, OUT r text) LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	IF change THEN
		EXECUTE q;
		GET DIAGNOSTICS n = ROW_COUNT;
		r := n;
	ELSE
		EXECUTE q INTO r;
	END IF;
EXCEPTION WHEN OTHERS THEN
	r := 'error ' || SQLSTATE;
	-- the generator is wrong
	IF SQLSTATE LIKE '42%' THEN
		RAISE WARNING 'DIFFERENT: from what was meant: %: %', SQLERRM, q;
	END IF;
END $$;
-- the result of a query on either table, in its order or not
CREATE FUNCTION compare(q text, ordered bool) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	w text := format('SELECT count(*) || md5(string_agg(x::text, E''\n'' %s)) FROM (%s) x',
		CASE WHEN ordered THEN '' ELSE 'ORDER BY x::text' END, q);
	a text := run(replace(w, 'TBL', 'a_t'), false);
	b text := run(replace(w, 'TBL', 'b_t'), false);
BEGIN
	-- 18's skip scan compares the least timestamp there is across types, which
	-- is an error in itself
	IF a IS DISTINCT FROM b AND NOT
		(b = 'error 22008' AND current_setting('server_version_num')::int >= 180000) THEN
		RAISE WARNING 'DIFFERENT: % : alex %, btree %', q, a, b;
	END IF;
END $$;
-- a change of either table
CREATE FUNCTION change(q text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a text;
	b text;
BEGIN
	a := run(replace(q, 'TBL', 'a_t'), true);
	b := run(replace(q, 'TBL', 'b_t'), true);
	IF a IS DISTINCT FROM b THEN
		RAISE WARNING 'DIFFERENT: % : alex %, btree %', q, a, b;
	END IF;
END $$;
-- a cursor that goes back and forth
CREATE FUNCTION wander(q text, steps int[], OUT r text) LANGUAGE plpgsql AS $$
DECLARE
	x refcursor;
	n int;
	row record;
BEGIN
	r := '';
	OPEN x SCROLL FOR EXECUTE q;
	FOREACH n IN ARRAY steps LOOP
		FETCH RELATIVE n FROM x INTO row;
		r := r || coalesce(row::text, '-') || E'\n';
	END LOOP;
	CLOSE x;
END $$;
CREATE FUNCTION compare_wander(q text, steps int[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	a text := wander(replace(q, 'TBL', 'a_t'), steps);
	b text := wander(replace(q, 'TBL', 'b_t'), steps);
BEGIN
	IF a IS DISTINCT FROM b THEN
		RAISE WARNING 'DIFFERENT: % % : alex %, btree %', q, steps, a, b;
	END IF;
END $$;
-- is the index used?
CREATE FUNCTION uses(q text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	l text;
BEGIN
	FOR l IN EXECUTE 'EXPLAIN ' || replace(q, 'TBL', 'a_t') LOOP
		IF l LIKE '%a_t_i%' THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
EXCEPTION WHEN numeric_value_out_of_range THEN
	RETURN true;
END $$;
CREATE TABLE used (yes bool, q text);
CREATE TABLE filled (n bigint);
CREATE TABLE prefixed (yes bool, coded bool);
};
$setup = q{CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);} . $setup if $icu;
$node->safe_psql('wide', $setup);

my ($done, $different, $id) = (0, 0, 0);

sub literal
{
	my ($col, $type) = @_;
	return 'NULL::' . ($type // $col->{type}) if rand() < 0.02;
	my $v = $col->{gen}->();
	# another type's form of a value
	$v = '1e30' if $v eq '1e300' && defined $type && $type eq 'float4';
	if (defined $type && $type =~ /^(int|oid)/)
	{
		$v = 0 if $v !~ /^-?\d+$/;
		$v = 7 if abs($v) > 32000;
	}
	return quote($v) . '::' . ($type // $col->{type});
}

# a condition on a column
sub condition
{
	my ($col) = @_;
	my $e = $col->{expr};
	my @cross = grep { $_ ne 'bytewise' } @{ $col->{cross} };
	my $type = @cross && rand() < 0.3 ? pick(@cross) : undef;
	my $values = sub { return join ', ', map { literal($col, $type) } 1 .. rnd(1, 6); };
	my $r = rand();
	my ($lt, $le, $gt, $ge) = $col->{bytewise} ? ('~<~', '~<=~', '~>~', '~>=~') : ('<', '<=', '>', '>=');

	return "$e = " . literal($col, $type) if $r < 0.3;
	return "$e " . pick($lt, $le, $gt, $ge) . ' ' . literal($col, $type) if $r < 0.5;
	return "$e " . pick($gt, $ge) . ' ' . literal($col, $type) . " AND $e " . pick($lt, $le) . ' ' . literal($col, $type) if $r < 0.6;
	return "$e IN (" . $values->() . ')' if $r < 0.75;
	# of arrays there are no arrays
	$r = 0.82 if $r < 0.81 && $col->{type} =~ /\[\]/;
	return "$e = ANY (ARRAY[" . $values->() . ', NULL])' if $r < 0.79;
	return "$e " . pick($lt, $ge) . ' ANY (ARRAY[' . $values->() . '])' if $r < 0.81;
	return "$e IS NULL" if $r < 0.85;
	return "$e IS NOT NULL" if $r < 0.89;
	return "$e <> " . literal($col, undef) if $r < 0.91;
	if ($col->{type} =~ /^(text|varchar|bpchar|name)$/ && $col->{decl} !~ /insensitive/ && $r < 0.98)
	{
		my $p = $col->{gen}->();
		return "$e LIKE " . quote(substr($p, 0, rnd(0, length $p)) . pick('', '%', '%', '_', '%x%'));
	}
	return $col->{type} eq 'bool' ? pick($e, "NOT $e") : "$e = " . literal($col, undef);
}

sub one_round
{
	my ($n) = @_;
	my $ncols = pick(1, 1, 2, 2, 3, 4);
	my (@cols, $sql);
	# many rows, for which the index gets a code or a prefix when it is built on them
	my $many = $n % 5 == 0;
	my $expression = rand() < 0.15 && !$many;
	for my $i (0 .. $ncols - 1)
	{
		my ($type, $decl, $gen, @cross) = @{ $i == 0 && $many ? pick($n % 10 == 0 ? @prefixed : @versioned) : $i == 0 && rand() < 0.2 ? pick(@urls) : pick(@types) };
		my $col = { type => $type, decl => $decl, gen => $gen, cross => \@cross, name => "c$i", expr => "c$i", key => "c$i" };
		$col->{bytewise} = grep { $_ eq 'bytewise' } @cross;
		if ($expression && $i == 0 && $type =~ /^(text|int4|numeric)$/ && !$col->{bytewise})
		{
			$col->{expr} = $type eq 'text' ? 'lower(c0)' : '(c0 % 7)';
			$col->{key} = $col->{expr};
			$col->{cross} = [];
		}
		@{$col}{qw(desc nulls)} = (pick('', ' DESC'), pick('', ' NULLS FIRST', ' NULLS LAST'));
		push @cols, $col;
	}
	my $unique = rand() < 0.35 && !$many;
	my $version = $node->pg_version;
	my $nnd = $unique && rand() < 0.4 ? ' NULLS NOT DISTINCT' : '';
	my $partial = rand() < 0.15 && !$many;
	my $include = rand() < 0.2 ? ' INCLUDE (id)' : '';
	my $first = rand() < 0.5 && !$many;	# rows before the index, or after
	my $keys = sub {
		my ($am) = @_;
		return join ', ', map {
			$_->{key} . ($_->{bytewise} ? $am eq 'alex' ? ' omendb.text_bytewise_ops' : ' text_pattern_ops' : '') . $_->{desc} . $_->{nulls}
		} @cols;
	};
	my $where = $partial ? ' WHERE pay < 70' : '';
	my $make = sub {
		return join '', map { my $am = $_ eq 'a' ? 'alex' : 'btree';
			"CREATE " . ($unique ? 'UNIQUE ' : '') . "INDEX ${_}_t_i ON ${_}_t USING $am (" . $keys->($am) . ")$include$nnd" .
			# its posting lists are read forward in backward scans
			($am eq 'btree' ? ' WITH (deduplicate_items = off)' : '') . "$where;\n" } qw(a b);
	};
	my $row = sub { return '(' . ++$id . ', ' . rnd(0, 99) . ', ' . join(', ', map { rand() < 0.08 ? 'NULL' : quote($_->{gen}->()) } @cols) . ')'; };
	my $insert = sub {
		my ($rows) = @_;
		return "SELECT change(\$q\$INSERT INTO TBL VALUES " . join(', ', map { $row->() } 1 .. $rows) . ($unique ? pick(' ON CONFLICT DO NOTHING', ' ON CONFLICT DO NOTHING', '') : '') . "\$q\$);\n";
	};

	$sql = "SET client_min_messages = warning; SET timezone = 'America/New_York';\n";
	$sql .= "DROP TABLE IF EXISTS a_t, b_t;\n";
	$sql .= "CREATE TABLE ${_}_t (id int8, pay int, " . join(', ', map { "$_->{name} $_->{decl}" } @cols) . ") WITH (autovacuum_enabled = off);\n" foreach qw(a b);
	$sql .= "ALTER TABLE ${_}_t ALTER c0 SET STATISTICS 10;\n" foreach qw(a b);
	$sql .= $make->() if $first || $unique;
	$sql .= $insert->($unique ? rnd(1, 30) : rnd(50, 300)) foreach 1 .. ($many ? 20 : pick(1, 5, 20));
	$sql .= $make->() unless $first || $unique;
	$sql .= "ANALYZE a_t; ANALYZE b_t;\n";
	$sql .= "SET enable_seqscan = off; SET enable_sort = off; SET enable_incremental_sort = off;\n" if $version >= 13;

	my $per = int($queries / $rounds) || 1;
	for my $q (1 .. $per)
	{
		$done++;
		# something changes now and then
		if (rand() < 0.15)
		{
			my $c = pick(@cols);
			$sql .= pick(
				sub { $insert->(rnd(1, 20)); },
				sub { $insert->(rnd(1, 20)); },
				sub { "SELECT change(\$q\$UPDATE TBL SET pay = pay + 1 WHERE pay % 10 = " . rnd(0, 9) . "\$q\$);\n"; },
				sub { "SELECT change(\$q\$UPDATE TBL SET $c->{name} = " . literal($c, undef) . " WHERE id % 50 = " . rnd(0, 49) . "\$q\$);\n"; },
				sub { "SELECT change(\$q\$DELETE FROM TBL WHERE pay % 20 = " . rnd(0, 19) . "\$q\$);\n"; },
				sub { "REINDEX INDEX a_t_i; REINDEX INDEX b_t_i;\n"; },
				sub { "VACUUM a_t; VACUUM b_t;\n"; })->();
		}
		$sql .= 'SET enable_bitmapscan = ' . pick('on', 'off', 'off') . '; SET enable_indexonlyscan = ' . pick('on', 'on', 'off') . ";\n";
		my @conds;
		for my $i (0 .. $#cols)
		{
			push @conds, condition($cols[$i]) if rand() < (0.75 - 0.2 * $i);
			push @conds, condition($cols[$i]) if rand() < 0.1;
		}
		push @conds, 'pay < 70' if $partial;
		# btree of 17 gives rows for c0 = 1 AND (c0, c1) > ('NaN', ...), which no
		# row satisfies
		if (@cols > 1 && rand() < 0.1 && ($version < 17 || $version >= 18) && !grep { $_->{bytewise} } @cols[ 0, 1 ])
		{
			push @conds, "($cols[0]{expr}, $cols[1]{expr}) " . pick('<', '<=', '>', '>=') . ' (' . literal($cols[0]) . ', ' . literal($cols[1]) . ')';
		}
		my $cond = @conds ? ' WHERE ' . join(' AND ', @conds) : '';
		# of equal values that print differently the plan decides which one is the least
		my $shown = $cols[0]{type} eq 'interval' ? 'extract(epoch FROM %s)' : $cols[0]{type} eq 'numeric' ? 'trim_scale(%s)' :
			$cols[0]{type} =~ /^float/ ? '%s + 0' : '%s';
		my $what = pick('*', '*', join(', ', map { $_->{expr} } @cols), 'count(*)', join(', ', map { sprintf($shown, "$_($cols[0]{expr})") } qw(min max)));
		$what = '*' if $what =~ /^min/ && $cols[0]{type} =~ /^(bool|"char"|uuid|bytea|macaddr8?|name|jsonb|bit\(5\)|varbit|timetz|xid8|int4range|numrange|tid|inet)$/;
		my $back = rand() < 0.4;
		my $order = ' ORDER BY ' . join ', ', map {
			my $desc = $_->{desc} ne '';
			my $first = $_->{nulls} eq ' NULLS FIRST' || ($_->{nulls} eq '' && $desc);
			if ($back) { $desc = !$desc; $first = !$first; }
			$_->{expr} . ($_->{bytewise} ? ' USING ' . ($desc ? '~>~' : '~<~') : $desc ? ' DESC' : '') . ($first ? ' NULLS FIRST' : ' NULLS LAST')
		} @cols;
		my $kind = rand();
		if ($kind < 0.06 && $what ne 'count(*)')
		{
			# merge joins mark and restore, nested loops scan again
			my $join = "SELECT x.id, y.id FROM TBL x JOIN TBL y ON " . join(' AND ', map { my $e = $_->{expr}; (my $l = $e) =~ s/c(\d)/x.c$1/; (my $r = $e) =~ s/c(\d)/y.c$1/; "$l = $r" } @cols[ 0 .. rnd(0, $#cols) ]) . " WHERE x.pay < 5 AND y.pay < 70" . ($partial ? ' AND x.pay < 70' : '');
			my $off = pick('enable_nestloop', 'enable_mergejoin');
			$sql .= "SET enable_hashjoin = off; SET enable_memoize = off; SET enable_material = off; SET $off = off;\nSELECT compare(\$q\$$join\$q\$, false);\nRESET enable_hashjoin; RESET $off;\n";
		}
		elsif ($kind < 0.14 && $what !~ /^count|min\(/)
		{
			$sql .= "SELECT compare_wander(\$q\$SELECT $what FROM TBL$cond$order\$q\$, '{" . join(',', map { pick(1, 1, 1, 5, 20, -1, -1, -5, 100, -100) } 1 .. 30) . "}');\n";
		}
		elsif ($kind < 0.5 && $what !~ /^count|min\(/)
		{
			my $limit = rand() < 0.5 ? ' LIMIT ' . pick(1, 5, 20) : '';
			my $offset = $limit && rand() < 0.2 ? ' OFFSET ' . rnd(1, 10) : '';
			$sql .= "SELECT compare(\$q\$SELECT $what FROM TBL$cond$order$limit$offset\$q\$, true);\n";
			$sql .= "INSERT INTO used SELECT uses(q), q FROM (VALUES (\$q\$SELECT $what FROM TBL$cond$order$limit\$q\$)) v(q);\n" if rand() < 0.1;
		}
		else
		{
			$sql .= "SELECT compare(\$q\$SELECT $what FROM TBL$cond\$q\$, false);\n";
			$sql .= "INSERT INTO used SELECT uses(q), q FROM (VALUES (\$q\$SELECT $what FROM TBL$cond\$q\$)) v(q);\n" if @conds && rand() < 0.1;
		}
	}
	$sql .= "RESET enable_seqscan; INSERT INTO filled SELECT count(*) FROM a_t; INSERT INTO prefixed SELECT prefix_length > 0, version = 6 FROM omendb.alex_stats('a_t_i'); SELECT omendb.alex_check('a_t_i', true);\n";
	my $file = $node->basedir . '/round.sql';
	open my $fh, '>:encoding(UTF-8)', $file or die $!;
	print $fh $sql;
	close $fh;
	my ($out, $err) = ('', '');
	my $rc = $node->psql('wide', undef, extra_params => [ '-q', '-f', $file ], stdout => \$out, stderr => \$err, on_error_stop => 0);
	my @bad = grep { /DIFFERENT|ERROR|server closed|FATAL|PANIC/ } split /\n/, $err;
	if (@bad || $rc != 0)
	{
		$different++;
		diag("seed $seed, round $n, UNIQUE $unique$nnd, keys (" . join(', ', map { "$_->{decl}: $_->{key}$_->{desc}$_->{nulls}" } @cols) . ")$include$where: " . scalar(@bad) . " complaints, psql's exit code $rc");
		diag(substr($_, 0, 600)) foreach @bad[ 0 .. (@bad > 3 ? 2 : $#bad) ];
		rename $file, $node->basedir . "/bad.$n.sql";
	}
}

foreach my $n (1 .. $rounds)
{
	one_round($n);
	last if $different > 20;
}
cmp_ok($node->safe_psql('wide', 'SELECT sum(n) FROM filled'), '>', 20 * $rounds, 'the tables had rows');
is($different, 0, "$done queries of seed $seed on $rounds pairs of tables: alex and btree agree");
my $prefixed = $node->safe_psql('wide', 'SELECT count(*) FROM prefixed WHERE yes');
cmp_ok($prefixed, '>', 0, "$prefixed of them had images behind a prefix") if $rounds >= 20;
my $coded = $node->safe_psql('wide', 'SELECT count(*) FROM prefixed WHERE coded');
cmp_ok($coded, '>', 0, "$coded of them had images in a code") if $rounds >= 20;
my ($yes, $all) = split /\|/, $node->safe_psql('wide', 'SELECT count(*) FILTER (WHERE yes), count(*) FROM used');
note($node->safe_psql('wide', 'SELECT q FROM used WHERE NOT yes LIMIT 10'));
cmp_ok($yes, '>', 0.9 * $all, "the alex index was used by $yes of $all queries");

# Sessions that insert equal keys at the same time, all with the same images, as
# versions that span several leaves; others delete them, and VACUUM runs.
$node->safe_psql('wide', q{
CREATE TABLE same (k text COLLATE "C", n numeric, pad text, session int);
CREATE UNIQUE INDEX same_k ON same USING alex (k, n) INCLUDE (pad);
CREATE FUNCTION try_same(i int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO same VALUES ('https://www.example.com/' || i, CASE WHEN i % 2 = 0 THEN 1.0 ELSE 1.000 END, repeat('p', 300), pg_backend_pid());
EXCEPTION WHEN unique_violation THEN
	UPDATE same SET pad = repeat(chr(97 + i % 26), 300) WHERE k = 'https://www.example.com/' || i AND n = 1;
END $$});
$node->pgbench('-n -c 6 -j 2 -t ' . ($queries > 10000 ? 5000 : 250) . ' wide', 0, [qr/processed/], [qr/^(?!.*(ERROR|FATAL))/s],
	'sessions insert equal keys', {
		'068_same' => q{
\set i random(1, 60)
\set k random(1, 100)
\if :k <= 70
SELECT try_same(:i);
\elif :k <= 85
DELETE FROM same WHERE k = 'https://www.example.com/' || :i;
\elif :k <= 97
INSERT INTO same VALUES ('https://www.example.com/' || :i, 1.00, repeat('c', 300)) ON CONFLICT (k, n) DO UPDATE SET pad = excluded.pad;
\else
VACUUM (TRUNCATE off) same;
\endif
} });
is($node->safe_psql('wide', 'SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM (SELECT FROM same GROUP BY k, n HAVING count(*) > 1) x'),
	0, 'no key is there twice');
is($node->safe_psql('wide', "SELECT omendb.alex_check('same_k', true); SET enable_seqscan = off; SELECT count(*) = count(DISTINCT k) FROM same WHERE k > 'a'"), "\nt", 'and the index has all of them');
$node->stop;
done_testing();
