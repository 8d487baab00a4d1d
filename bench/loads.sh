#!/bin/bash
#
# loads.sh: what do loads from the store cost in several builds, side by side?
#
#   loads.sh NAME=PG_CONFIG NAME=PG_CONFIG ...
#
# Each PG_CONFIG belongs to an installation (of the same major version) that has
# some version of omendb installed; nothing is built here.  All have the same
# table and run the same queries in turn, in an order that changes from round to
# round, so that what else the machine does hits all of them alike:
#
# scan    sequential scan of a table much larger than omendb.cache_size
# probe   scattered index probes, which the cache is too small for as well
# cached  the scan, with a cache that holds the whole table
#
# For each the median of the rounds' times, and of the processor time that the
# query's backend and the store's worker (with all its threads) took, which a busy
# machine falsifies less; quartiles as a measure of noise; and the ratios to the
# first build: medians of the rounds' own.
#
# Environment: ROUNDS (21), ROWS (500000), PROBES (1000).  Printed, and written to
# bench/results/loads.md.
#
set -u
[ $# -ge 2 ] || { sed -n '3,24s/^# \{0,1\}//p' "$0"; exit 1; }
export PG_CONFIG=${1#*=}
. "$(dirname "$0")/../tools/lib.sh"

ROUNDS=${ROUNDS:-21}
ROWS=${ROWS:-500000}
PROBES=${PROBES:-1000}
RESULTS=$TOP/bench/results
mkdir -p "$RESULTS"

declare -A bin pid store in out
names=()
for arg in "$@"; do
	name=${arg%%=*}
	names+=("$name")
	bin[$name]=$("${arg#*=}" --bindir)
done

# on NAME: what follows runs with that build's programs
on() { BINDIR=${bin[$1]}; }

# answer NAME QUERY: run it in the server's session, print its last line
answer() {
	local line last=
	printf '%s\n\\echo //\n' "$2" >&"${in[$1]}"
	while read -r -u "${out[$1]}" line; do
		[ "$line" != // ] || break
		last=$line
	done
	echo "$last"
}

open_session() {
	local name=$1
	as_user mkfifo "$WORK/$name.in.$2" "$WORK/$name.out.$2"
	on "$name"
	as_user sh -c "exec psql -XAtq -h '$WORK/$name.s' -U postgres postgres <'$WORK/$name.in.$2' >'$WORK/$name.out.$2' 2>'$WORK/$name.err'" &
	exec {fd}>"$WORK/$name.in.$2"
	in[$name]=$fd
	exec {fd}<"$WORK/$name.out.$2"
	out[$name]=$fd
	# what an older version does not know is an error that nobody reads
	answer "$name" "SET max_parallel_workers_per_gather = 0; SET omendb.enable_vectorized_scan = off; SET omendb.enable_vectorized_agg = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off;" >/dev/null
	pid[$name]=$(answer "$name" "SELECT pg_backend_pid();")
	store[$name]=$(answer "$name" "SELECT pid FROM omendb.store_stats();")
}

close_session() {
	exec {in[$1]}>&- {out[$1]}<&-
}

# Processor time of processes with all their threads, in microseconds
processor() {
	cat $(printf '/proc/%s/task/*/schedstat ' "$@") 2>/dev/null | awk '{ n += $1 } END { printf "%d\n", n / 1000 }'
}

for name in "${names[@]}"; do
	on "$name"
	new_server "$name" "shared_buffers = 256MB" "max_wal_size = 8GB" "fsync = off" "autovacuum = off" \
		"checkpoint_timeout = 30min" "omendb.seal = off" "omendb.seal_delay = 0" "omendb.cache_size = 8MB" "jit = off" || exit 1
	start_server "$name" || exit 1
	sql "$name" -q postgres <<-SQL || exit 1
	CREATE EXTENSION omendb;
	CREATE TABLE t (a int, b float8, c text, d int) USING omendb;
	INSERT INTO t SELECT g, sin(g), md5(g::text), g % 1000 FROM generate_series(1, $ROWS) g;
	CREATE INDEX ON t (a);
	CREATE TABLE probes AS SELECT (1 + (g * 7919::bigint * 104729) % $ROWS)::int AS a FROM generate_series(1, $PROBES) g;
	VACUUM ANALYZE t;
	VACUUM ANALYZE probes;
	SELECT omendb.seal('t', true) IS NOT NULL AS sealed;
	CHECKPOINT;
	SQL
	cold=$(sql "$name" -qAt postgres -c "SELECT sum(cold_rows) = $ROWS FROM omendb.row_groups('t')")
	[ "$cold" = t ] || fail "$name: not all rows are sealed"
done

scan="SELECT count(a), sum(b), count(c), sum(d) FROM t;"
probe="SELECT count(b), count(c) FROM probes p, LATERAL (SELECT b, c FROM t WHERE t.a = p.a OFFSET 0) x;"
declare -A expected
: >"$WORK/times"

# run WHAT NAME QUERY [before]: one measurement
run() {
	local what=$1 name=$2 query=$3 began cpu result
	[ -z "${4:-}" ] || answer "$name" "$4" >/dev/null
	cpu=$(processor "${pid[$name]}" "${store[$name]}")
	began=$(date +%s%N)
	result=$(answer "$name" "$query")
	echo "$what $name $((($(date +%s%N) - began) / 1000)) $(($(processor "${pid[$name]}" "${store[$name]}") - cpu))" >>"$WORK/times"
	[ "${expected[$what]:-$result}" = "$result" ] || fail "$what on $name: $result"
	expected[$what]=$result
}

# rounds: each of the builds in turn, beginning with another one each time
rounds() {
	local round i
	for ((round = 0; round < ROUNDS; round++)); do
		for ((i = 0; i < ${#names[@]}; i++)); do
			"$1" "${names[(i + round) % ${#names[@]}]}"
		done
	done
}

uncached() {
	run scan "$1" "$scan" "SELECT omendb.cache_reset();"
	run probe "$1" "$probe" "SELECT omendb.cache_reset();"
}
cached() { run cached "$1" "$scan"; }

LOAD=$(cut -d' ' -f1-3 /proc/loadavg)
for name in "${names[@]}"; do open_session "$name" 1; uncached "$name"; done
: >"$WORK/times"
before=$(for name in "${names[@]}"; do answer "$name" "SELECT misses FROM omendb.cache_stats();"; done)
rounds uncached
after=$(for name in "${names[@]}"; do answer "$name" "SELECT misses FROM omendb.cache_stats();"; done)
for name in "${names[@]}"; do
	close_session "$name"
	on "$name"
	stop_server "$name"
	as_user sh -c "echo 'omendb.cache_size = 512MB' >>'$WORK/$name/postgresql.conf'"
	start_server "$name" || exit 1
	open_session "$name" 2
	cached "$name"
done
grep -v '^cached' "$WORK/times" >"$WORK/times.0"
mv "$WORK/times.0" "$WORK/times"
rounds cached

{
	echo "# Loads from the store, builds side by side: bench/loads.sh"
	echo
	echo "$(date -u +%F), $(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)), $("$PG_CONFIG" --version)."
	echo "ROUNDS=$ROUNDS ROWS=$ROWS PROBES=$PROBES bench/loads.sh $(printf '%s=... ' "${names[@]}")"
	echo "Load average when it began and when it ended: $LOAD; $(cut -d' ' -f1-3 /proc/loadavg)."
	echo "Loads that were waited for, in all rounds, by build: $(paste <(echo "$after") <(echo "$before") | awk '{ printf "%s%d", (NR > 1 ? ", " : ""), $1 - $2 }')."
	echo "Milliseconds: median (quartiles)."
	echo
	echo "| | build | time | ratio | processor time | ratio |"
	echo "|---|---|---|---|---|---|"
	perl -e '
		my (%t, @order, %seen);
		while (<STDIN>) { my ($what, $name, @v) = split; push @order, "$what $name" unless $seen{"$what $name"}++; push @{ $t{$what}{$name}[$_] }, $v[$_] / 1000 for 0, 1; }
		sub quantile { my ($p, @l) = @_; @l = sort { $a <=> $b } @l; my $i = $p * $#l; my $k = int $i; return $l[$k] + ($i - $k) * (($l[$k + 1] // $l[$k]) - $l[$k]); }
		for my $what ("scan", "probe", "cached") { my $first = $ARGV[0];
			for my $name (@ARGV) { my @c;
				for my $i (0, 1) { my @l = @{ $t{$what}{$name}[$i] }; my $m = quantile(0.5, @l);
					push @c, sprintf("%.1f (%.1f–%.1f)", $m, quantile(0.25, @l), quantile(0.75, @l)), sprintf("%.2f", quantile(0.5, map { $l[$_] / $t{$what}{$first}[$i][$_] } 0 .. $#l)); }
				print join(" | ", "| $what", $name, @c), " |\n"; } }' "${names[@]}" <"$WORK/times"
} | tee "$RESULTS/loads.md"
