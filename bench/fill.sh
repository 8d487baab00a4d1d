#!/bin/bash
#
# fill.sh: what does it cost to load a table and to seal it?
#
# The same rows go into a heap table (COPY, VACUUM FREEZE) and into an omendb table
# (COPY, omendb.seal()), one after the other, ROUNDS times, each in one session (a
# new one would first have to get all of the table's shared buffers mapped):
#   lineitem  16 columns, as in TPC-H
#   rows      numbers and repeating strings
#   log       lines of text and JSON documents
# and once more into an omendb table, sealed with one helper (omendb.seal_workers).
# Medians of the time that the backend was on a processor (which others on the
# machine disturb less) and of the time that passed; what sealing spends on each of
# its phases; sizes.  Printed, and written to bench/results/fill.md.
#
# Environment: LINEITEM (1200000), ROWS (1000000), LOG (300000): rows; ROUNDS (3);
# RESULTS: where to write (bench/results).  Linux only (/proc).
#
set -u
. "$(dirname "$0")/lib.sh"

LINEITEM=${LINEITEM:-1200000}
ROWS=${ROWS:-1000000}
LOG=${LOG:-300000}
ROUNDS=${ROUNDS:-3}

bench_server "shared_buffers = 2GB" "max_wal_size = 16GB" \
	"checkpoint_timeout = 60min" "autovacuum = off" "omendb.seal = off" "wal_log_hints = on"

ask() { sql bench -qAt -d postgres -c "$1"; }
note() { echo "$*" >>"$WORK/times"; }

sql bench -qAt -d postgres -v lineitem="$LINEITEM" -v rows="$ROWS" -v log="$LOG" -v bench="$TOP/bench" \
	-f "$TOP/bench/fill/data.sql" >/dev/null || exit 1
mkdir -p "$WORK/data"
chmod 777 "$WORK/data"
for t in lineitem rows log; do
	ask "COPY ${t}_src TO '$WORK/data/$t'" || exit 1
done

# Run two statements, one after the other, in one session; prints before and after
# each what the session has taken of a processor and the time, and what the
# statements had to say at level DEBUG1
timed() {
	sql bench -qAt -d postgres -v first="$1" -v second="$2" 2>&1 <<-'END'
		SELECT pg_backend_pid() AS pid \gset
		\setenv PID :pid
		SET client_min_messages = debug1;
		\! echo "clock $(cut -d' ' -f1 /proc/$PID/schedstat) $(date +%s%N)"
		:first;
		\! echo "clock $(cut -d' ' -f1 /proc/$PID/schedstat) $(date +%s%N)"
		:second;
		\! echo "clock $(cut -d' ' -f1 /proc/$PID/schedstat) $(date +%s%N)"
	END
}
# seconds N: of the Nth statement
seconds() { awk -v n="$1" '/^clock / { if (i++ == n) printf "%.3f %.3f\n", ($2 - c) / 1e9, ($3 - w) / 1e9; c = $2; w = $3 }' "$WORK/timed.out"; }

: >"$WORK/times"
for round in $(seq "$ROUNDS"); do
	for t in lineitem rows log; do
		for am in heap omendb team; do
			using=$am
			finish="VACUUM FREEZE $t"
			[ $am = heap ] || finish="SELECT omendb.seal('$t', true)"
			if [ $am = team ]; then
				using=omendb
				finish="SET omendb.seal_workers = 1; $finish"
			fi
			ask "SET client_min_messages = warning; DROP TABLE IF EXISTS $t; CREATE TABLE $t (LIKE ${t}_src) USING $using; CHECKPOINT"
			timed "COPY $t FROM '$WORK/data/$t'" "$finish" >"$WORK/timed.out"
			note "$t $am copy $(seconds 1)"
			note "$t $am finish $(seconds 2)"
			if [ $am = omendb ]; then
				sed -n 's/.*elapsed s: //p' "$WORK/timed.out" | tr ',' '\n' | tr '/' ' ' |
					while read -r phase cpu wall; do note "$t phase $phase $cpu $wall"; done
				note "$t size heap $(ask "SELECT pg_relation_size('$t') / 1e6") 0"
				note "$t size file $(ask "SELECT sum(file_bytes) / 1e6 FROM omendb.row_groups('$t')") 0"
			fi
		done
	done
done

# median TABLE WHAT WHICH COLUMN (4 on a processor, 5 elapsed)
median() {
	awk -v t="$1" -v a="$2" -v b="$3" -v c="$4" '$1 == t && $2 == a && $3 == b { print $c }' "$WORK/times" |
		sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

{
	echo "# Loading and sealing: bench/fill.sh"
	echo
	for c in 4 5; do
		[ $c = 4 ] && echo "Seconds of the backend on a processor:" || echo "Seconds that passed:"
		echo
		# what helpers take of a processor is not seen here
		[ $c = 4 ] && extra= || extra=" seal by two | MB a second |"
		echo "| table | heap, MB | heap: COPY | VACUUM FREEZE | omendb: COPY | seal | both / heap's both | seal, MB of heap a second |$extra"
		echo "|---|---|---|---|---|---|---|---|${extra:+---|---|}"
		for t in lineitem rows log; do
			mb=$(median $t size heap 4)
			hc=$(median $t heap copy $c)
			hv=$(median $t heap finish $c)
			oc=$(median $t omendb copy $c)
			os=$(median $t omendb finish $c)
			ts=$(median $t team finish $c)
			[ $c = 4 ] || extra=" $ts | $(calc %.0f "$mb / $ts") |"
			echo "| $t | $(calc %.0f "$mb") | $hc | $hv | $oc | $os | $(calc %.2f "($oc + $os) / ($hc + $hv)") | $(calc %.0f "$mb / $os") |$extra"
		done
		echo
	done
	echo "Milliseconds on a processor, by phase of sealing:"
	echo
	phases="freeze copy split encode prove compress write publish turn reclaim"
	echo "| table |$(for p in $phases; do echo -n " $p |"; done)"
	echo "|---|$(for p in $phases; do echo -n "---|"; done)"
	for t in lineitem rows log; do
		echo "| $t |$(for p in $phases; do echo -n " $(calc %.0f "1000 * $(median $t phase $p 4)") |"; done)"
	done
	echo
	echo "| table | heap, MB | row groups' files, MB |"
	echo "|---|---|---|"
	for t in lineitem rows log; do
		echo "| $t | $(calc %.1f "$(median $t size heap 4)") | $(calc %.2f "$(median $t size file 4)") |"
	done
	echo
	echo "$(nproc) processors, $ROUNDS rounds, $(ask "SHOW server_version"), omendb.reclaim_space = $(ask "SHOW omendb.reclaim_space"), fsync $(ask "SHOW fsync"); load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
} | tee "$RESULTS/fill.md"
stop_server bench
