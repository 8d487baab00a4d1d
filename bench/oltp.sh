#!/bin/bash
#
# oltp.sh: what do omendb tables cost when nothing is sealed, and when all is?
#
# pgbench's TPC-B-like and select-only workloads on three databases of one
# server: heap, omendb (hot: nothing is ever sealed) and omendb (sealed: every
# page is sealed at the start; updates thaw what they need, and nothing is sealed
# again).  The runs alternate between the databases, after a warm-up; medians,
# their ratios to heap's and the medians of the rounds' own ratios (which the
# machine's moods touch less) are printed and written to
# bench/results/oltp.{md,svg}.
#
# Environment: SCALE (20), ROUNDS (5), SECONDS_PER_RUN (20), CLIENTS (2),
# DATABASES ("heap hot sealed"), WORKLOADS ("select tpcb"), NAME (oltp: of the
# result's files),
# NO_BUILD (set: omendb is installed already)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

SCALE=${SCALE:-20}
ROUNDS=${ROUNDS:-5}
SECONDS_PER_RUN=${SECONDS_PER_RUN:-20}
CLIENTS=${CLIENTS:-2}
DATABASES=${DATABASES:-heap hot sealed}
NAME=${NAME:-oltp}
WORKLOADS=${WORKLOADS:-select tpcb}
RESULTS=$TOP/bench/results
mkdir -p "$RESULTS"

if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" || exit 1
fi

new_server bench "shared_buffers = 1GB" "max_wal_size = 8GB" \
	"checkpoint_timeout = 30min" "autovacuum = off" "fsync = off" \
	"omendb.cache_size = 512MB" "omendb.seal = off" || exit 1
start_server bench || exit 1

for db in $DATABASES; do
	sql bench -q -d postgres -c "CREATE DATABASE $db" || exit 1
	am=omendb
	if [ $db = heap ]; then
		am=heap
	else
		sql bench -q -d $db -c "CREATE EXTENSION omendb" || exit 1
	fi
	as_user env PGOPTIONS="-c default_table_access_method=$am" \
		pgbench -q -i -s "$SCALE" -h "$WORK/bench.s" -U postgres $db \
		>"$WORK/init.log" 2>&1 || { cat "$WORK/init.log"; exit 1; }
done
for db in $DATABASES; do
	sql bench -q -d $db -c "VACUUM FREEZE" || exit 1
	[ $db = sealed ] || continue
	sql bench -q -d sealed -c "SELECT omendb.seal(oid::regclass, true) FROM pg_class
		WHERE relname LIKE 'pgbench_%' AND relkind = 'r'" >"$WORK/seal.log" || exit 1
	sql bench -q -d sealed -At -c "SELECT 'sealed at the start: ' || sum(cold_pages)
		|| ' pages, ' || sum(cold_rows) || ' rows' FROM omendb.row_groups('pgbench_accounts')"
done
sql bench -q -d postgres -c "CHECKPOINT"

# CPU time of the server's processes that have ended, in ticks of 10 ms
cpu() {
	sed 's/^.*) //' "/proc/$(head -n 1 "$WORK/bench/postmaster.pid")/stat" |
		awk '{ print $14 + $15 }'
}

run() { # database workload seconds -> tps, and the backends' CPU time of one in us
	local args="" before
	[ "$2" = select ] && args="-S"
	before=$(cpu)
	as_user pgbench -n $args -M prepared -c "$CLIENTS" -j "$CLIENTS" -T "$3" \
		-h "$WORK/bench.s" -U postgres "$1" >"$WORK/pgbench.out" 2>/dev/null
	sleep 0.5 # the backends end
	awk -v ticks="$(($(cpu) - before))" '
		/^number of transactions actually processed/ { n = $6 }
		/^tps = / { tps = $3 }
		END { printf "%s %.2f\n", tps, ticks * 10000 / n }' "$WORK/pgbench.out"
}

for workload in $WORKLOADS; do
	for db in $DATABASES; do run $db $workload 8 >/dev/null; done
	for round in $(seq "$ROUNDS"); do
		for db in $DATABASES; do
			echo "$workload $db $(run $db $workload "$SECONDS_PER_RUN")" |
				tee -a "$WORK/runs.txt"
		done
	done
done

# the databases in the order of the runs, heap first
perl - "$WORK/runs.txt" >"$WORK/table.txt" <<'P'
use strict; use warnings; use List::Util 'min';
my (%v, %c, @order);
while (<>) {
	my ($w, $d, $t, $cpu) = split;
	push @order, [ $w, $d ] unless $v{$w}{$d};
	push @{ $v{$w}{$d} }, $t;
	push @{ $c{$w}{$d} }, $cpu;
}
sub median { my @s = sort { $a <=> $b } @_; return $s[$#s / 2]; }
for (@order) {
	my ($w, $d) = @$_;
	my ($mine, $heap) = ($v{$w}{$d}, $v{$w}{heap});
	printf "%s\t%s\t%.0f\t%.3f\t%.3f\t%.1f\t%.3f\n", $w, $d, median(@$mine), median(@$mine) / median(@$heap),
	  median(map { $mine->[$_] / $heap->[$_] } 0 .. $#$mine), min(@{ $c{$w}{$d} }),
	  min(@{ $c{$w}{heap} }) / min(@{ $c{$w}{$d} });
}
P
{
	echo "# pgbench on omendb tables"
	echo
	echo "\`bench/oltp.sh\`: scale $SCALE, $CLIENTS clients, $ROUNDS interleaved runs of $SECONDS_PER_RUN s each, medians;"
	echo "PostgreSQL $(sql bench -At -d postgres -c 'SHOW server_version'), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync off."
	echo "hot: nothing is sealed. sealed: every page at the start; updates thaw what they need."
	echo
	echo "Load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
	echo
	echo "CPU: time that the server's backends took for one transaction, in the round in which it was least (other work on"
	echo "the machine only adds to it)."
	echo
	echo "| workload | table | tps | ratio to heap | median of the rounds' ratios | least CPU, us | heap's / its |"
	echo "|---|---|---:|---:|---:|---:|---:|"
	awk -F'\t' '{ print "| " $1 " | " $2 " | " $3 " | " $4 " | " $5 " | " $6 " | " $7 " |" }' "$WORK/table.txt"
} >"$RESULTS/$NAME.md"
awk -F'\t' '{ print $1 " " $2 "\t" $4 }' "$WORK/table.txt" |
	perl "$TOP/bench/bars.pl" "pgbench: throughput relative to heap" >"$RESULTS/$NAME.svg"
cat "$RESULTS/$NAME.md"
