# The wide table: 105 columns, some of long text, most of few values
use strict;
use warnings;
my @mode = @ARGV;    # ddl or data
my @cols = (
	[ 'watch_id', 'bigint', '(random() * 9e18)::bigint' ],
	[ 'event_time', 'timestamp', "timestamp '2026-07-01' + floor(g * 2592000.0 / :rows) * interval '1 sec'" ],
	[ 'event_date', 'date', "date '2026-07-01' + floor(g * 30.0 / (:rows + 1))::integer" ],
	[ 'counter_id', 'integer', '(power(random(), 4) * 6000)::integer' ],
	[ 'user_id', 'bigint', '(power(random(), 2) * :rows / 5)::bigint * 7919' ],
	[ 'url', 'text', "'http://site' || (power(random(), 3) * 900)::integer || '.example/' || (ARRAY['', 'search?q=', 'item/', 'catalogue/list/'])[1 + floor(random() * 4)::integer] || (power(random(), 3) * 50000)::integer" ],
	[ 'referer', 'text', "CASE WHEN random() < 0.4 THEN '' ELSE 'http://' || (ARRAY['www', 'm', 'google', 'news'])[1 + floor(random() * 4)::integer] || '.example/' || (power(random(), 2) * 20000)::integer || '/from/' || (random() * 9)::integer END" ],
	[ 'title', 'text', "'Page ' || (power(random(), 3) * 30000)::integer || ' of the ' || (ARRAY['news', 'shop', 'forum', 'encyclopedia'])[1 + floor(random() * 4)::integer] || ', in long words'" ],
	[ 'search_phrase', 'text', "CASE WHEN random() < 0.87 THEN '' ELSE 'find ' || (power(random(), 2) * 8000)::integer END" ],
	[ 'mobile_model', 'text', "CASE WHEN random() < 0.93 THEN '' ELSE 'model ' || (random() * 160)::integer END" ],
	[ 'region_id', 'integer', '(power(random(), 3) * 3000)::integer' ],
	[ 'width', 'smallint', '(ARRAY[1366, 1920, 1280, 1024, 360, 1600])[1 + floor(random() * 6)::integer]' ],
	[ 'is_refresh', 'smallint', '(random() < 0.1)::integer' ],
	[ 'adv_engine', 'smallint', 'CASE WHEN random() < 0.97 THEN 0 ELSE (random() * 30)::integer END' ],
	[ 'client_ip', 'integer', '(power(random(), 2) * 2000000000)::integer' ]);
# the rest: flags, small numbers, hashes, empty and short strings
foreach my $i (1 .. 90)
{
	my $k = $i % 9;
	push @cols, $k <= 3 ? [ "f$i", 'smallint', "(random() < 0." . (1 + $i % 7) . ')::integer' ]
	  : $k <= 5 ? [ "f$i", 'integer', '(power(random(), 2) * ' . (10 * $i) . ')::integer' ]
	  : $k == 6 ? [ "f$i", 'text', "(ARRAY['', 'a', 'NH', 'utf-8', 'x'])[1 + floor(random() * 5)::integer]" ]
	  : $k == 7 ? [ "f$i", 'integer', '0' ]
	  :           [ "f$i", 'bigint', 'CASE WHEN random() < 0.8 THEN 0 ELSE (random() * 1e15)::bigint END' ];
}
print 'CREATE TABLE hits (' . join(', ', map { "$_->[0] $_->[1] NOT NULL" } @cols) . ");\n" if $mode[0] eq 'ddl';
print "SELECT setseed(0.6);\nINSERT INTO hits SELECT " . join(', ', map { $_->[2] } @cols) . " FROM generate_series(1, :rows) g;\n" if $mode[0] eq 'data';
