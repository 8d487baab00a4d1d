# Random damage of alex index pages: links, levels, kinds, flags, counts,
# bounds, models, bitmaps, images, TIDs, payload offsets, children, whole
# pages.  Whatever statement meets it, there may be errors, but nobody dies,
# and no statement runs for ever or cannot be cancelled.
#
#   FUZZ_SECONDS    how long (default 12)
#   FUZZ_SEED       (default 1)

use strict;
use warnings;
no warnings 'portable';
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{FUZZ_SECONDS} // 12;
my $seed = $ENV{FUZZ_SEED} // 1;
srand($seed);

sub pick { return $_[ int(rand(@_)) ]; }
sub rnd { my ($a, $b) = @_; return $a + int(rand($b - $a + 1)); }

my $block = 8192;
my $node = omen_node('alex_fuzz', 'autovacuum' => 'off', 'fsync' => 'off', 'restart_after_crash' => 'off',
	'statement_timeout' => '20s', 'deadlock_timeout' => '100ms', 'wal_level' => 'minimal', 'max_wal_senders' => 0);

# kinds of indexes: table definition, rows, index, values
my @kinds = (
	{ def => 'a int, b int', rows => 'i, i', index => 'UNIQUE INDEX %s ON %s USING alex (a)', n => 4000 },
	{ def => 'a int, b text', rows => q{i, repeat('b', 1 + i % 50)}, index => 'INDEX %s ON %s USING alex (a) INCLUDE (b)', n => 2500 },
	{ def => 'a int, b text', rows => q{i % 7, repeat('x', 400)}, index => 'INDEX %s ON %s USING alex (a) INCLUDE (b)', n => 9000 },
	{ def => 'a float8, b int', rows => q{CASE WHEN i % 3 = 0 THEN '-0' WHEN i % 10 = 0 THEN NULL ELSE i END, i}, index => 'INDEX %s ON %s USING alex (a)', n => 3000 },
	{ def => 'a int8, b int', rows => q{i % 5, i}, index => 'INDEX %s ON %s USING alex (a DESC)', n => 4000 },
	{ def => 'a int, b int', rows => q{i % 300, i}, index => 'INDEX %s ON %s USING alex (a)', n => 6000 });

my $copies = 24;
my ($damages, $statements, $timeouts, $round) = (0, 0, 0, 0);
my %states;

# damage one page of the file; returns a description
sub damage
{
	my ($path) = @_;
	open my $fh, '+<:raw', $path or die "$path: $!";
	my $nblocks = (-s $fh) / $block;
	my $b = rnd(0, 19) == 0 ? 0 : rnd(1, $nblocks - 1);
	my $page;
	sysseek $fh, $b * $block, 0;
	sysread $fh, $page, $block;
	my $kind = unpack('C', substr($page, $block - 7, 1));
	# inner pages are few: prefer them
	for (1 .. 6)
	{
		last if $kind == 2 || rand() < 0.3 || $b == 0;
		my $other = rnd(1, $nblocks - 1);
		sysseek $fh, $other * $block, 0;
		sysread $fh, my ($candidate), $block;
		next if unpack('C', substr($candidate, $block - 7, 1)) != 2;
		($b, $page, $kind) = ($other, $candidate, 2);
	}
	my $what = '';
	# what an earlier damage made of a count may lead beyond the page
	my $put = sub {
		my ($at, $bytes, $name) = @_;
		return if $at + length $bytes > $block;
		substr($page, $at, length $bytes) = $bytes;
		$what .= "$name ";
	};
	my $any_block = sub { return pick($b, 0, 0xFFFFFFFF, $b + 1, $b - 1, rnd(0, $nblocks), rnd(0, $nblocks), rnd(0, 0x7FFFFFFF)) & 0xFFFFFFFF; };
	my $any_key = sub { return pick("\0" x 16, "\xFF" x 16, pack('Q2', 0, 0xFFFF << 48), pack('Q2', 1 << 63, 2 << 48), pack('L4', map { int(rand(2**32)) } 1 .. 4), pack('Q2', (1 << 63) + rnd(0, 5000), 2 << 48)); };
	my $flip = sub { my ($from, $to, $name) = @_; return if $to > $block; vec($page, 8 * $from + rnd(0, 8 * ($to - $from) - 1), 1) ^= 1; $what .= "$name "; };
	my $grouped = sub {
		my ($n, $groups) = (unpack('S', substr($page, 24 + 74, 2)), unpack('S', substr($page, 112, 2)));
		my $images = 112 + 8 + 8 * 21;
		my $ends = $images + 8 * $groups;
		my $tids = $ends + 2 * $groups;
		my $group = rnd(0, $groups);
		pick(
			sub { $put->(112, pack('S', pick(0, 1, $groups - 1, $groups + 1, $n, 65535)), 'groups'); },
			sub { $put->(24 + 72, pack('S2', ($n + pick(-1, 1)) x 2) , 'entries'); },
			sub { $put->(112, pack('S', $groups + 3) , 'groups and their bytes'); $put->(24 + 72, pack('S2', ($n - 5) x 2), 'entries'); },
			sub { $put->($images + 8 * $group, pack('Q', pick(0, (1 << 63) + rnd(0, 300), rnd(0, 2**62), 0xFFFFFFFFFFFFFFFF)), 'image of a group'); },
			sub { $put->($ends + 2 * $group, pack('S', pick(0, 1, $n, $n + 1, rnd(0, $n), 65535)), 'end of a group'); },
			sub { $put->($ends, pack('S*', map { rnd(0, 65535) } 1 .. $groups), 'ends of groups'); },
			sub { $put->(24 + 80, pack('L', pick(1, 8, rnd(0, 8000), 65535)), 'bytes of payloads'); },
			sub { $put->(14, pack('S', unpack('S', substr($page, 12, 2)) + rnd(0, 200)), 'pd_upper'); },
			sub { $flip->(112 + 8, $images, 'dead'); },
			sub { $flip->($images, $ends, 'image of a group'); },
			sub { $flip->($tids, $tids + 6 * $n, 'tid'); })->();
	};
	my $leaf = sub {
		my $nslots = unpack('S', substr($page, 24 + 72, 2));
		return $grouped->() if unpack('S', substr($page, 24 + 78, 2)) & 2 && rand() < 0.7;
		my $words = int(($nslots + 63) / 64);
		my $images = 112 + 16 * $words;
		my $tids = $images + 8 * $nslots;
		my $payloads = $tids + 6 * $nslots;
		my $slot = rnd(0, $nslots - 1);
		pick(
			sub { $put->(24 + 72, pack('S', pick(0, 1, 63, 64, 565, $nslots - 1, $nslots + 1, rnd(0, 65535))), 'nslots'); },
			sub { $put->(24 + 74, pack('S', pick(0, 1, rnd(0, $nslots), rnd(0, $nslots), 65535)), 'nitems'); },
			sub { $put->(24 + 76, pack('S', pick(0, 1, 2, 3, 4, 65535)), 'class'); },
			sub { $put->(24 + 78, pack('S', pick(0, 1, 2)), 'leaf flags'); },
			sub { $put->(24 + 80, pack('L', pick(0, 1, rnd(0, 8000), 0xFFFFFFFF)), 'payload bytes'); },
			sub { $put->(24 + 84, pack('L', rnd(0, 2**32 - 1)), 'sum of kills'); },
			sub { $put->(24 + 48, pack('Qdd', rnd(0, 2**62), pick(0, -1, 1e300, 'nan', 'inf', '-inf'), pick(0, -1e300, 1e300, 'nan')), 'model'); },
			sub { $flip->(112, 112 + 8 * $words, 'used'); },
			sub { $put->(112 + rnd(0, 8 * $words - 1), pack('C', pick(0, 255)), 'used'); },
			sub { $flip->(112 + 8 * $words, 112 + 16 * $words, 'dead'); },
			sub { $flip->($images, $tids, 'image'); },
			sub { $put->($images + 8 * $slot, pack('Q', pick(0, rnd(0, 2**62), 0xFFFFFFFFFFFFFFFF)), 'image'); },
			sub { $flip->($tids, $payloads, 'tid'); },
			sub { $put->($payloads + 2 * $slot, pack('S', pick(0, 1, 112, $payloads, 8168, 8176, 65535, rnd(0, 8191), 8 * rnd(14, 1022))), 'payload offset') if unpack('S', substr($page, 24 + 78, 2)) & 1; },
			sub {
				return unless unpack('S', substr($page, 24 + 78, 2)) & 1;
				return if $payloads + 2 * $nslots > $block;
				my $new = pick(0, 8 * rnd(14, 1022));
				$put->($payloads, pack('S*', map { $_ ? $new : 0 } unpack("S$nslots", substr($page, $payloads, 2 * $nslots))), 'payload offsets');
			})->();
	};
	my $inner = sub {
		my $n = unpack('S', substr($page, 24 + 48, 2));
		my $i = rnd(0, $n);
		my $max = 403;
		pick(
			sub { $put->(24 + 48, pack('S', pick(0, 1, $n - 1, $n + 1, $max, $max + 1, 65535)), 'items'); },
			sub { $put->(24 + 56 + 8 * $i, pack('Q', pick(0, 0xFFFFFFFFFFFFFFFF, (1 << 63) + rnd(0, 5000))), 'inner image'); },
			sub { $put->(24 + 56 + 8 * $max + 8 * $i, pack('Q', pick(0, 0xFFFF << 48, 2 << 48)), 'inner rest'); },
			sub { $put->(24 + 56 + 16 * $max + 4 * $i, pack('L', $any_block->()), 'child'); },
			sub { $put->(24 + 56 + 16 * $max + 4 * $i, pack('L', $any_block->()), 'child'); },
			sub { $flip->(24 + 48, $block - 16, 'inner'); })->();
	};
	foreach (1 .. pick(1, 1, 1, 2, 4))
	{
		if ($b == 0)
		{
			pick(
				sub { $put->(24 + 16, pack('L', $any_block->()), 'root'); },
				sub { $put->(24 + 20, pack('L', pick(0, 1, 2, 3, 255, 256, rnd(0, 2**32 - 1))), 'root level'); },
				sub { $put->(24 + 24, pack('L', rnd(0, 12)), 'kind of key'); },
				sub { $put->(24 + 8, pack('Q', rnd(0, 2**40)), 'build'); })->();
			next;
		}
		pick(
			sub { $put->($block - 16, pack('L', $any_block->()), 'left link'); },
			sub { $put->($block - 12, pack('L', $any_block->()), 'right link'); },
			sub { $put->($block - 12, pack('L', $any_block->()), 'right link'); },
			sub { $put->($block - 8, pack('C', pick(0, 1, 2, 255)), 'level'); },
			sub { $put->($block - 7, pack('C', pick(0, 1, 2, 3, 4)), 'kind'); },
			sub { $put->($block - 6, pack('S', pick(1, 2, 3, 4, 65535)), 'flags'); },
			sub { $put->($block - 4, pack('S', rnd(0, 65535)), 'cycle'); },
			sub { $put->(24, $any_key->(), 'low'); },
			sub { $put->(40, $any_key->(), 'high'); },
			sub { $put->(56, pack('Q', rnd(0, 2**62)), 'incarnation'); },
			sub { $put->(64, pack('Q', pick(1, 3, 1000, 2**40)), 'safexid'); },
			sub { $put->(0, "\0" x $block, 'zeros') if rand() < 0.2; },
			sub {
				return if rand() < 0.5;
				sysseek $fh, rnd(0, $nblocks - 1) * $block, 0;
				sysread $fh, $page, $block;
				$what .= 'another page ';
			},
			$kind == 2 ? $inner : $leaf,
			$kind == 2 ? $inner : $leaf,
			$kind == 2 ? $inner : $leaf,
			$kind == 2 ? $inner : $leaf,
			$kind == 2 ? $inner : $leaf)->();
	}
	sysseek $fh, $b * $block, 0;
	syswrite $fh, $page;
	close $fh;
	$damages++;
	return "block $b: $what";
}

my $end = time + $seconds;
my $ok = 1;
while ($ok && time < $end)
{
	$round++;
	my $script = '';
	my @indexes;
	for my $c (1 .. $copies)
	{
		my $k = $kinds[ $c % @kinds ];
		my $am = $c % 4 == 0 ? 'omendb' : 'heap';
		if ($round == 1)
		{
			$script .= "CREATE TABLE t$c ($k->{def}) USING $am;\n";
		}
		$script .= "TRUNCATE t$c;\nINSERT INTO t$c SELECT $k->{rows} FROM generate_series(1, $k->{n}) i;\n";
		$script .= "DROP INDEX IF EXISTS i$c;\nCREATE " . sprintf($k->{index}, "i$c", "t$c") . ";\n";
		# some deleted pages, some killed entries, some that are to be removed
		$script .= "DELETE FROM t$c WHERE a BETWEEN 100 AND 900;\nVACUUM t$c;\n" if $c % 3 == 0;
		$script .= "DELETE FROM t$c WHERE b::text LIKE '%7';\n";
	}
	$node->safe_psql('postgres', $script . 'CHECKPOINT');
	my %path = map { split /\|/ } split /\n/,
	  $node->safe_psql('postgres', "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^i[0-9]+\$'");
	$node->stop;
	my %what = map { $_ => damage($node->data_dir . '/' . $path{$_}) } sort keys %path;
	my $log = -s $node->logfile;
	$node->start;
	foreach my $index (sort keys %what)
	{
		(my $t = $index) =~ s/i/t/;
		my $p = rnd(0, 3000);
		my $use = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';
		my @statements = map { s/\bT\b/$t/gr } (
			"SELECT count(*) FROM T WHERE a = $p",
			"SELECT count(*), sum(length(b::text)) FROM T WHERE a >= $p",
			"SELECT count(*) FROM (SELECT a FROM T WHERE a < $p ORDER BY a DESC) s",
			"SELECT count(*) FROM (SELECT a, b FROM T ORDER BY a) s",
			'SELECT min(a), max(a) FROM T',
			"BEGIN; DECLARE c SCROLL CURSOR FOR SELECT a FROM T ORDER BY a; FETCH 1000 FROM c; FETCH BACKWARD 500 FROM c; FETCH LAST FROM c; COMMIT",
			"INSERT INTO T SELECT $p, 1 FROM generate_series(1, 600) i",
			"INSERT INTO T SELECT i + 5000, 1 FROM generate_series(1, 1200) i",
			"INSERT INTO T SELECT -i, NULL FROM generate_series(1, 300) i",
			"INSERT INTO T VALUES (NULL, NULL)",
			"INSERT INTO T VALUES ($p, NULL) ON CONFLICT DO NOTHING",
			"UPDATE T SET a = a + 1 WHERE a BETWEEN $p AND $p + 50",
			"DELETE FROM T WHERE a < 1000",
			"VACUUM (INDEX_CLEANUP ON) T",
			"VACUUM (INDEX_CLEANUP ON) T",
			"SELECT omendb.alex_check('$index', true)",
			"SELECT 1 FROM omendb.alex_stats('$index')",
			"SET enable_bitmapscan = on; SET enable_indexscan = off; SELECT count(*) FROM T WHERE a > $p");
		# in another order each time
		@statements = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand(), $_ ] } @statements;
		my ($out, $err) = ('', '');
		my $timer = IPC::Run::timeout(300);
		my $done = eval {
			IPC::Run::run(
				[ 'psql', '-X', '-q', '-A', '-t', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-v', 'VERBOSITY=sqlstate',
					'-v', 'ON_ERROR_STOP=0', map { ('-c', $_) } $use, map { ($_, 'ROLLBACK') } @statements ],
				'<', \undef, '>', \$out, '2>', \$err, $timer);
			1;
		};
		$statements += @statements;
		$states{$_}++ for $err =~ /(?:ERROR|FATAL|PANIC): +(\w{5})/g;
		my $stopped = () = $err =~ /57014/g;
		$timeouts += $stopped;
		if (!$done || $stopped || $err =~ /server closed|connection.*lost|could not connect|PANIC/)
		{
			diag("seed $seed, round $round, index $index, $what{$index}: " . ($done ? '' : 'does not end ') . substr($err, 0, 3000));
			diag(join("\n", @statements));
			$ok = 0;
			last;
		}
	}
	my $new = slurp_file($node->logfile, $log);
	if ($new =~ /(PANIC|was terminated by signal|TRAP).*/)
	{
		diag("$&");
		diag("$_: $what{$_}") foreach sort keys %what;
		$ok = 0;
	}
}
ok($ok, "$damages damages, $statements statements: errors only");
note(join(', ', map { "$_: $states{$_}" } sort keys %states));
is($timeouts, 0, 'no statement ran into the timeout');
# the damage was met
cmp_ok(($states{XX002} // 0), '>', $damages / 2, 'index_corrupted was reported');
$node->stop($ok ? 'fast' : 'immediate');
done_testing();
