#!/bin/bash
#
# memory.sh: peak memory of a backend that runs vectorised queries
#
# Each query runs in a backend of its own on a sealed table of ROWS rows, with
# work_mem = WORK_MEM.  The peak is what the kernel has counted (VmHWM) without
# memory that is shared.  It must stay below what a backend has before its query,
# plus hash_mem (work_mem x hash_mem_multiplier), plus MARGIN for vectors, chunks
# and buffers of files.  Results: bench/results/memory.md
#
# Environment: ROWS (10000000), WORK_MEM in MB (16), MARGIN in MB (8), RESULTS
#
set -u
. "$(dirname "$0")/lib.sh"

ROWS=${ROWS:-10000000}
WORK_MEM=${WORK_MEM:-16}
MARGIN=${MARGIN:-8}

bench_server "shared_buffers = 512MB" "omendb.cache_size = 256MB" "work_mem = ${WORK_MEM}MB" \
	"max_wal_size = 16GB" "checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" "jit = off" \
	"omendb.seal = off" "max_parallel_workers_per_gather = 0" \
	"omendb.enable_vectorized_scan = force" "omendb.enable_vectorized_agg = force"
sql bench -q -d postgres \
	-c "CREATE TABLE r (id bigint, a integer, v double precision, s text) USING omendb" \
	-c "INSERT INTO r SELECT g, g % 1000, g * 0.5, 'string number ' || g % 5000 FROM generate_series(1, $ROWS) g" \
	-c "VACUUM (FREEZE, ANALYZE) r" || exit 1
sql bench -q -d postgres -c "SELECT omendb.seal('r', true)" >/dev/null || exit 1
sql bench -q -d postgres -c "VACUUM ANALYZE r"

# private memory in kB: "now" or "peak"
PRIVATE="(SELECT sum(CASE WHEN l LIKE :'field' THEN 1 ELSE -1 END * substring(l FROM '[0-9]+')::bigint)
	FROM regexp_split_to_table(pg_read_file('/proc/self/status'), E'\\n') l
	WHERE l LIKE :'field' OR l LIKE 'RssFile:%' OR l LIKE 'RssShmem:%')"
failed=0
rows=""
while IFS='|' read -r name query; do
	out=$(sql bench -At -d postgres -v field=VmRSS:% <<-END
		SELECT $PRIVATE;
		\\set field VmHWM:%
		\\o /dev/null
		$query;
		\\o
		SELECT $PRIVATE;
		SELECT setting::float8 * $WORK_MEM * 1024 FROM pg_settings WHERE name = 'hash_mem_multiplier';
		EXPLAIN (COSTS OFF) $query;
	END
	) || exit 1
	before=$(sed -n 1p <<<"$out"); peak=$(sed -n 2p <<<"$out"); hash_mem=$(sed -n 3p <<<"$out")
	grep -q Omendb <<<"$out" || fail "$name does not use the nodes"
	limit=$(awk "BEGIN { printf \"%d\", $before + $hash_mem + $MARGIN * 1024 }")
	[ "$peak" -le "$limit" ] || failed=1
	rows+="| $name | $((before / 1024)) | $((peak / 1024)) | $((limit / 1024)) |$([ "$peak" -le "$limit" ] || echo ' too much |')"$'\n'
	say "$name: before $((before / 1024)) MB, peak $((peak / 1024)) MB, limit $((limit / 1024)) MB"
done <<-END
	sum of all rows|SELECT count(*), sum(v), max(s) FROM r
	rows to the client|SELECT count(*) FROM (SELECT id, v, s FROM r WHERE a < 900 OFFSET 0) q
	groups of $ROWS keys|SELECT count(*), sum(c) FROM (SELECT id, count(*) AS c, sum(v) FROM r GROUP BY id OFFSET 0) q
	groups of $ROWS pairs with a text|SELECT count(*), sum(c) FROM (SELECT s, id, count(*) AS c FROM r GROUP BY s, id OFFSET 0) q
	count(DISTINCT) of $ROWS values|SELECT count(DISTINCT id) FROM r
	count(DISTINCT) in 1,000 groups|SELECT count(*), sum(d) FROM (SELECT a, count(DISTINCT v) AS d FROM r GROUP BY a OFFSET 0) q
END
{
	echo "# Peak memory of a backend"
	echo
	echo "\`bench/memory.sh\`: private memory in MB; a sealed table of $ROWS rows, work_mem $WORK_MEM MB (hash_mem is twice that)."
	echo "Limit: before, plus hash_mem, plus $MARGIN MB."
	echo
	echo "| query | before | peak | limit |"
	echo "|---|---:|---:|---:|"
	printf '%s' "$rows"
} >"$RESULTS/memory.md"
cat "$RESULTS/memory.md"
exit $failed
