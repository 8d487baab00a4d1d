# The time of day is set back: sealing, garbage collection and the store go on.
# And garbage is collected when sealing is off.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use OmenTest;

# A clock that we can set, for the server alone
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/clock.c", <<"END");
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void)
{
	char		buf[32] = "0";
	int			fd = open("$dir/offset", O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	close(fd);
	return atol(buf);
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;
	int			(*real) (clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int			rc = real(CLOCK_REALTIME, &ts);

	tv->tv_sec = ts.tv_sec + offset();
	tv->tv_usec = ts.tv_nsec / 1000;
	return rc;
}
END
plan skip_all => 'there is no C compiler'
  if system('cc', '-shared', '-fPIC', '-o', "$dir/clock.so", "$dir/clock.c") != 0;

my $node = omen_node(
	'main',
	'autovacuum' => 'off',
	'restart_after_crash' => 'on',
	'omendb.seal_naptime' => 1,
	'omendb.seal_delay' => 1);
$node->stop;
{
	local $ENV{LD_PRELOAD} = "$dir/clock.so";
	$node->start;
}
$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.seal = on");
$node->reload;

my $sealed = q{SELECT count(*) > 0 FROM omendb.row_groups('%s') WHERE state = 'sealed'};
my $fill = 'CREATE TABLE %1$s (id int) USING omendb; INSERT INTO %1$s SELECT generate_series(1, 3000)';
$node->safe_psql('postgres', sprintf($fill, 'before'));
ok($node->poll_query_until('postgres', sprintf($sealed, 'before')), 'a table is sealed in the background');

my $then = $node->safe_psql('postgres', 'SELECT now()');
append_to_file("$dir/offset", '-7200');
is($node->safe_psql('postgres', "SELECT clock_timestamp() < '$then'::timestamptz - interval '1 h'"), 't', 'the clock is set back');
$node->safe_psql('postgres', sprintf($fill, 'behind'));
ok($node->poll_query_until('postgres', sprintf($sealed, 'behind')), 'another table is sealed');

# Garbage is collected, also when nothing is to be sealed: a file that no header
# page names, since sealing was killed
sub garbage_goes
{
	my ($what, @ids) = @_;
	my @left;
	for (1 .. 300)
	{
		$node->safe_psql('postgres', 'CHECKPOINT');
		my %have = map { $_ => 1 } stored_ids($node);
		@left = grep { $have{$_} } @ids;
		last unless @left;
		usleep(100_000);
	}
	return is("@left", '', $what);
}

for my $setting ('off', 'on')
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.seal = off");
	$node->reload;
	$node->safe_psql('postgres', "SELECT pg_sleep(1.5); SELECT omendb.stop_event_set('seal-before-header', 'kill')");
	my %known = map { $_ => 1 } stored_ids($node);
	$node->psql('postgres', "CREATE TABLE lost_$setting AS SELECT generate_series(1, 10) a; ALTER TABLE lost_$setting SET ACCESS METHOD omendb; SELECT omendb.seal('lost_$setting', true)");
	$node->poll_query_until('postgres', 'SELECT true') or die;
	my @lost = grep { !$known{$_} } stored_ids($node);
	is(scalar @lost, 1, 'a file that nobody names');
	$node->safe_psql('postgres', "ALTER SYSTEM SET omendb.seal = $setting");
	$node->reload;
	garbage_goes("is collected with sealing $setting", @lost);
}

$node->stop;
crash_free($node, 'at the end');
done_testing();
