# Incremental backups (17 on): a full one and two more, taken while rows are
# sealed, thawed, vacuumed away and collected, put together by
# pg_combinebackup, are the server as it was.  Markers, whose pages are written
# by records of our own, have to be in the WAL's summaries; files of the store
# are copied whole; what sealing has punched out of a table's file comes back.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);
use Test::More;

my ($version) = run_command([ 'pg_config', '--version' ]);
if ($version !~ /(\d+)/ || $1 < 17)
{
	plan skip_all => 'incremental backups are new in 17';
}

my $rows = 4000;
my $node = omen_node('source', page_checksums => 'default', 'summarize_wal' => 'on', 'checkpoint_timeout' => "'30s'",
	'max_wal_size' => "'1GB'");
make_twins($node, $rows);
# tables whose life falls between two backups
$node->safe_psql(
	'postgres', q{
CREATE TABLE still (id int, v int, note text) USING omendb;
INSERT INTO still SELECT g, g % 50, md5(g::text) FROM generate_series(1, 20000) g;
CREATE INDEX still_id ON still USING alex (id);
CREATE TABLE late (LIKE still) USING omendb;
INSERT INTO late SELECT * FROM still;
CREATE INDEX late_id ON late USING alex (id);
CREATE TABLE shrunk (LIKE still) USING omendb;
INSERT INTO shrunk SELECT * FROM still;
CREATE TABLE gone (LIKE still) USING omendb;
INSERT INTO gone SELECT * FROM still;
CREATE TABLE moved (LIKE still) USING omendb;
INSERT INTO moved SELECT * FROM still;
});
seal_all($node, $_) foreach qw(acct still shrunk gone moved);

my $dir = PostgreSQL::Test::Utils::tempdir;
twin_scripts($dir, $rows);
my @chain;

# backup(name): under load, on top of the one before
sub backup
{
	my ($name) = @_;
	my $load = start_load($node, 6, [ "$dir/change.sql", 2 ], [ "$dir/maintain.sql", 1 ],
		[ "$dir/checkpoint.sql", 1 ]);
	usleep(500_000);
	my $path = $node->backup_dir . "/$name";
	$node->command_ok(
		[
			'pg_basebackup', '-D', $path, '-X', 'stream', '-c', 'fast', '--no-sync',
			(@chain ? ('--incremental', "$chain[-1]/backup_manifest") : ()),
			'-h', $node->host, '-p', $node->port
		],
		"backup $name taken under load");
	command_ok([ 'pg_verifybackup', $path ], "backup $name: its manifest is right");
	push @chain, $path;
	stop_load($load);
	compare_twins($node, "the source after backup $name");
	return $path;
}

# the blocks of a relation's file that a backup holds; -1: it is there in whole
sub blocks_in
{
	my ($path, $file) = @_;
	(my $incremental = "$path/$file") =~ s,/([^/]*)$,/INCREMENTAL.$1,;
	return -1 if -e "$path/$file";
	open(my $fh, '<:raw', $incremental) or die "no $incremental: $!";
	read($fh, my $header, 8);
	close $fh;
	my ($magic, $count) = unpack('LL', $header);
	return $count;
}

backup('full');

$node->safe_psql(
	'postgres', q{
DELETE FROM shrunk WHERE id > 9000;
VACUUM shrunk;
UPDATE moved SET v = 51 WHERE id % 1000 = 0;
VACUUM FULL moved;
DROP TABLE gone;
UPDATE late SET v = v + 1 WHERE id < 50;
CREATE TABLE born (LIKE still) USING omendb;
INSERT INTO born SELECT * FROM still;
CREATE INDEX born_id ON born USING alex (id);
});
seal_all($node, $_) foreach qw(late moved born);
my $first = backup('first');

my $still = $node->safe_psql('postgres', "SELECT pg_relation_filepath('still')");
is(blocks_in($first, $still), 0, 'first: nothing of a sealed table that nobody touched');
my $late = $node->safe_psql('postgres', "SELECT pg_relation_filepath('late')");
cmp_ok(blocks_in($first, $late), '!=', 0, 'first: the markers of a table sealed since');
my @sst = map { s,.*/,,r } glob("$first/omendb/sst/*");
cmp_ok(scalar(@sst), '>', 0, 'first: files of the store');
is(scalar(grep { /INCREMENTAL/ } @sst), 0, 'first: they are there in whole');

# a few rows thawed, nothing sealed anew
$node->safe_psql(
	'postgres', q{
UPDATE late SET v = -1 WHERE id IN (17, 9000, 19000);
DELETE FROM born WHERE id BETWEEN 100 AND 110;
SELECT omendb.unseal('moved');
DELETE FROM shrunk WHERE id > 100;
VACUUM shrunk;
});
my $second = backup('second');
my $blocks = blocks_in($second, $late);
my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('late') / 8192");
cmp_ok($blocks, '>', 0, 'second: thawed pages of a sealed table');
cmp_ok($blocks, '<', $size / 2, 'second: and few others');

# what was there then
my %contents;
my @tables = qw(still late shrunk moved born);

sub content
{
	my ($server, $table) = @_;
	return $server->safe_psql('postgres',
		"SELECT count(*), sum(v), sum(hashtext(id || ' ' || v || note)::bigint), max(ctid), sum(hashtext(ctid::text)::bigint) FROM $table");
}
$contents{$_} = content($node, $_) foreach @tables;

# what two of the backups give, and what all three
foreach my $n (2, 3)
{
	my $name = "combined$n";
	my $restored = PostgreSQL::Test::Cluster->new($name);
	my $out = $node->backup_dir . "/$name";
	command_ok(
		[ 'pg_combinebackup', '--no-sync', '-o', $out, @chain[ 0 .. $n - 1 ] ],
		"$name: put together");
	command_ok([ 'pg_verifybackup', '-n', $out ], "$name: its manifest is right");
	$restored->init_from_backup($node, $name);
	$restored->start;
	compare_twins($restored, "$name restored");
	check_indexes($restored, "$name restored");
	if ($n == 3)
	{
		is(content($restored, $_), $contents{$_}, "$name: the rows of $_ at their places")
		  foreach @tables;
		is($restored->safe_psql('postgres', "SELECT to_regclass('gone') IS NULL"), 't', "$name: gone is gone");
	}
	foreach my $index (qw(still_id late_id born_id))
	{
		is( $restored->safe_psql(
				'postgres', "SELECT count(*) FROM (SELECT omendb.alex_check('$index', true)) c"),
			1, "$name: $index");
	}
	$restored->safe_psql('postgres',
		'UPDATE acct SET v = 7 WHERE id % 10 = 0; UPDATE acct_heap SET v = 7 WHERE id % 10 = 0; VACUUM (FREEZE) acct');
	seal_all($restored, 'acct');
	compare_twins($restored, "$name written and sealed");
	check_store($restored, $name, 'acct', @tables);
	crash_free($restored, $name);
	$restored->stop;
	$restored->clean_node;
}
crash_free($node, 'the source');
$node->stop;

done_testing();
