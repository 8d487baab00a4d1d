#!/bin/bash
#
# ascending.sh: inserts of ascending keys, alex beside btree
#
# One server; two equal heap tables with a column that a sequence fills, one
# with a btree index on it and one with an alex index.  pgbench inserts rows from
# several clients (who draw from the same sequence and so come late now and
# then), and from one; in rounds that alternate between the two, after one round
# to warm up.  Measured:
#   rate        rows per second, by the clock
#   CPU         of all server processes, per row: on a busy machine it says more
#   size        bytes of the index per row, and the density of alex's leaves
# Medians and ratios are printed and written to bench/results/ascending.md.
#
# Environment: CLIENTS ("8 1"), ROWS per round and table (400000), ROUNDS (9),
# NO_BUILD (set: omendb is installed already)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

CLIENTS=${CLIENTS:-8 1}
ROWS=${ROWS:-400000}
ROUNDS=${ROUNDS:-9}
RESULTS=$TOP/bench/results
BATCH=100
mkdir -p "$RESULTS"

if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" || exit 1
fi
new_server bench "shared_buffers = 1GB" "max_wal_size = 16GB" "wal_buffers = 64MB" \
	"checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" "jit = off" \
	"synchronous_commit = off" "omendb.seal = off" || exit 1
start_server bench || exit 1
sql bench -q -d postgres -c "CREATE EXTENSION omendb" || exit 1

# CPU time of all server processes that have ended, in ms
postmaster=$(head -n 1 "$WORK/bench/postmaster.pid")
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ print ($16 + $17) * 1000 / hz }' "/proc/$postmaster/stat"; }
value() { sql bench -At -d postgres -c "$1"; }

# insert_rows CLIENTS AM -> "rows per second, ns of CPU per row"
insert_rows() {
	local before after rate n=$((ROWS / BATCH / $1))
	echo "INSERT INTO up_$2_$1 (v) SELECT 1 FROM generate_series(1, $BATCH);" >"$WORK/$2.sql"
	chmod 644 "$WORK/$2.sql"
	before=$(cpu)
	rate=$(as_user pgbench -h "$WORK/bench.s" -U postgres -n -c "$1" -j "$(($1 < 2 ? 1 : 2))" \
		-t "$n" -f "$WORK/$2.sql" postgres 2>&1 | sed -n 's/^tps = \([0-9.]*\).*/\1/p')
	[ -n "$rate" ] || fail "pgbench failed"
	# until the last backend has been waited for
	while [ "$(value "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")" != 0 ]; do sleep 0.1; done
	sleep 0.2
	after=$(cpu)
	awk -v r="$rate" -v c="$((${after%.*} - ${before%.*}))" -v n="$((n * BATCH * $1))" -v b=$BATCH \
		'BEGIN { printf "%.0f %.0f\n", r * b, c * 1e6 / n }'
}

for c in $CLIENTS; do
	for am in btree alex; do
		sql bench -q -d postgres -c "CREATE TABLE up_${am}_$c (id bigserial, v int)" \
			-c "CREATE INDEX up_${am}_${c}_id ON up_${am}_$c USING $am (id)" || exit 1
	done
	for round in $(seq 0 "$ROUNDS"); do
		for am in btree alex; do
			result=$(insert_rows "$c" $am) || exit 1
			[ "$round" = 0 ] || echo "$c $am $result" | tee -a "$WORK/runs.txt"
		done
	done
	for am in btree alex; do
		echo "$c $am $(value "SELECT round(pg_relation_size('up_${am}_${c}_id') / count(*)::numeric, 2) FROM up_${am}_$c")"
	done >"$WORK/size.$c"
	value "SELECT round(avg_density::numeric, 2) FROM omendb.alex_stats('up_alex_${c}_id')" >"$WORK/density.$c"
	value "SELECT omendb.alex_check('up_alex_${c}_id', true)" >/dev/null || fail "alex is damaged"
done

median() { awk -v c="$1" -v am="$2" -v f="$3" '$1 == c && $2 == am { print $f }' "$WORK/runs.txt" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
{
	echo "# Ascending inserts: alex beside btree"
	echo
	echo "\`bench/ascending.sh\`: $ROWS rows per round and table in statements of $BATCH rows, one sequence for all clients,"
	echo "medians of $ROUNDS alternating rounds; PostgreSQL $(value 'SHOW server_version') ($([ "$(value 'SHOW debug_assertions')" = on ] && echo with || echo without) assertions), $(nproc) cores,"
	echo "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync and synchronous_commit off. Load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
	[ "$(cut -d. -f1 /proc/loadavg)" -le $(($(nproc) + 6)) ] ||
		echo "So the machine had much else to do: rates by the clock are rough."
	echo
	echo "| clients | what | btree | alex | alex is better by |"
	echo "|---:|---|---:|---:|---:|"
	for c in $CLIENTS; do
		awk -v c="$c" -v b="$(median "$c" btree 3)" -v a="$(median "$c" alex 3)" 'BEGIN { printf "| %s | rows/s | %d | %d | %.2f |\n", c, b, a, a / b }'
		awk -v c="$c" -v b="$(median "$c" btree 4)" -v a="$(median "$c" alex 4)" 'BEGIN { printf "| %s | ns of CPU per row | %d | %d | %.2f |\n", c, b, a, b / a }'
		awk -v c="$c" '{ v[$2] = $3 } END { printf "| %s | index bytes per row | %s | %s | %.2f |\n", c, v["btree"], v["alex"], v["btree"] / v["alex"] }' "$WORK/size.$c"
	done
	echo
	echo "The whole INSERT is counted: executor, sequence, heap and WAL. Density of alex's leaves:"
	for c in $CLIENTS; do echo "$(cat "$WORK/density.$c") with $c clients."; done
} >"$RESULTS/ascending.md"
cat "$RESULTS/ascending.md"
