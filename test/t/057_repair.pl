# Lost header and marker pages: VACUUM warns and goes on, no row is put in their
# place, and omendb.repair_row_group() brings them back.  On a standby, too.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run ();
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 6000;

# Where things are in a cold page (see src/table/table.h)
my $magic = 24;
my $kind = 24 + 6;
my $header_id = 24 + 24;

# Table t, sealed, its twin h, and another one
sub make_node
{
	my ($name, $checksums) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(
		allows_streaming => 1,
		extra => $checksums ? ['--data-checksums'] : []);
	no_checksums($node) unless $checksums;
	$node->append_conf('postgresql.conf',
		omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off', 'omendb.reclaim_space' => 'half', 'wal_keep_size' => "'512MB'"));
	$node->start;
	$node->safe_psql('postgres', "CREATE EXTENSION $_")
	  foreach qw(omendb omendb_test pg_visibility pg_freespacemap pageinspect);
	omen_helpers($node);
	$node->safe_psql(
		'postgres', qq{
CREATE TABLE t (a int PRIMARY KEY, b int, pad text) USING omendb;
CREATE INDEX t_b ON t (b);
CREATE TABLE other (a int) USING omendb;
INSERT INTO other VALUES (1);
INSERT INTO t SELECT g, g % 100, repeat('x', 200) FROM generate_series(1, $rows) g;
CREATE TABLE h AS SELECT * FROM t;
ALTER TABLE h ADD PRIMARY KEY (a);
});
	seal_all($node, 't');
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node;
}

# Few dead line pointers would be left where they are, and keep their page hot
sub seal_again
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) t');
	seal_all($node, 't');
	return;
}

# Blocks to damage: as they are now
sub header_of
{
	my ($file, $first) = @_;
	foreach my $blk ($first, $first + 16)
	{
		return $blk if ord(substr(read_block($file, $blk), $kind, 1)) == 2;
	}
	die "no header page at $first";
}

# Every plan gives the rows of the heap twin
sub all_rows
{
	my ($node, $what) = @_;
	my $diff = 'SELECT a, b, pad FROM t WHERE a > 0 EXCEPT ALL SELECT a, b, pad FROM h';
	my $back = 'SELECT a, b, pad FROM h EXCEPT ALL SELECT a, b, pad FROM t WHERE a > 0';
	foreach my $off ('enable_indexscan = off; SET enable_bitmapscan = off',
		'enable_seqscan = off; SET enable_bitmapscan = off',
		'enable_seqscan = off; SET enable_indexscan = off')
	{
		my ($rc, $out, $err) = $node->psql('postgres',
			"SET $off; SELECT (SELECT count(*) FROM ($diff) x), (SELECT count(*) FROM ($back) y)");
		is("$rc $out", '0 0|0', "$what: all rows ($off)") or diag($err);
	}
	return;
}

sub damage
{
	my ($node, $file, %pages) = @_;
	$node->stop;
	my %good;
	foreach my $blk (keys %pages)
	{
		$good{$blk} = read_block($file, $blk);
		is(substr($good{$blk}, $magic, 4), pack('L', 0x4F4D454E), "block $blk is cold");
		write_block($file, $blk, $pages{$blk}->($good{$blk}));
	}
	$node->start;
	return;
}

my $zero = sub { "\0" x 8192 };
my $bad_sum = sub { flip($_[0], 31, 0x55) };
my $bad_magic = sub { flip($_[0], $magic, 1) };
# room on a page without line pointers: pd_upper 24 -> 4120
my $room = sub { flip($_[0], 15, 0x10) };

# [what, page (marker or header), change, only without/with checksums]
my @cases = (
	[ 'zeroed marker', 'marker', $zero ],
	[ 'zeroed header', 'header', $zero ],
	[ 'zeroed last block', 'last', $zero ],
	[ 'marker with a wrong checksum', 'marker', $bad_sum, 1 ],
	[ 'header with a wrong checksum', 'header', $bad_sum, 1 ],
	[ 'marker with another magic', 'marker', $bad_magic, 0 ],
	[ 'marker with room', 'marker', $room, 0 ],
	[ 'header with another magic', 'header', $bad_magic, 0 ],
	[ 'header with room', 'header', $room, 0 ]);

my $next = $rows;

# Put rows everywhere there is room; the twin gets what is accepted
sub insert_rows
{
	my ($node, $what) = @_;
	my $errors = 0;
	for my $try (1 .. 4)
	{
		my $from = $next + 1;
		my $to = $next += 50;
		my ($rc, $out, $err) = $node->psql('postgres', [
			"BEGIN; INSERT INTO t SELECT g, g % 100, repeat('y', 300) FROM generate_series($from, $to) g;
INSERT INTO h SELECT g, g % 100, repeat('y', 300) FROM generate_series($from, $to) g; COMMIT",
			"BEGIN; COPY t FROM PROGRAM 'seq -f \"%.0f,7,copied\" $from $to' (FORMAT csv);
COPY h FROM PROGRAM 'seq -f \"%.0f,7,copied\" $from $to' (FORMAT csv); COMMIT",
			"BEGIN; UPDATE t SET pad = repeat('z', 2000) WHERE a BETWEEN 1 AND 8;
UPDATE h SET pad = repeat('z', 2000) WHERE a BETWEEN 1 AND 8; COMMIT",
			"BEGIN; INSERT INTO t VALUES ($from, 1, 'once') ON CONFLICT DO NOTHING; INSERT INTO h VALUES ($from, 1, 'once'); COMMIT"
		]->[ $try - 1 ]);
		next if $rc == 0;
		$errors++;
		like($err, qr/holds no rows, but is cold|has lost its header page|is damaged|invalid page/,
			"$what, insertion $try: an error that names it");
	}
	return $errors;
}

foreach my $checksums (1, 0)
{
	my $node = make_node($checksums ? 'with_checksums' : 'without', $checksums);
	my $file = relation_file($node, 't');

	foreach my $vacuum_first (1, 0)
	{
		foreach my $case (@cases)
		{
			my ($what, $which, $change, $only) = @$case;
			next if defined $only && $only != $checksums;
			# whether VACUUM or an insertion comes first matters where there is room
			next if !$vacuum_first && $what !~ /zeroed|room/;
			next if $vacuum_first && $which eq 'last';
			$what .= ($checksums ? ' (checksums)' : '')
			  . ($vacuum_first ? '' : ', insertion first');

			seal_again($node);
			my $end = $node->safe_psql('postgres', q{CHECKPOINT; SELECT pg_relation_size('t') / 8192 - 1});
			my $blk = $which eq 'header' ? header_of($file, 64) : $which eq 'last' ? $end : 90;
			my $group = $blk - $blk % 64;
			damage($node, $file, $blk => $change);

			if ($vacuum_first)
			{
				# VACUUM visits every page
				$node->safe_psql('postgres', q{SELECT pg_truncate_visibility_map('t')})
				  unless $what =~ /checksum\b/;
				my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM');
				is($rc, 0, "$what: VACUUM of the database goes on") or diag($err);
				my @warnings = grep { !/page verification failed/ } $err =~ /(WARNING: .*)/g;
				if ($what !~ /marker with a wrong checksum/)
				{
					is(scalar(@warnings), 1, "$what: one warning");
					like($warnings[0], qr/(page|block) \d+ (of|in) .*/, "$what: that names the block: $warnings[0]");
					like($err, qr/HINT: .*repair_row_group\('t', $group\)/, "$what: with a hint");
				}
				is( $node->safe_psql('postgres', "SELECT avail FROM pg_freespace('t', $blk) avail"),
					0, "$what: no room is offered there");
				if ($which eq 'marker' && $what !~ /checksum\b/)
				{
					is( $node->safe_psql('postgres',
							"SELECT count(*) FROM pg_visibility_map('t') v, omendb.row_groups('t') g
WHERE v.blkno >= g.first_block AND v.blkno < g.first_block + 64 AND g.cold_pages > 0 AND NOT v.all_frozen AND v.blkno <> $blk"),
						$node->safe_psql('postgres', 'SELECT coalesce(sum(thawed_pages), 0) FROM omendb.row_groups(\'t\')'),
						"$what: the visibility map of the other cold pages is back");
				}
			}
			else
			{
				# the first block that insertion looks at is the last one, or what
				# the free space map has; make it say that it is this one
				$node->safe_psql('postgres', "SELECT omendb.test_free_space('t', $blk, 8000)");
			}
			my $errors = insert_rows($node, $what);
			cmp_ok($errors, '>=', 1, "$what: noticed by insertion") unless $vacuum_first;

			# page 90's rows by TID: rows or an error
			my ($rc, $out, $err) = $node->psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM t WHERE a BETWEEN 2850 AND 3050");
			ok($rc != 0 || $out == 201, "$what: rows or an error");

			($rc, $out, $err) = $node->psql('postgres', "SELECT header, markers, rows > 0 FROM omendb.repair_row_group('t', $blk)");
			is("$rc $out", $which eq 'header' ? '0 t|0|f' : '0 f|1|t', "$what: repaired") or diag($err);
			all_rows($node, "$what, repaired");
			is( $node->safe_psql('postgres', "SELECT header, markers, rows FROM omendb.repair_row_group('t', $blk)"),
				'f|0|0', "$what: nothing is left to be repaired");
		}
	}

	# What it cannot do, it says
	seal_again($node);
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $header = header_of($file, 64);
	damage($node, $file, $header => $zero, 90 => $zero, 91 => $checksums ? $bad_sum : $bad_magic);
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.repair_row_group('t', 64)");
	isnt($rc, 0, 'header and markers lost: refused');
	like($err, qr/DETAIL: .*Block 9[01] .*\n.*trust_file/, 'with a reason and a hint') or diag($err);
	foreach my $how (
		[ 'read-only', 'BEGIN READ ONLY; SELECT omendb.repair_row_group(\'t\', 64, true)', qr/read-only transaction/ ],
		[ 'beyond the end', 'SELECT omendb.repair_row_group(\'t\', 100000)', qr/has no block 100000/ ],
		[ 'heap table', 'SELECT omendb.repair_row_group(\'h\', 0)', qr/not a table of access method omendb/ ],
		[ 'somebody else', 'CREATE ROLE mere; GRANT SELECT ON t TO mere; SET ROLE mere; SELECT omendb.repair_row_group(\'t\', 64)', qr/permission denied to repair/ ])
	{
		($rc, $out, $err) = $node->psql('postgres', $how->[1]);
		like($err, $how->[2], "$how->[0]: refused");
	}

	# A crash before anything is flushed, and one before the header page is written
	foreach my $at ('repair-after-page', 'repair-before-header')
	{
		if ($at eq 'repair-before-header')
		{
			my ($stdout, $stderr) = ('', '');
			$node->safe_psql('postgres', "SELECT omendb.stop_event_set('$at', 'wait')");
			my $psql = IPC::Run::start(
				[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
					"SELECT omendb.repair_row_group('t', 64, true)" ],
				'>', \$stdout, '2>', \$stderr);
			ok( $node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('$at') > 0"),
				"$at: stopped there");
			$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
			kill_server($node);
			IPC::Run::finish($psql);
		}
		else
		{
			$node->safe_psql('postgres', "SELECT omendb.stop_event_set('$at', 'kill')");
			$node->psql('postgres', "SELECT omendb.repair_row_group('t', 64, true)");
			$node->stop('immediate', fail_ok => 1);
			$node->_update_pid(0);
		}
		$node->start;
		($rc, $out, $err) = $node->psql('postgres', 'SELECT count(pad) FROM t');
		like($err, qr/has lost its header page/, "$at: killed, and the header page is not there yet");
	}
	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64, true)"),
		't|0', 'header and markers lost: the header page comes last');
	all_rows($node, 'header and markers lost, repaired');
	lost_file($node) unless $checksums;
	unseen_row($node, $file) if $checksums;
	lost_header_stays($node, $file) if $checksums;
	vacant_page($node, $file) unless $checksums;
	other_file($node, $file) unless $checksums;
	crash_free($node, $checksums ? 'checksums' : 'no checksums');
	$node->stop;
}

standby();

# A row group whose file is not there cannot be sealed anew: VACUUM goes on
sub lost_file
{
	my ($node) = @_;
	seal_again($node);
	# several pages are hot
	$node->safe_psql('postgres', 'UPDATE t SET b = b WHERE a IN (2300, 2500, 2700, 2900); CHECKPOINT');
	my $id = $node->safe_psql('postgres', q{SELECT id FROM omendb.row_groups('t') WHERE first_block = 64});
	my $store = $node->data_dir . '/omendb';
	my ($sst) = glob("$store/sst/$id-*");
	$node->stop;
	rename($sst, "$store/away") or die $!;
	system('rm', '-rf', "$store/pgsql_tmp_rocksdb");
	$node->start;
	my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM (INDEX_CLEANUP on); SELECT 1');
	is("$rc $out", '0 1', 'file lost: VACUUM goes on') or diag($err);
	my @warnings = $err =~ /(WARNING: .* of table "t" .*)/g;
	is(scalar(@warnings), 1, 'file lost: one warning') or diag($err);
	like($warnings[0] // '', qr/row group at block 64 of table "t" is left as it is: /, "file lost: it names the block: $warnings[0]");
	($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.repair_row_group('t', 64)");
	is("$rc $out", '3 ', 'file lost: no repair');
	like($err, qr/None of its files is in the store/, 'file lost: with the reason');
	$node->stop;
	rename("$store/away", $sst) or die $!;
	$node->start;
	all_rows($node, 'file put back');
	return;
}

# What would leave a row group behind, whose header page is lost, is refused
sub lost_header_stays
{
	my ($node, $file) = @_;
	seal_again($node);
	$node->safe_psql('postgres', 'CHECKPOINT');
	damage($node, $file, header_of($file, 64) => $zero);
	my $place = PostgreSQL::Test::Utils::tempdir();
	$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$place'");
	my ($rc, $out, $err) = $node->psql('postgres', 'ALTER TABLE t SET TABLESPACE elsewhere');
	like($err, qr/row group at block 64 .*has lost its header page/, 'header lost: the table does not move');
	($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.unseal('t')");
	like($err, qr/row group at block 64 .*has lost its header page/, 'header lost: not unsealed');
	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64)"),
		't|0', 'header lost: repaired');
	$node->safe_psql('postgres', 'ALTER TABLE t SET TABLESPACE elsewhere');
	all_rows($node, 'header lost, repaired, moved');
	return;
}

# A frozen page without rows is lost together with the header page, and its
# place kept.  The repair gives it back: as a page like any other
sub vacant_page
{
	my ($node, $file) = @_;
	my $gone = q{ctid >= '(100,0)' AND ctid < '(101,0)'};
	$node->safe_psql('postgres', "DELETE FROM h WHERE a IN (SELECT a FROM t WHERE $gone); DELETE FROM t WHERE $gone");
	seal_again($node);
	$node->safe_psql('postgres', 'CHECKPOINT');
	is( $node->safe_psql('postgres', q{SELECT all_frozen FROM pg_visibility('t', 100)}),
		't', 'page without rows: frozen');
	$node->stop;
	write_block($file, $_, $zero->()) foreach 100, header_of($file, 64);
	$node->start;
	$node->safe_psql('postgres', "SELECT omendb.test_free_space('t', 100, 8000)");
	my ($rc, $out, $err) = $node->psql('postgres', "INSERT INTO t VALUES (-1, -1, 'lost')");
	like($err, qr/has lost its header page/, 'page without rows: noticed by insertion') or diag($err);
	is( $node->safe_psql('postgres', "SELECT get_byte(get_raw_page('t', 100), $kind)"),
		3, 'page without rows: the place is kept');
	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64)"),
		't|0', 'page without rows: the header page is back');
	cmp_ok($node->safe_psql('postgres', q{SELECT avail FROM pg_freespace('t', 100) avail}),
		'>', 8000, 'page without rows: offered to insertions');
	my $session = $node->background_psql('postgres', on_error_die => 1);
	$session->query_safe("BEGIN; INSERT INTO t VALUES (-1, -1, 'not yet')");
	is($session->query_safe('SELECT ctid FROM t WHERE a = -1'), '(100,1)', 'page without rows: it has one');
	is( $node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM t WHERE a = -1"),
		0, 'page without rows: not before it is committed');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_check_visible('t')}), 0, 'page without rows: the visibility map is right');
	all_rows($node, 'page without rows, repaired');
	return;
}

# A row was put on a lost page, and a crash came before anybody looked
sub unseen_row
{
	my ($node, $file) = @_;
	foreach my $header_too (1, 0)
	{
		my $what = $header_too ? 'row in a lost place, header lost' : 'row in a lost place';
		seal_again($node);
		$node->safe_psql('postgres', 'CHECKPOINT');
		damage($node, $file, 90 => $zero, $header_too ? (header_of($file, 64) => $zero) : ());
		$node->safe_psql('postgres', "SELECT omendb.test_free_space('t', 90, 8000); SELECT omendb.stop_event_set('landing-before-check', 'wait')");
		my ($stdout, $stderr) = ('', '');
		my $psql = IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "INSERT INTO t VALUES (-1, -1, 'unseen')" ],
			'>', \$stdout, '2>', \$stderr);
		ok($node->poll_query_until('postgres', "SELECT omendb.stop_event_waiting('landing-before-check') > 0"), "$what: stopped there");
		$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
		kill_server($node);
		IPC::Run::finish($psql);
		$node->start;
		is($node->safe_psql('postgres', "SELECT lower FROM page_header(get_raw_page('t', 90))"), 28, "$what: it is there");
		if (!$header_too)
		{
			$node->safe_psql('postgres', q{SELECT pg_truncate_visibility_map('t')});
			my ($rc, $out, $err) = $node->psql('postgres', 'VACUUM t');
			like($err, qr/marker page 90 of table "t" is lost/, "$what: VACUUM warns");
			is( $node->safe_psql('postgres', "SELECT get_byte(get_raw_page('t', 90), $kind)"),
				3, "$what: the place is kept");
			is($node->safe_psql('postgres', 'SELECT count(pad) FROM t'), $node->safe_psql('postgres', 'SELECT count(pad) FROM h'),
				"$what: rows from the store");
		}
		else
		{
			my ($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.repair_row_group('t', 64)");
			like($err, qr/DETAIL: .*Block 90 .*\n.*trust_file/, "$what: nothing proves what was there");
		}
		is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64, true)"),
			$header_too ? 't|1' : 'f|1', "$what: repaired");
		all_rows($node, "$what, repaired");
	}
	return;
}

# The header page names a version that is not there, but another one is
sub other_file
{
	my ($node, $file) = @_;
	seal_again($node);
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $header = header_of($file, 64);
	damage($node, $file, $header => sub {
		my ($page) = @_;
		substr($page, $header_id + 10, 1) = chr(ord(substr($page, $header_id + 10, 1)) ^ 1);
		return with_crc($page);
	});
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT count(pad) FROM t');
	isnt($rc, 0, 'header page names another file: noticed');
	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64)"),
		't|0', 'header page names another file: repaired');
	all_rows($node, 'header page names another file, repaired');

	# not if a marker is lost as well: nothing proves its rows
	$node->safe_psql('postgres', 'CHECKPOINT');
	damage($node, $file, 90 => $zero, $header => sub {
		my ($page) = @_;
		substr($page, $header_id + 10, 1) = chr(ord(substr($page, $header_id + 10, 1)) ^ 1);
		return with_crc($page);
	});
	($rc, $out, $err) = $node->psql('postgres', "SELECT omendb.repair_row_group('t', 64)");
	like($err, qr/no proof/, 'header page names another file, a marker is lost: refused');
	return;
}

# Our data with the CRC that it should have
sub with_crc
{
	my ($page) = @_;
	my $nlines = unpack('S', substr($page, 24 + 8, 2));
	my $len = (24 + 176 + 2 * $nlines + 7) & ~7;
	my $data = substr($page, 24, $len);
	substr($data, 16, 4) = "\0" x 4;
	substr($page, 24 + 16, 4) = pack('L', crc32c($data));
	return $page;
}

sub crc32c
{
	my $crc = 0xFFFFFFFF;
	foreach my $byte (unpack('C*', $_[0]))
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82F63B78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xFFFFFFFF;
}

# A standby made of a damaged server has the damage, and gets the repair; one
# that was whole stays so
sub standby
{
	my $node = make_node('primary', 1);
	my $file = relation_file($node, 't');
	my $by_index = "SET enable_seqscan = off; SELECT count(pad) FROM t WHERE a BETWEEN 2850 AND 3050";

	$node->backup('whole');
	my $whole = PostgreSQL::Test::Cluster->new('whole');
	$whole->init_from_backup($node, 'whole', has_streaming => 1);
	$whole->start;
	my $one = $node->safe_psql('postgres', "SELECT min(a) FROM t WHERE ctid >= '(90,0)' AND ctid < '(91,0)'");
	my $header = header_of($file, 64);
	damage($node, $file, 90 => $zero, 91 => $zero, $header + 64 => $zero);
	$node->backup('damaged', backup_options => ['--no-verify-checksums']);
	my $damaged = PostgreSQL::Test::Cluster->new('damaged');
	$damaged->init_from_backup($node, 'damaged', has_streaming => 1);
	$damaged->start;
	# a single row: else the header page, copied for another, tells of it
	my ($rc, $out, $err) = $damaged->psql('postgres', "SET enable_seqscan = off; SELECT pad FROM t WHERE a = $one");
	like($err, qr/holds no rows, but is cold/, 'standby: an error that names it');
	($rc, $out, $err) = $damaged->psql('postgres', "SELECT omendb.repair_row_group('t', 90)");
	like($err, qr/during recovery/, 'standby: no repair there');
	is($whole->safe_psql('postgres', $by_index), 201, 'whole standby: all rows');

	# places are kept, by VACUUM and by an insertion
	$node->safe_psql('postgres', q{SELECT pg_truncate_visibility_map('t')});
	$node->psql('postgres', 'VACUUM t');
	$node->wait_for_catchup($_) foreach $whole, $damaged;
	all_rows($whole, 'whole standby, places kept on the primary');
	is($damaged->safe_psql('postgres', $by_index), 201, 'standby, places kept: rows from the store');
	is( $damaged->safe_psql('postgres', "SELECT get_byte(get_raw_page('t', 90), $kind)"),
		3, 'standby: the place is kept');
	is( $whole->safe_psql('postgres', "SELECT get_byte(get_raw_page('t', 90), $kind)"),
		1, 'whole standby: the marker stands');

	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 64)"),
		'f|2', 'primary: repaired');
	is( $node->safe_psql('postgres', "SELECT header, markers FROM omendb.repair_row_group('t', 128)"),
		't|0', 'primary: header page repaired');
	# the visibility map of what had no header page is set only now
	$node->safe_psql('postgres', 'VACUUM t');
	$node->wait_for_catchup($_) foreach $whole, $damaged;
	all_rows($node, 'primary, repaired');
	all_rows($whole, 'whole standby, repaired');
	all_rows($damaged, 'standby, repaired');
	is( $_->[1]->safe_psql('postgres', q{SELECT count(*) FROM pg_visibility_map('t') WHERE NOT all_frozen}),
		0, "$_->[0]: the visibility map is whole")
	  foreach [ primary => $node ], [ standby => $damaged ];
	crash_free($_, $_->name) foreach $node, $whole, $damaged;
	$_->stop foreach $whole, $damaged, $node;
	return;
}

done_testing();
