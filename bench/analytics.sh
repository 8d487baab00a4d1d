#!/bin/bash
#
# analytics.sh: analytical queries on heap tables, on omendb tables, in DuckDB
#
# The same rows in all three, by one thread and then by two, everything in cache:
#   rows      one table of 10 M rows: counts, sums, filters, groups, Top-N
#   updated   the same after uniform random updates of 1 % of its rows
#   tpch      lineitem, orders, part, customer as in TPC-H at scale 1, generated
#   flights   three million real flight records (npm vega-datasets)
#   wide      a web-analytics table of 105 columns, generated
# Each round runs each query once to warm up, then RUNS times, on one system after
# the other.  Medians, ratios and the plan's nodes are printed and written to
# bench/results/analytics.{md,svg}, with a list of what falls short of what is
# required.  Results of heap and omendb must be the same, DuckDB's to eight digits.
#
# Environment:
#   SETS        which of the above (default: all)
#   SCALE       of all sets (1); 0.1 takes minutes
#   ROWS        of the first table (10000000 x SCALE)
#   TPCH        scale (SCALE)
#   HITS        rows of the wide table (1400000 x SCALE)
#   FLIGHTS     flight records (3000000 x SCALE)
#   ROUNDS      (3)
#   RUNS        timed runs of a query in a round (3)
#   THREADS     ("1 2"); of PostgreSQL: the leader and its parallel workers
#   ANALYTICS_MODULES   a folder with node_modules of @duckdb/node-api and
#               vega-datasets (default: installed by npm for this run)
#   RESULTS     where to write (bench/results)
# Needs node and npm.
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

SETS=${SETS:-rows updated tpch flights wide}
SCALE=${SCALE:-1}
scaled() { awk "BEGIN { printf \"%d\", $1 * $SCALE }"; }
ROWS=${ROWS:-$(scaled 10000000)}
TPCH=${TPCH:-$SCALE}
HITS=${HITS:-$(scaled 1400000)}
FLIGHTS=${FLIGHTS:-$(scaled 3000000)}
ROUNDS=${ROUNDS:-3}
RUNS=${RUNS:-3}
THREADS=${THREADS:-1 2}
RESULTS=${RESULTS:-$TOP/bench/results}
BENCH=$TOP/bench/analytics
mkdir -p "$RESULTS"

. "$TOP/bench/duckdb.sh"

copy_sources "$WORK/src"
build_and_install "$WORK/src" "$WORK/build.log" || exit 1

new_server bench "shared_buffers = 4GB" "omendb.cache_size = 2GB" "work_mem = 256MB" \
	"max_wal_size = 16GB" "checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" \
	"jit = off" "omendb.seal = off" "effective_cache_size = 8GB" \
	"omendb.enable_vectorized_scan = on" "omendb.enable_vectorized_agg = on" \
	"max_parallel_workers_per_gather = 0" "random_page_cost = 1.1" || exit 1
start_server bench || exit 1
for db in heap omendb; do
	sql bench -q -d postgres -c "CREATE DATABASE $db" || exit 1
done
sql bench -q -d omendb -c "CREATE EXTENSION omendb" \
	-c "ALTER DATABASE omendb SET default_table_access_method = omendb" || exit 1
as_user mkdir -p "$WORK/data"
# what as_user and node both read and write
chmod 777 "$WORK/data"
: >"$WORK/times.txt"
: >"$WORK/nodes.txt"
: >"$WORK/differences.txt"

tables_of() { sed -n 's/^CREATE TABLE \([a-z]*\).*/\1/p' "$1"; }

# load SET: the same rows into all three
load() {
	local set=$1 ddl=$WORK/data/$1.ddl.sql data=$WORK/data/$1.data.sql table columns
	if [ "$set" = wide ]; then
		perl "$BENCH/wide.ddl.pl" ddl >"$ddl"
		perl "$BENCH/wide.ddl.pl" data >"$data"
	else
		cp "$BENCH/$set.ddl.sql" "$ddl"
		[ ! -e "$BENCH/$set.data.sql" ] || cp "$BENCH/$set.data.sql" "$data"
	fi
	duck_do "$(cat "$ddl")"
	sql bench -q -d heap -f "$ddl" || exit 1
	sql bench -q -d omendb -f "$ddl" || exit 1
	if [ "$set" = flights ]; then
		duck_do "INSERT INTO flights SELECT date, delay, distance, origin, destination FROM '$FLIGHTS_PARQUET' LIMIT $FLIGHTS" \
			"COPY flights TO '$WORK/data/flights.csv' (HEADER false)"
		sql bench -q -d heap -c "COPY flights FROM '$WORK/data/flights.csv' (FORMAT csv)" || exit 1
	else
		sql bench -q -d heap -v "rows=$([ "$set" = wide ] && echo "$HITS" || echo "$ROWS")" \
			-v "scale=$TPCH" -v "bench=$TOP/bench" -f "$data" >/dev/null || exit 1
	fi
	for table in $(tables_of "$ddl"); do
		rm -f "$WORK/data/$table.csv"
		# char(n) without its padding, which DuckDB would take for a part of the
		# value: nothing would equal 'MAIL' there
		columns=$(sql bench -d heap -At -c "SELECT string_agg(quote_ident(attname) ||
			CASE WHEN atttypid = 'bpchar'::regtype THEN '::text' ELSE '' END, ', ' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 0") || exit 1
		# (an empty string is not a null)
		sql bench -q -d heap -c "COPY (SELECT $columns FROM $table) TO '$WORK/data/$table.csv' (FORMAT csv, NULL '\\N')" || exit 1
		sql bench -q -d omendb -c "COPY $table FROM '$WORK/data/$table.csv' (FORMAT csv, NULL '\\N')" || exit 1
		[ "$set" = flights ] ||
			duck_do "COPY $table FROM '$WORK/data/$table.csv' (HEADER false, NULLSTR '\\N')"
		rm -f "$WORK/data/$table.csv"
	done
	sql bench -q -d heap -c "VACUUM (FREEZE, ANALYZE)" || exit 1
	sql bench -q -d omendb -c "VACUUM (FREEZE, ANALYZE)" || exit 1
	for table in $(tables_of "$ddl"); do
		sql bench -q -d omendb -c "SELECT omendb.seal('$table', true)" >/dev/null || exit 1
		sql bench -q -d omendb -c "VACUUM ANALYZE $table"
		sql bench -d omendb -At -c "SELECT '$table: ' || sum(cold_pages) || ' of ' ||
			pg_relation_size('$table') / current_setting('block_size')::int || ' pages are sealed'
			FROM omendb.row_groups('$table')"
	done
	sql bench -q -d postgres -c "CHECKPOINT"
}

unload() {
	local table
	for table in $(tables_of "$WORK/data/$1.ddl.sql"); do
		sql bench -q -d heap -c "DROP TABLE $table"
		sql bench -q -d omendb -c "DROP TABLE $table"
		duck_do "DROP TABLE $table"
	done
}

# bench_queries SET FILE: time its queries on all three
bench_queries() {
	local set=$1 file=$2 threads round db
	for threads in $THREADS; do
		for db in heap omendb; do
			sql bench -q -d postgres -c "ALTER DATABASE $db
				SET max_parallel_workers_per_gather = $((threads - 1))"
		done
		for round in $(seq "$ROUNDS"); do
			perl "$BENCH/scripts.pl" "$WORK/data" "$file" "$RUNS" "$round" || exit 1
			for db in heap omendb; do
				sql bench -d $db -f "$WORK/data/run.sql" >"$WORK/data/run.out" 2>&1
				grep -E 'ERROR|FATAL' "$WORK/data/run.out" &&
					fail "a query of $set failed on $db tables"
				awk -v set="$set" -v t="$threads" -v db=$db '/^== / { name = substr($0, 4); next }
					/^== *$/ { next } /^Time: / { print set "\t" t "\t" name "\t" db "\t" $2 }' \
					"$WORK/data/run.out" >>"$WORK/times.txt"
			done
			duck "$threads" <"$WORK/data/run.json" |
				sed "s/^\([^\t]*\)\t/$set\t$threads\t\1\tDuckDB\t/" >>"$WORK/times.txt"
		done
		if [ "$threads" = 1 ]; then
			# are the results the same, and what does the planner choose?
			for db in heap omendb; do
				sql bench -d $db -At -f "$WORK/data/results.sql" >"$WORK/data/results.$db" 2>&1
			done
			sql bench -d omendb -At -f "$WORK/data/explain.sql" >"$WORK/data/explain.out" 2>&1
			duck 1 <"$WORK/data/results.json" >"$WORK/data/results.duckdb"
			perl "$BENCH/compare.pl" "$set" "$WORK/data/results.heap" "$WORK/data/results.omendb" "$WORK/data/results.duckdb" \
				"$WORK/data/explain.out" "$WORK/nodes.txt" "$WORK/differences.txt"
		fi
	done
}

for set in $SETS; do
	say "== $set"
	case $set in
		updated)
			case " $SETS " in *" rows "*) ;; *) load rows ;; esac
			for db in heap omendb; do
				sql bench -q -d $db -f "$BENCH/rows.updates.sql" || exit 1
			done
			duck_do "$(cat "$BENCH/rows.updates.sql")"
			sql bench -d omendb -At -c "SELECT 'r: ' || sum(cold_pages) || ' of ' ||
				pg_relation_size('r') / current_setting('block_size')::int || ' pages are still sealed'
				FROM omendb.row_groups('r')"
			bench_queries updated "$BENCH/rows.sql"
			unload rows
			;;
		rows)
			load rows
			bench_queries rows "$BENCH/rows.sql"
			case " $SETS " in *" updated "*) ;; *) unload rows ;; esac
			;;
		*)
			load "$set"
			bench_queries "$set" "$BENCH/$set.sql"
			unload "$set"
			;;
	esac
done

version=$(echo '["", 0, 0, ["SELECT version()"]]' | duck 1 | tail -n 1)
{
	echo "# Analytical queries: heap, omendb, DuckDB"
	echo
	echo "\`bench/analytics.sh\`: medians of $ROUNDS rounds of $RUNS runs, in milliseconds, everything in cache;"
	echo "PostgreSQL $(sql bench -At -d postgres -c 'SHOW server_version'), DuckDB ${version#v}, $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), jit off, work_mem 256 MB."
	echo "ROWS=$ROWS TPCH=$TPCH HITS=$HITS FLIGHTS=$FLIGHTS. \"node\": what of omendb's is in the serial plan (s scan, a aggregate)."
	echo
	perl "$BENCH/report.pl" table "$WORK/times.txt" "$WORK/nodes.txt"
	echo
	if [ -s "$WORK/differences.txt" ]; then
		echo "Results that differ from those on heap tables:"
		echo
		sed 's/^/* /' "$WORK/differences.txt"
	else
		echo "All results on omendb tables are those on heap tables, and DuckDB's are to eight digits."
	fi
	echo
	echo "What falls short, by one thread:"
	echo
	perl "$BENCH/report.pl" short "$WORK/times.txt"
} >"$RESULTS/analytics.md"
perl "$BENCH/report.pl" plot "$WORK/times.txt" >"$RESULTS/analytics.svg"
cat "$RESULTS/analytics.md"
[ ! -s "$WORK/differences.txt" ]
