# Who reads many row groups at once keeps those from being deleted, no others;
# and what reading them needs is bounded.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use OmenTest;

my $node = omen_node('main', 'omendb.row_group_blocks' => 1, 'omendb.gc_interval' => 0);
my $tables = 90;

$node->safe_psql(
	'postgres', qq{
DO \$\$ BEGIN
	FOR i IN 1..$tables LOOP
		EXECUTE format('CREATE TABLE part%s (id int, v text) USING omendb', i);
		EXECUTE format('INSERT INTO part%s SELECT g, repeat(''x'', 100) FROM generate_series(1, 50) g', i);
	END LOOP;
END \$\$;
CREATE ROLE reader;
DO \$\$ BEGIN FOR i IN 1..$tables LOOP EXECUTE format('GRANT SELECT ON part%s TO reader', i); END LOOP; END \$\$;
});
$node->safe_psql('postgres', join("\n", map { "CALL seal_all('part$_');" } 1 .. $tables));

# (the SQL functions do not list what has a tombstone)
sub file_is_there
{
	my ($id) = @_;
	return scalar grep { $_ eq $id } stored_ids($node);
}

sub file_goes
{
	my ($id, $what) = @_;
	my $end = time + 30;
	# not before a checkpoint has seen the drop
	$node->safe_psql('postgres', 'CHECKPOINT');
	usleep(20_000) while file_is_there($id) && time < $end;
	return is(file_is_there($id), 0, $what);
}

# an ordinary user with very many open scans
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe('SET ROLE reader; BEGIN');
$session->query_safe(
	join(
		"\n",
		map { "DECLARE c$_ CURSOR FOR SELECT * FROM part$_; FETCH FROM c$_;" }
		  1 .. $tables));

my ($unrelated) = split /\n/,
  $node->safe_psql('postgres', 'SELECT omendb.test_file_write(3, 1000, 0, 1)');
$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$unrelated')");
file_goes($unrelated, "a row group that nobody reads is deleted while $tables scans are open");

# each of the row groups that they read is spared, until it is not read any more
my %id;
for my $t (1, 40, 70, $tables)
{
	$id{$t} = $node->safe_psql('postgres',
		"SELECT id FROM omendb.row_groups('part$t')");
	# (no header page names it then)
	$node->safe_psql('postgres', "SELECT omendb.unseal('part$t')");
}
# the store has seen the tombstones when a later one is gone
my ($later) = split /\n/, $node->safe_psql('postgres', 'SELECT omendb.test_file_write(1, 10)');
$node->safe_psql('postgres', "SELECT omendb.test_file_drop('$later')");
file_goes($later, 'a later one too');
is(file_is_there($id{$_}), 1, "scan $_ keeps what it reads") for sort { $a <=> $b } keys %id;
$session->query_safe("CLOSE c$_") for (1, 70);
file_goes($id{$_}, "closed, scan $_ does not") for (1, 70);
is(file_is_there($id{$_}), 1, "scan $_ still does") for (40, $tables);
$session->quit;
file_goes($id{$_}, "nor does scan $_ when its session has ended") for (40, $tables);

done_testing();
