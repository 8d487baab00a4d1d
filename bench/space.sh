#!/bin/bash
#
# space.sh: what do sealed tables take on disk, beside heap?
#
# For each table: heap (after VACUUM), then omendb with omendb.reclaim_space = off,
# half and full, by omendb.table_size(); without indexes.  Beside them DuckDB's file
# with the same rows, in the same order.  Then the time of a VACUUM of the sealed
# table, and of 10,000 updates of uniformly random rows by key, with half and with
# full.
#
# Environment: ROWS (10000000, of the first table; the others have a fifth, but
# the flight records are three million), UPDATES (10000), ANALYTICS_MODULES (see
# duckdb.sh), RESULTS (bench/results).  Printed, and written to
# bench/results/space.md.  Needs node and npm.
#
set -u
. "$(dirname "$0")/../tools/lib.sh"
. "$TOP/bench/duckdb.sh"

ROWS=${ROWS:-10000000}
UPDATES=${UPDATES:-10000}
RESULTS=${RESULTS:-$TOP/bench/results}
mkdir -p "$RESULTS"

copy_sources "$WORK/src"
build_and_install "$WORK/src" "$WORK/build.log" || exit 1

new_server bench "shared_buffers = 1GB" "max_wal_size = 16GB" "wal_log_hints = on" \
	"checkpoint_timeout = 60min" "fsync = off" "autovacuum = off" "jit = off" \
	"omendb.cache_size = 256MB" "omendb.seal = off" "omendb.seal_delay = 0" || exit 1
start_server bench || exit 1
sql bench -q -d postgres -c "CREATE EXTENSION omendb" || exit 1

ask() { sql bench -qAt -d postgres -c "$1"; }
set_reclaim() { ask "ALTER SYSTEM SET omendb.reclaim_space = $1" && ask "SELECT pg_reload_conf()" >/dev/null && sleep 0.5; }
mb() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1048576 }'; }
ms() { awk -v s="$1" -v e="$(date +%s.%N)" 'BEGIN { printf "%.0f", (e - s) * 1000 }'; }

as_user mkdir -p "$WORK/data"
# what as_user and node both read and write
chmod 777 "$WORK/data"

# duck_size: bytes of DuckDB's file with the rows of heap_t
duck_size() {
	rm -f "$DUCK" "$DUCK.wal" "$WORK/data/rows.csv"
	ask "COPY heap_t TO '$WORK/data/rows.csv' (FORMAT csv, NULL '\N')" || exit 1
	duck_do "CREATE TABLE t ($(ask "SELECT string_agg('\"' || attname || '\" ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'heap_t'::regclass AND attnum > 0"))" \
		"COPY t FROM '$WORK/data/rows.csv' (HEADER false, NULLSTR '\N')" "CHECKPOINT"
	rm -f "$WORK/data/rows.csv"
	stat -c %s "$DUCK"
}

# select list of each table
fifth=$((ROWS / 5))
declare -A COLUMNS=(
	[rows]="g AS id, (g % 1000)::int AS a, (random() * 1000000)::int AS b, random() * 1000 AS v, 's' || (g % 5000) AS s FROM generate_series(1::bigint, $ROWS) g"
	[random_s]="g AS id, (g % 1000)::int AS a, (random() * 1000000)::int AS b, random() * 1000 AS v, 'name' || (random() * 5000)::int AS s FROM generate_series(1::bigint, $fifth) g"
	[lineitem]="g AS id, (random() * 200000)::int AS part, (random() * 10000)::int AS supp, (1 + random() * 49)::int::numeric(15,2) AS quantity, (900 + random() * 100000)::numeric(15,2) AS price, ((random() * 10)::int / 100.0)::numeric(15,2) AS discount, ((random() * 8)::int / 100.0)::numeric(15,2) AS tax, chr(65 + (random() * 2)::int) AS flag, date '1992-01-01' + (random() * 2500)::int AS shipdate, (ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[1 + (random() * 3)::int] AS instruct, substr(md5(g::text) || md5((g + 1)::text), 1, 10 + (random() * 33)::int) AS comment FROM generate_series(1::bigint, $fifth) g"
	[flights]="date, delay, distance, origin, destination FROM flights_csv"
	[log]="g AS id, timestamptz '2026-01-01' + g * interval '1 second' AS at, '{\"level\": \"' || (ARRAY['info','warn','error'])[1 + (random() * 2)::int] || '\", \"host\": \"web-' || (random() * 40)::int || '\", \"path\": \"/api/v1/items/' || (random() * 100000)::int || '\", \"status\": ' || (ARRAY[200,201,304,404,500])[1 + (random() * 4)::int] || ', \"ms\": ' || (random() * 900)::int || '}' AS line FROM generate_series(1::bigint, $fifth) g"
)

{
	echo "# Space: bench/space.sh"
	echo
	echo "MB on disk, without indexes: heap after VACUUM; omendb sealed, by \`omendb.reclaim_space\`. The last row group, which is"
	echo "not full, is sealed, too (\`omendb.seal(..., true)\`). Of \`full\`: hot pages, header and marker pages, chunks. DuckDB:"
	echo "its file with the same rows, after a CHECKPOINT."
	echo
	echo "| table | rows | heap | off | half | full | hot | markers | chunks | DuckDB |"
	echo "|---|---|---|---|---|---|---|---|---|---|"
	for table in rows random_s lineitem log flights; do
		if [ $table = flights ]; then
			duck_do "COPY (SELECT date, delay, distance, origin, destination FROM '$FLIGHTS_PARQUET') TO '$WORK/data/flights.csv' (HEADER false)"
			ask "CREATE TABLE flights_csv (date timestamp, delay bigint, distance bigint, origin varchar, destination varchar)"
			ask "COPY flights_csv FROM '$WORK/data/flights.csv' (FORMAT csv)" || exit 1
		fi
		ask "CREATE TABLE heap_t USING heap AS SELECT ${COLUMNS[$table]}" || exit 1
		ask "VACUUM FREEZE heap_t"
		ask "CREATE TABLE $table (LIKE heap_t) USING omendb"
		ask "INSERT INTO $table SELECT * FROM heap_t"
		heap=$(ask "SELECT pg_table_size('heap_t')")
		set_reclaim off
		ask "VACUUM FREEZE $table"
		ask "SELECT omendb.seal('$table', true)" >/dev/null
		ask "CHECKPOINT"
		off=$(ask "SELECT total_bytes FROM omendb.table_size('$table')")
		# half punches when it seals
		ask "SELECT omendb.unseal('$table')" >/dev/null
		set_reclaim half
		ask "SELECT omendb.seal('$table', true)" >/dev/null
		ask "CHECKPOINT"
		half=$(ask "SELECT total_bytes FROM omendb.table_size('$table')")
		set_reclaim full
		ask "VACUUM $table"
		IFS='|' read -r full hot markers chunks < <(ask "SELECT total_bytes, hot_bytes, marker_bytes, chunk_bytes FROM omendb.table_size('$table')")
		[ "$(ask "SELECT count(*) FROM $table")" = "$(ask "SELECT count(*) FROM heap_t")" ] || { echo "rows differ" >&2; exit 1; }
		echo "| $table | $(ask "SELECT count(*) FROM $table") | $(mb "$heap") | $(mb "$off") | $(mb "$half") | $(mb "$full") | $(mb "$hot") | $(mb "$markers") | $(mb "$chunks") | $(mb "$(duck_size)") |"
		ask "DROP TABLE heap_t"
		[ "$table" = rows ] || ask "DROP TABLE $table"
	done

	echo
	echo "Table \`rows\`, milliseconds:"
	echo
	echo "| | half | full |"
	echo "|---|---|---|"
	ask "CREATE UNIQUE INDEX rows_id ON rows (id)"
	update="DO \$\$ DECLARE key bigint; BEGIN PERFORM setseed(0.5); FOR i IN 1..$UPDATES LOOP
		key := 1 + (random() * ($ROWS - 1))::bigint;
		UPDATE rows SET a = a + 1 WHERE id = key; END LOOP; END \$\$"
	declare -A took
	for how in half full; do
		set_reclaim off
		ask "VACUUM (INDEX_CLEANUP on) rows"
		ask "SELECT omendb.unseal('rows')" >/dev/null
		set_reclaim "$how"
		ask "SELECT omendb.seal('rows')" >/dev/null
		ask "CHECKPOINT"
		ask "VACUUM rows"
		start=$(date +%s.%N); ask "VACUUM rows"; took[vacuum,$how]=$(ms "$start")
		start=$(date +%s.%N); ask "$update"; took[update,$how]=$(ms "$start")
		start=$(date +%s.%N); ask "VACUUM rows"; took[after,$how]=$(ms "$start")
	done
	echo "| VACUUM, nothing to do | ${took[vacuum,half]} | ${took[vacuum,full]} |"
	echo "| $UPDATES updates of random rows by key | ${took[update,half]} | ${took[update,full]} |"
	echo "| VACUUM after them | ${took[after,half]} | ${took[after,full]} |"
	echo
	echo "Load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
} | tee "$RESULTS/space.md"
stop_server bench
