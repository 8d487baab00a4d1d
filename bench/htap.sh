#!/bin/bash
#
# htap.sh: writers and an analyst on the same table, heap and omendb
#
# Two pgbench clients update single rows, uniformly at random, at RATE a second in
# all.  They warm up for WARMUP seconds, which are not counted (sessions map memory,
# most pages are thawed), are alone for DURATION seconds, and then as long beside an
# analyst who runs aggregates in a loop, in one session.  Each update moves an amount between two columns of a
# row, so that sum(x) + sum(y) is the same in every snapshot: the analyst's queries
# check it.  Sealing in the background is on.  Results: bench/results/htap.md
#
# The analyst's backend has the last processor, the writers and all else that the
# server does the others, with and without an analyst (PIN=no: the kernel decides.
# With two processors it often wakes a writer behind the analyst, who is at work all
# the time, and its timer ends that 4 ms later: p99 then measures how often that
# happens.)
#
# Environment: ROWS (10000000), DURATION (600), WARMUP (60), RATE (1000), PIN (yes), RESULTS
#
set -u
. "$(dirname "$0")/lib.sh"

ROWS=${ROWS:-10000000}
DURATION=${DURATION:-600}
WARMUP=${WARMUP:-60}
RATE=${RATE:-1000}
PIN=${PIN:-yes}
last_cpu=$(($(nproc) - 1))
[ "$last_cpu" -gt 0 ] || PIN=no

bench_server "shared_buffers = 4GB" "omendb.cache_size = 1GB" "work_mem = 64MB" \
	"max_wal_size = 16GB" "checkpoint_timeout = 60min" "synchronous_commit = off" "jit = off" \
	"max_parallel_workers_per_gather = 0" \
	"omendb.enable_vectorized_scan = on" "omendb.enable_vectorized_agg = on"
# backends inherit this
others=(env)
if [ "$PIN" = yes ]; then
	others=(taskset -c "0-$((last_cpu - 1))")
	as_user taskset -cp "0-$((last_cpu - 1))" "$(head -n 1 "$WORK/bench/postmaster.pid")" >/dev/null || exit 1
fi
as_user mkdir -p "$WORK/data"
cat >"$WORK/data/update.sql" <<-'E'
	\set id random(1, :rows)
	\set d random(-100, 100)
	UPDATE @table SET x = x + :d, y = y - :d WHERE id = :id;
E
# writers TABLE LOG SECONDS
writers() {
	local table=$1 log=$2 seconds=$3
	rm -f "$WORK"/data/"$log".*
	# (in a prepared statement a variable cannot be a table)
	sed "s/@table/$table/" "$WORK/data/update.sql" >"$WORK/data/$log.sql"
	as_user "${others[@]}" pgbench -h "$WORK/bench.s" -U postgres -n -M prepared -c 2 -j 2 -R "$RATE" -T "$seconds" \
		-D rows="$ROWS" -f "$WORK/data/$log.sql" -l --log-prefix="$WORK/data/$log" postgres >"$WORK/data/$log.out" 2>&1 ||
		{ cat "$WORK/data/$log.out"; fail "pgbench"; }
}
# throughput and the 99th percentile of latency in ms
numbers() {
	local tps p99
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$WORK/data/$1.out")
	p99=$(cat "$WORK"/data/"$1".[0-9]* | awk '{ print $3 }' | sort -n | awk '{ v[NR] = $1 } END { printf "%.2f", v[int(NR * 0.99) + 1] / 1000 }')
	echo "$tps $p99"
}

rows=""
failed=0
for table in heap omendb; do
	sql bench -q -d postgres -c "CREATE TABLE r_$table (id bigint, a integer, x bigint, y bigint, v double precision, s text) USING $table" \
		-c "INSERT INTO r_$table SELECT g, g % 1000, 1000, g % 777, random(), 'string number ' || g % 5000 FROM generate_series(1, $ROWS) g" \
		-c "CREATE UNIQUE INDEX ON r_$table (id)" -c "VACUUM (FREEZE, ANALYZE) r_$table" || exit 1
	[ $table = heap ] || sql bench -q -d postgres -c "SELECT omendb.seal('r_omendb', true)" >/dev/null || exit 1
	sum=$(sql bench -At -d postgres -c "SELECT sum(x) + sum(y) FROM r_$table")
	writers r_$table warmup "$WARMUP"
	writers r_$table alone "$DURATION"
	read -r tps_alone p99_alone < <(numbers alone)

	writers r_$table both "$DURATION" &
	writer=$!
	# the analyst: one session, whose queries come one after the other
	: >"$WORK/data/analyst.out"
	end=$((SECONDS + DURATION - 2))
	coproc ANALYST { sql bench -q -d postgres 2>&1; }
	cat >&"${ANALYST[1]}" <<-'E'
		\pset format unaligned
		\pset tuples_only on
		SELECT pg_backend_pid();
		\timing on
	E
	read -r pid <&"${ANALYST[0]}"
	[ "$PIN" = no ] || as_user taskset -cp "$last_cpu" "$pid" >/dev/null || exit 1
	while [ $SECONDS -lt $end ]; do
		cat >&"${ANALYST[1]}" <<-E
			SELECT 'sum', sum(x) + sum(y) FROM r_$table;
			\\o /dev/null
			SELECT a, count(*), sum(x), avg(v) FROM r_$table GROUP BY a;
			SELECT count(*), sum(v) FROM r_$table WHERE a < 10;
			\\o
			\\echo round
		E
		while IFS= read -r line <&"${ANALYST[0]}"; do
			[ "$line" != round ] || break
			echo "$line" >>"$WORK/data/analyst.out"
		done
	done
	eval "exec ${ANALYST[1]}>&-"
	wait "$ANALYST_PID"
	wait $writer || exit 1
	read -r tps_both p99_both < <(numbers both)
	if grep -q ERROR "$WORK/data/analyst.out" || ! grep -q '^sum' "$WORK/data/analyst.out" ||
		grep '^sum' "$WORK/data/analyst.out" | grep -qvx "sum|$sum"; then
		grep -E 'ERROR|^sum' "$WORK/data/analyst.out" | sort | uniq -c
		say "$table: the sum is not $sum in each snapshot"
		failed=1
	fi
	# three queries in turn; and what the first of the session took
	first=$(sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$WORK/data/analyst.out" | head -n 1)
	medians=$(sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' "$WORK/data/analyst.out" | perl -e '
		my @t; my $n = 0; while (<>) { push @{ $t[$n++ % 3] }, $_ + 0 }
		printf "%s | %d", join(" | ", map { my @s = sort { $a <=> $b } @$_; sprintf "%.0f", $s[@s / 2] } @t), $n / 3')
	rows+="| $table | $tps_alone | $p99_alone | $tps_both | $p99_both | $medians | ${first%.*} |"$'\n'
	[ $table = heap ] || sql bench -At -d postgres -c "SELECT 'sealed at the end: ' || sum(cold_pages) || ' of ' ||
		pg_relation_size('r_omendb') / current_setting('block_size')::int || ' pages' FROM omendb.row_groups('r_omendb')"
	sql bench -q -d postgres -c "DROP TABLE r_$table" -c "CHECKPOINT"
done
{
	echo "# Writers and an analyst on one table"
	echo
	echo "\`bench/htap.sh\`: $ROWS rows, two pgbench clients with uniform single-row updates at $RATE a second in all, $WARMUP s to warm up, $DURATION s alone and $DURATION s beside an analyst in one session;"
	[ "$PIN" = no ] || echo "the analyst's backend has a processor of its own, all others have the rest;"
	echo "$(nproc) cores, load average $(cut -d' ' -f1 /proc/loadavg) at the end.  Medians of the analyst's queries in ms; the first is what a new session takes."
	echo
	echo "| table | tps alone | p99 alone, ms | tps with analyst | p99 with analyst, ms | sum(x) + sum(y) | group by a | filter | rounds | first sum |"
	echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
	printf '%s' "$rows"
	echo
	[ $failed = 0 ] && echo "The sum was the same in every snapshot."
} >"$RESULTS/htap.md"
cat "$RESULTS/htap.md"
exit $failed
