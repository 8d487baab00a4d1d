# pg_upgrade between two servers that preload omendb, with unsealed tables.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# everything settles at once and is sealed in the background
my %eager = ('omendb.seal_naptime' => 1, 'autovacuum' => 'off');
my $old = omen_node('old', %eager);
make_twins($old, 3000);
$old->safe_psql('postgres', 'CREATE INDEX acct_alex ON acct USING alex (id); CREATE DATABASE other');
seal_all($old, 'acct');
is($old->safe_psql('postgres', q{SELECT omendb.unseal('acct') > 0}), 't', 'unsealed');
$old->append_conf('postgresql.conf', 'omendb.seal = on');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(allows_streaming => 1);
# pg_upgrade wants both as they are in the old one
no_checksums($new);
$new->append_conf('postgresql.conf', omen_conf(%eager));

my $dir = PostgreSQL::Test::Utils::tempdir;
chdir $dir or die "chdir: $!";
command_ok(
	[
		'pg_upgrade', '--no-sync',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');

$new->start;
ok($new->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()}), 'the store');
compare_twins($new, 'upgraded');
check_indexes($new, 'upgraded');
is($new->safe_psql('postgres', q{SET enable_seqscan = off; SELECT omendb.alex_check('acct_alex', true), v FROM acct WHERE id = 77}),
	'|77', 'the alex index');
seal_all($new, 'acct');
compare_twins($new, 'sealed again');
check_store($new, 'the files', 'acct');
crash_free($_, $_->name) for ($old, $new);
$new->stop;

done_testing();
