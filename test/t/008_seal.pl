# Freezing and sealing as standbys, recovery and VACUUM see them, with
# wal_log_hints off as most servers have it (the other tests' servers have it on).

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use OmenTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = omen_node('primary', 'autovacuum' => 'off', 'wal_log_hints' => 'off',
	'bgwriter_lru_maxpages' => 0, 'max_standby_streaming_delay' => 0);
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

# A row that fails after its page was added to the table leaves an empty page
# that WAL does not know; here a row fills a page.
$node->safe_psql('postgres', q{
CREATE TABLE wide (id int, pad text) USING omendb;
ALTER TABLE wide ALTER pad SET STORAGE PLAIN;
INSERT INTO wide SELECT g, repeat('x', 6000) FROM generate_series(1, 6) g;
CREATE EXTENSION pg_visibility;
CHECKPOINT});
{
	my @sessions = map { $node->background_psql('postgres', on_error_stop => 0) } (1, 2);
	$_->query_safe('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM wide') for @sessions;
	$sessions[0]->query_safe(q{INSERT INTO wide VALUES (7, repeat('y', 6000)); COMMIT});
	$sessions[1]->query(q{INSERT INTO wide VALUES (8, repeat('z', 6000))});
	$_->quit for @sessions;
}
is($node->safe_psql('postgres', q{SELECT pg_relation_size('wide') / 8192}), '8',
	'a failed row has left a page');
$node->safe_psql('postgres', q{SELECT omendb.seal('wide', true)});
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT count(*), sum(id) FROM wide'), '7|28',
	'the standby knows the page');

# Freezing cancels no query on the standby that sees the frozen rows anyway.
$node->safe_psql('postgres', q{
CREATE TABLE seen (id int) USING omendb;
INSERT INTO seen SELECT generate_series(1, 3000)});
$node->wait_for_catchup($standby);
{
	my $query = $standby->background_psql('postgres', on_error_stop => 0);
	is($query->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM seen'), '3000',
		'a query on the standby');
	$node->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 3;
	seal_all($node, 'seen');
	$node->wait_for_catchup($standby);
	is($query->query('SELECT count(*) FROM seen'), '3000', 'it goes on');
	$query->quit;
}

# Recovery of a thawed page finds its room again.
$node->safe_psql('postgres', q{
CREATE TABLE room (id int, note text) USING omendb WITH (fillfactor = 40);
INSERT INTO room SELECT g, repeat('r', 200) FROM generate_series(1, 200) g;
CREATE EXTENSION pg_freespacemap});
seal_all($node, 'room');
$node->safe_psql('postgres', q{CHECKPOINT; SELECT omendb.unseal('room')});

kill_server($node);
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_freespace('room') WHERE avail < 4000 AND blkno < 12}), '0',
	'the room of thawed pages is known');
$node->safe_psql('postgres', q{INSERT INTO wide VALUES (9, repeat('z', 6000))});
is($node->safe_psql('postgres', q{SELECT pg_relation_size('wide') / 8192}), '8',
	'the page is used after a crash');
is($node->safe_psql('postgres', q{SELECT all_visible, pd_all_visible FROM pg_visibility('wide', 7)}),
	'f|f', 'it is not all-visible then');
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM wide'), '8|37', 'the rows are there');

# Pages whose rows are all gone stay hot, so that others find the room.
$node->safe_psql('postgres', q{
CREATE TABLE queue (id int, note text) USING omendb;
INSERT INTO queue SELECT g, repeat('q', 200) FROM generate_series(1, 2000) g;
DELETE FROM queue WHERE ctid >= '(2,0)' AND ctid < '(40,0)'});
seal_all($node, 'queue');
{
	my $size = q{SELECT pg_relation_size('queue')};
	my $before = $node->safe_psql('postgres', $size);
	$node->safe_psql('postgres', q{INSERT INTO queue SELECT g, repeat('r', 200) FROM generate_series(2001, 3000) g});
	is($node->safe_psql('postgres', $size), $before, 'room of deleted rows is used again');
}

# VACUUM does its own work while the store cannot be used, and seals later.
$node->safe_psql('postgres', q{
CREATE TABLE later (id int) USING omendb;
INSERT INTO later SELECT generate_series(1, 3000)});
chmod 0000, $node->data_dir . '/omendb/sst';
$node->stop;
my ($out, $err);
IPC::Run::run([ 'postgres', '--single', '-D', $node->data_dir, 'postgres' ],
	'<', \"VACUUM later\n", '>', \$out, '2>', \$err);
unlike($err, qr/ERROR/, 'VACUUM in single-user mode');
$node->start;
ok($node->poll_query_until('postgres', q{SELECT state = 'refused' FROM omendb.store_stats()}),
	'the store is refused');
($out, $err) = ($node->psql('postgres', 'VACUUM (ANALYZE) later'))[0, 2];
is("$out $err", '0 ', 'VACUUM without a store');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stats WHERE tablename = 'later'}), '1', 'so does ANALYZE');
chmod 0700, $node->data_dir . '/omendb/sst';
$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->start;
$node->safe_psql('postgres', 'INSERT INTO later SELECT generate_series(3001, 3100)');
$err = ($node->psql('postgres', 'VACUUM later'))[2];
is($err, '', 'VACUUM without a worker');
$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$node->start;
$node->poll_query_until('postgres', q{SELECT state = 'ready' FROM omendb.store_stats()});
$node->safe_psql('postgres', 'VACUUM later');
is($node->safe_psql('postgres', q{SELECT cold_rows('later') > 2000}), 't', 'VACUUM seals when it can');

# Without omendb.seal nothing is sealed in the background, not by autovacuum either.
$node->append_conf('postgresql.conf', "autovacuum = on\nautovacuum_naptime = 1");
$node->reload;
$node->safe_psql('postgres', q{
CREATE TABLE auto (id int) USING omendb WITH (autovacuum_vacuum_insert_threshold = 1, autovacuum_vacuum_insert_scale_factor = 0);
INSERT INTO auto SELECT generate_series(1, 3000)});
$node->poll_query_until('postgres', q{SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'auto'});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'});
is($node->safe_psql('postgres', q{SELECT cold_rows('auto')}), '0', 'autovacuum does not seal with omendb.seal = off');

# The first block of a row group that was added to the table and never used, as a
# crash can leave it, does not keep the others from being sealed.
$node->safe_psql('postgres', q{
CREATE TABLE gap (id int, pad text) USING omendb;
ALTER TABLE gap ALTER pad SET STORAGE PLAIN;
INSERT INTO gap SELECT g, repeat('x', 6000) FROM generate_series(1, 4) g});
my $gap = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('gap')});
$node->stop;
append_to_file($gap, "\0" x (2 * 8192));
$node->start;
$node->safe_psql('postgres', q{INSERT INTO gap VALUES (5, repeat('y', 6000))});
is($node->safe_psql('postgres', 'SELECT max(ctid) FROM gap'), '(5,1)', 'block 4 has never been used');
seal_all($node, 'gap');
is($node->safe_psql('postgres', q{SELECT cold_rows('gap')}), '5', 'all rows are sealed');
$node->safe_psql('postgres', q{UPDATE gap SET id = 50 WHERE id = 5; INSERT INTO gap SELECT g, repeat('z', 6000) FROM generate_series(6, 9) g});
is($node->safe_psql('postgres', 'SELECT count(*), sum(id) FROM gap'), '9|90', 'and can be worked with');
seal_all($node, 'gap');
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT count(*), sum(id) FROM gap'), '9|90', 'on the standby, too');

crash_free($_, $_->name) for ($node, $standby);
$standby->stop;
$node->stop;

done_testing();
