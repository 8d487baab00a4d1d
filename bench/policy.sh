#!/bin/bash
#
# policy.sh: what do changes of sealed rows cost, and what remains afterwards?
#
# 1. One row is updated in each of many small sealed tables: time, beside heap.
# 2. Rounds of updates that hit a small part of a table's rows, evenly, with
#    sealing in the background and autovacuum on: cold pages and space on disk
#    after each round, beside heap.
#
# Environment: TABLES (2000), ROWS (200000), ROUNDS (10), PAUSE (30 s, the time
# after each round).  Printed, and written to bench/results/policy.md.
#
set -u
. "$(dirname "$0")/lib.sh"

TABLES=${TABLES:-2000}
ROWS=${ROWS:-200000}
ROUNDS=${ROUNDS:-10}
PAUSE=${PAUSE:-30}

bench_server "shared_buffers = 512MB" "max_wal_size = 8GB" \
	"checkpoint_timeout = 30min" "fsync = off" "autovacuum_naptime = 5s" \
	"omendb.cache_size = 256MB" "omendb.seal = off" "omendb.seal_naptime = 1" \
	"omendb.seal_delay = 2" "max_locks_per_transaction = 1024"

ask() { sql bench -qAt -d postgres -c "$1"; }

# Bytes on disk of a table's main fork, holes left out, and of its row groups
space() {
	local files
	files=$(ask "CHECKPOINT" ; ask "SELECT pg_relation_filepath('$1')")
	files=$(stat -c '%b' "$WORK/bench/$files" | awk '{ n += $1 } END { print n * 512 }')
	[ "$1" = heap ] || files=$((files + $(ask "SELECT coalesce(sum(file_bytes), 0) FROM omendb.row_groups('$1')")))
	echo "$((files / 1048576))"
}

{
	echo "# Changes of sealed rows: bench/policy.sh"
	echo
	echo "One row updated in each of $TABLES tables of 200 rows, in one transaction each:"
	echo
	echo "| tables | seconds |"
	echo "|---|---|"
	for am in heap omendb; do
		ask "DO \$\$ BEGIN FOR i IN 1..$TABLES LOOP
			EXECUTE format('CREATE TABLE ${am}_%s (id int PRIMARY KEY, k int, note text) USING $am', i);
			EXECUTE format('INSERT INTO ${am}_%s SELECT g, g, md5(g::text) FROM generate_series(1, 200) g', i);
			COMMIT; END LOOP; END \$\$"
		what=$am
		if [ $am = omendb ]; then
			for i in $(seq "$TABLES"); do
				echo "SELECT omendb.seal('omendb_$i', true);"
			done >"$WORK/seal.sql"
			sql bench -qAt -d postgres -f "$WORK/seal.sql" >"$WORK/seal.log"
			what="omendb ($(ask "SELECT count(*) FROM pg_class c, omendb.row_groups(c.oid) r WHERE relname LIKE 'omendb\\_%' AND relkind = 'r' AND r.cold_rows = 200") with all rows sealed)"
		fi
		ask "CHECKPOINT"
		start=$(date +%s.%N)
		ask "DO \$\$ BEGIN FOR i IN 1..$TABLES LOOP
			EXECUTE format('UPDATE ${am}_%s SET k = k + 1 WHERE id = 1', i); COMMIT; END LOOP; END \$\$"
		echo "| $what | $(date +%s.%N | awk -v s="$start" '{ printf "%.1f", $1 - s }') |"
	done
	echo
	echo "2 % of $ROWS rows updated in each round, evenly, $PAUSE s between rounds, sealing and autovacuum on:"
	echo
	ask "ALTER SYSTEM SET omendb.seal = on" ; ask "SELECT pg_reload_conf()" >/dev/null
	for am in heap omendb; do
		ask "CREATE TABLE $am (id int PRIMARY KEY, k int, note text) USING $am;
			INSERT INTO $am SELECT g, g, repeat(md5(g::text), 6) FROM generate_series(1, $ROWS) g;
			CREATE INDEX ON $am (k)"
	done
	sleep "$PAUSE"
	echo "| round | pages | cold after the updates | cold after the pause | omendb MB | heap MB |"
	echo "|---|---|---|---|---|---|"
	for round in $(seq 0 "$ROUNDS"); do
		if [ "$round" != 0 ]; then
			for am in heap omendb; do
				ask "UPDATE $am SET k = k + 1 WHERE id % 50 = $round % 50"
			done
		fi
		cold="SELECT coalesce(sum(cold_pages), 0) FROM omendb.row_groups('omendb')"
		after=$(ask "$cold")
		sleep "$PAUSE"
		echo "| $round | $(ask "SELECT pg_relation_size('omendb') / 8192") | $after | $(ask "$cold") | $(space omendb) | $(space heap) |"
	done
	echo
	echo "Row groups of $(ask 'SHOW omendb.row_group_blocks') blocks, omendb.seal_delay $(ask 'SHOW omendb.seal_delay') (sealed anew at the earliest five times that after the last"
	echo "time); the last row group, which is not full, stays hot. ROWS=$ROWS PAUSE=$PAUSE; load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
} | tee "$RESULTS/policy.md"
stop_server bench
