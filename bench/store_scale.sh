#!/bin/bash
#
# store_scale.sh: does the store hold with many row groups?
#
# Writes row groups of one small chunk pair through the sealer's path (WAL,
# file, ingest) and reports, at each size, the rate of the last 1,000, then
# restarts the server and reports how long the store takes to open (wall clock,
# and processor time of the worker, which a busy machine does not falsify), and
# the worker's descriptors, memory and threads; at the end, how long it takes to
# make RocksDB anew from the files.  Aims at 100,000: open <= 5 s, <= 1,200
# descriptors, <= 512 MB, rate >= half of that at 1,000.
#
# Environment: SIZES ("1000 5000 10000 20000 50000 100000"), FSYNC (off),
# WRITERS (1)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

SIZES=${SIZES:-1000 5000 10000 20000 50000 100000}
FSYNC=${FSYNC:-off}
WRITERS=${WRITERS:-1}
RESULTS=$TOP/bench/results
mkdir -p "$RESULTS"
OUT=$RESULTS/store_scale.md

copy_sources "$WORK/src"
build_and_install "$WORK/src" "$WORK/build.log" || exit 1
install_test_module "$WORK/src" "$WORK/build.log" || exit 1
new_server scale "fsync = $FSYNC" "omendb.stop_events = on" "omendb.seal = off" "omendb.gc_interval = 0" \
	"omendb.cache_size = 64MB" "max_wal_size = 4GB" "autovacuum = off" || exit 1
start_server scale || exit 1
sql scale -q -c "CREATE EXTENSION omendb_test CASCADE"

now() { date +%s.%N; }
stat() { sql scale -At -c "SELECT $1 FROM omendb.store_stats()"; }

# write N row groups with $WRITERS sessions
write() {
	local n=$1 per=$(($1 / WRITERS)) i pids=""
	for i in $(seq "$WRITERS"); do
		sql scale -q -At -o /dev/null \
			-c "SELECT omendb.test_file_write(2, 200, 0, $per)" &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i" || exit 1; done
}

# processor seconds of the worker so far
cpu() { awk '{ printf "%.1f", ($14 + $15) / 100 }' "/proc/$(stat pid)/stat"; }

# seconds until the store answers after a start
time_open() {
	local began=$(now)
	start_server scale || exit 1
	until [ "$(stat state 2>/dev/null)" = ready ]; do sleep 0.02; done
	awk -v a="$began" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'
}

{
	echo "# The store with many row groups"
	echo
	echo "$(date -u +%F), $(nproc) cores, fsync = $FSYNC, $WRITERS writer(s)."
	echo "bench/store_scale.sh; each row group: two chunks of 200 bytes."
	echo "Open: start of the server until the store is ready, seconds; behind the"
	echo "slash, the worker's processor time.  Load average at the start: $(cut -d' ' -f1 /proc/loadavg)."
	echo
	echo "| row groups | row groups/s, last 1,000 | processor ms per row group | open, s | descriptors | peak memory, MB | threads |"
	echo "|---|---|---|---|---|---|---|"
} | tee "$OUT"

have=0
for size in $SIZES; do
	left=$((size - have))
	while [ $left -gt 1000 ]; do
		step=$((left - 1000 < 5000 ? left - 1000 : 5000))
		write $step
		left=$((left - step))
	done
	before=$(cpu)
	began=$(now)
	write $left
	each=$(awk -v a="$before" -v b="$(cpu)" -v n=$left 'BEGIN { printf "%.2f", (b - a) * 1000 / n }')
	rate=$(awk -v a="$began" -v b="$(now)" -v n=$left 'BEGIN { printf "%.0f", n / (b - a) }')
	have=$size
	stop_server scale
	open="$(time_open) / $(cpu)"
	pid=$(stat pid)
	# touch 2,000 row groups, so that descriptors count
	sql scale -q -At -o /dev/null -c "SELECT omendb.test_file_read(id, 2, 200)
		FROM omendb.test_file_list() LIMIT 2000"
	fds=$(ls "/proc/$pid/fd" | wc -l)
	rss=$(awk '/VmHWM/ { hwm = $2 } /RssShmem/ { shm = $2 } END { printf "%.0f", (hwm - shm) / 1024 }' "/proc/$pid/status")
	threads=$(awk '/^Threads/ { print $2 }' "/proc/$pid/status")
	echo "| $(stat row_groups) | $rate | $each | $open | $fds | $rss | $threads |" | tee -a "$OUT"
done

stop_server scale
as_user rm -rf "$WORK/scale/omendb/pgsql_tmp_rocksdb"
open="$(time_open) s, of the worker's processor time $(cpu)"
{
	echo
	echo "Making RocksDB anew from $have files: $open s."
} | tee -a "$OUT"
stop_server scale
