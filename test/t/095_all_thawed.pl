# Row groups none of whose pages is cold any more, after updates here and there: scans
# take the values of all other rows from the chunks, VACUUM keeps these as long as
# there are many such rows, and a file that is gone is not missed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 20000;
my $node = PostgreSQL::Test::Cluster->new('all_thawed');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', omen_conf('omendb.row_group_blocks' => 64, 'autovacuum' => 'off',
	'omendb.seal' => 'off', 'max_parallel_workers_per_gather' => 0));
$node->start;
$node->safe_psql('postgres', "CREATE EXTENSION $_") foreach qw(omendb omendb_test);
omen_helpers($node);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('all_thawed_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $force = 'SET omendb.enable_vectorized_scan = force; SET omendb.enable_vectorized_agg = force;';
my $off = 'SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off;';
my $query = 'SELECT count(*), sum(v), sum(id), max(s), count(*) FILTER (WHERE v < 0) FROM t';

# rows that are taken from chunks; the query gives the same row by row
sub thawed
{
	my ($what, $on) = @_;
	$on //= $node;
	is($on->safe_psql('postgres', "$force $query"), $on->safe_psql('postgres', "$off $query"), "$what: as row by row");
	my $plan = $on->safe_psql('postgres', "$force EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) $query");
	$plan =~ /Rows: cold=(\d+) thawed=(\d+) hot=(\d+)/ or die $plan;
	return $2;
}

# sealed row groups, and their cold rows
sub sealed { return sql("SELECT count(*), coalesce(sum(cold_rows), 0) FROM omendb.row_groups('t') WHERE state = 'sealed'"); }

sql("CREATE TABLE t (id int PRIMARY KEY, v int, s text) USING omendb;
	INSERT INTO t SELECT g, g % 100, repeat('s', g % 50) FROM generate_series(1, $rows) g");
seal_all($node, 't');
my ($groups) = sealed() =~ /^(\d+)\|[1-9]/ or die 'nothing is sealed';
cmp_ok($groups, '>', 1, 'row groups are sealed');

# (VACUUM shall not seal anew what has just been changed)
sub seal_delay
{
	my ($delay) = @_;
	sql("ALTER SYSTEM SET omendb.seal_delay = $delay");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT setting = '$delay' FROM pg_settings WHERE name = 'omendb.seal_delay'") or die 'no delay';
	return;
}
seal_delay(100000);

# one row in fifty: each page has some
sql('UPDATE t SET v = -1 WHERE id % 50 = 7');
is(sealed(), "$groups|0", 'they are still sealed, without cold rows');
cmp_ok(thawed('all thawed'), '>', $rows * 0.9, 'most rows come from chunks');
cmp_ok(thawed('again, with notes'), '>', $rows * 0.9, 'and again');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
cmp_ok(thawed('standby', $standby), '>', $rows * 0.9, 'on a standby, too');

sql('VACUUM t');
is(sealed(), "$groups|0", 'VACUUM keeps them');
cmp_ok(thawed('after VACUUM'), '>', $rows * 0.9, 'and most rows come from chunks');
$node->stop('immediate');
$node->start;
cmp_ok(thawed('after a crash'), '>', $rows * 0.9, 'after a crash as well');

# the folder cannot be looked at
my $sst = $node->data_dir . '/omendb/sst';
SKIP:
{
	skip 'root may look at everything', 2 if $> == 0;
	chmod 0000, $sst;
	is(thawed('folder out of reach'), 0, 'no row comes from chunks');
	chmod 0700, $sst;
}

# a file is gone
my ($id) = split /\n/, sql("SELECT id FROM omendb.row_groups('t') WHERE state = 'sealed' ORDER BY first_block");
$id =~ s/-//g;
my ($file) = glob("$sst/$id*.sst") or die "no file of $id";
$node->stop;
rename $file, $node->data_dir . '/away' or die $!;
$node->start;
my $left = thawed('a file is gone');
cmp_ok($left, '<', $rows * 0.9, 'its rows are read from pages');
cmp_ok($left, '>', 0, 'those of the others are not');
$node->stop;
rename $node->data_dir . '/away', $file or die $!;
$node->start;
cmp_ok(thawed('the file is back'), '>', $rows * 0.9, 'they come from chunks again');

# more than half of the rows have changed, in the second half of the table
sql("UPDATE t SET v = -2 WHERE id % 3 > 0 AND id > $rows / 2; VACUUM t");
my ($now) = sealed() =~ /^(\d+)\|0$/;
cmp_ok($now, '<', $groups, 'VACUUM gives up row groups whose rows have changed');
cmp_ok($now, '>', 0, 'and keeps the others');
cmp_ok(thawed('some given up'), '>', $rows * 0.3, 'whose rows come from chunks');

# sealed again
seal_delay(0);
seal_all($node, 't');
seal_delay(100000);
like(sealed(), qr/^\d+\|[1-9]/, 'sealed again');
thawed('sealed again');
sql('DELETE FROM t WHERE id % 20 > 0; VACUUM t');
unlike(sealed(), qr/^$groups\|0$/, 'most rows deleted: given up');
thawed('deleted');
is(sql('SELECT omendb.gc()') >= 0 ? 1 : 0, 1, 'garbage collection');
thawed('after garbage collection');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
thawed('standby at the end', $standby);

done_testing();
