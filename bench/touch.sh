#!/bin/bash
#
# touch.sh: what does it cost to read and to touch single rows of a sealed table?
#
# The same table on heap and, sealed, on omendb; both cached.  Every measurement
# is made on both, one after the other, in each round; medians and ratios to heap
# are printed and written to bench/results/touch.md.
#
# Reads first.  Then, in each round, the table is sealed anew (heap: VACUUM) and
# children of random keys are inserted, which locks their parents; it is sealed
# anew again, and random rows are updated and merged.  Beside the times: WAL, and
# what the table takes on disk, without indexes.
#
# Environment: ROWS (10000000), PROBES (1000000), ROUNDS (3); TOUCHES (10000, but
# no more than there are probes for): rows of an UPDATE; MERGE gets twice as many,
# and there are ten times as many children.  RECLAIM (full): omendb.reclaim_space.
#
set -u
. "$(dirname "$0")/lib.sh"

ROWS=${ROWS:-10000000}
PROBES=${PROBES:-1000000}
ROUNDS=${ROUNDS:-3}
RECLAIM=${RECLAIM:-full}
TOUCHES=${TOUCHES:-10000}
# each round takes keys of its own
most=$((PROBES / ROUNDS / 13))
[ "$TOUCHES" -le "$most" ] || TOUCHES=$most
[ "$TOUCHES" -gt 0 ] || fail "too few PROBES"

# reclaim_space = full needs data checksums or this
bench_server "shared_buffers = 3GB" "max_wal_size = 16GB" "wal_log_hints = on" \
	"checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" \
	"omendb.cache_size = 1GB" "omendb.seal = off" "jit = off" \
	"omendb.reclaim_space = $RECLAIM" "max_parallel_workers_per_gather = 0"

run() { sql bench -q -At -v ON_ERROR_STOP=1 -d postgres "$@"; }

say "loading"
run -c "CREATE TABLE keys (n int PRIMARY KEY, k bigint)" \
	-c "INSERT INTO keys SELECT n, 1 + (random() * ($ROWS - 1))::bigint FROM generate_series(1, $PROBES) n" \
	-c "VACUUM ANALYZE keys" || exit 1
for am in heap omendb; do
	run -c "CREATE TABLE t_$am (id bigint, a int, b int, v float8, s text) USING $am;
		SELECT setseed(0.5);
		INSERT INTO t_$am SELECT g, g % 1000, (random() * 1e6)::int, random() * 1000,
			'name' || (random() * 5000)::int FROM generate_series(1, $ROWS) g;
		CREATE UNIQUE INDEX ON t_$am (id);
		CREATE TABLE w_$am (id bigint, $(for i in $(seq 20); do echo -n "c$i text, "; done) z int) USING $am;
		INSERT INTO w_$am SELECT g, $(for i in $(seq 20); do echo -n "md5((g * $i)::text), "; done) g
			FROM generate_series(1, $ROWS / 40) g;
		CREATE INDEX ON w_$am (id);
		CREATE TABLE child_$am (parent bigint REFERENCES t_$am (id)) USING $am" \
		-c "VACUUM (FREEZE, ANALYZE) t_$am" -c "VACUUM (FREEZE, ANALYZE) w_$am" >"$WORK/load.out" || exit 1
done

# All of t_omendb cold, its blocks given back
seal_again() {
	run -c "SELECT omendb.seal('t_omendb', true)" >"$WORK/seal.out" && run -c CHECKPOINT -c "VACUUM t_omendb"
}
run -c "SELECT omendb.seal('w_omendb', true)" >"$WORK/seal.out" || exit 1
seal_again || exit 1
say "sealed: $(run -c "SELECT sum(cold_pages) || ' pages, ' || sum(cold_rows) || ' rows' FROM omendb.row_groups('t_omendb')")"

# note NAME AM VALUE
note() { printf '%s\t%s\t%s\n' "$@" | tee -a "$WORK/runs.txt"; }
took() { sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1; }

# measure NAME TABLE-INDEPENDENT-SQL ('@' becomes heap or omendb) [setup SQL]: once on each
SETTINGS="SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
SET enable_bitmapscan = off; SET enable_material = off; SET enable_memoize = off;"
measure() {
	local am ms
	for am in heap omendb; do
		ms=$(run -c "${SETTINGS}${3:-}" -c '\timing on' -c "${2//@/$am}" -c '\timing off' | took)
		[ -n "$ms" ] || exit 1
		note "$1" "$am" "$ms"
	done
}
# measure_wal NAME HEAP-SQL [OMENDB-SQL]: the same, and how much WAL was written
measure_wal() {
	local am out ms s
	for am in heap omendb; do
		s=$2
		[ $am = heap ] || s=${3:-$2}
		out=$(run <<-END
			$SETTINGS
			SELECT pg_current_wal_insert_lsn() AS l \\gset
			\\timing on
			${s//@/$am};
			\\timing off
			SELECT 'wal ' || pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'l');
		END
		)
		ms=$(echo "$out" | took)
		[ -n "$ms" ] || exit 1
		note "$1" "$am" "$ms"
		note "$1: MB of WAL" "$am" "$(echo "$out" | awk '/^wal/ { printf "%.1f", $2 / 1048576 }')"
	done
}
# measure_size NAME: of t_*, in MB
measure_size() {
	note "$1: MB on disk" heap "$(run -c "SELECT round(pg_table_size('t_heap') / 1048576.0, 1)")"
	note "$1: MB on disk" omendb "$(run -c CHECKPOINT -c "SELECT round((total_bytes - index_bytes) / 1048576.0, 1) FROM omendb.table_size('t_omendb')")"
}

FROM_KEYS="FROM keys k JOIN t_@ t ON t.id = k.k"
reads() {
	measure "probes, one column" "SELECT sum(t.a) $FROM_KEYS"
	measure "probes, two columns" "SELECT sum(t.a + t.b) $FROM_KEYS"
	measure "probes, all columns" "SELECT count(t.a + t.b + t.v + length(t.s)) $FROM_KEYS"
	measure "probes, first of 20 texts" "SELECT count(c1) FROM keys k JOIN w_@ t ON t.id = k.k / 40 WHERE n <= $PROBES / 4"
	measure "probes, last of 20 texts" "SELECT count(c20) FROM keys k JOIN w_@ t ON t.id = k.k / 40 WHERE n <= $PROBES / 4"
	measure "bitmap scan, 1 % of rows" "SELECT sum(a) FROM t_@ WHERE id = ANY (ARRAY(SELECT k FROM keys WHERE n <= $ROWS / 100))" \
		"SET enable_indexscan = off; SET enable_bitmapscan = on;"
	measure "5000 probes" "SELECT sum(t.a) $FROM_KEYS WHERE n <= 5000"
	measure "ANALYZE" "ANALYZE t_@"
}
# keys FIRST COUNT: of this round, in units of TOUCHES
keys() { echo "k.n > $(((at + $1) * TOUCHES)) AND k.n <= $(((at + $1 + $2) * TOUCHES))"; }
touches() { # round
	local at=$((($1 - 1) * 13))
	local update="UPDATE t_@ t SET b = b + 1 FROM keys k WHERE t.id = k.k AND $(keys 10 1)"

	[ "$1" = 1 ] || seal_again || exit 1
	measure_size "before"
	measure_wal "$((TOUCHES * 10)) children" "INSERT INTO child_@ SELECT k FROM keys k WHERE $(keys 0 10)"
	measure_size "after the children"
	note "pages thawed by children" heap "$(run -c "SELECT pg_relation_size('t_heap') / 8192")"
	note "pages thawed by children" omendb "$(run -c "SELECT pg_relation_size('t_omendb') / 8192 - sum(cold_pages) FROM omendb.row_groups('t_omendb')")"
	measure_wal "VACUUM; sealing again after the children" "VACUUM t_@" "SELECT omendb.seal('t_omendb', true)"
	seal_again || exit 1
	measure_size "sealed again"

	measure_wal "UPDATE of $TOUCHES rows" "$update"
	measure_wal "UPDATE of $TOUCHES rows, thawed" "$update"
	measure_wal "MERGE of $((TOUCHES * 2)) rows" \
		"MERGE INTO t_@ t USING (SELECT DISTINCT k FROM keys k WHERE $(keys 11 2)) k ON t.id = k.k
			WHEN MATCHED THEN UPDATE SET b = b + 1"
	measure_size "after the updates"
	measure_wal "VACUUM; sealing again after the updates" "VACUUM t_@" "SELECT omendb.seal('t_omendb', true)"
}

for round in $(seq 0 "$ROUNDS"); do
	[ "$round" -gt 0 ] || say "warm-up"
	reads
	[ "$round" -gt 0 ] || cp /dev/null "$WORK/runs.txt"
done
for round in $(seq "$ROUNDS"); do touches "$round"; done

perl - "$WORK/runs.txt" >"$WORK/table.txt" <<'P'
use strict; use warnings;
my (%v, @names);
while (<>) {
	chomp; my ($n, $am, $ms) = split /\t/;
	push @names, $n unless $v{$n};
	push @{ $v{$n}{$am} }, $ms;
}
for my $n (@names) {
	my %m = map { my @s = sort { $a <=> $b } @{ $v{$n}{$_} }; ($_ => $s[ $#s / 2 ]) } qw(heap omendb);
	printf "| %s | %.1f | %.1f | %s |\n", $n, @m{qw(heap omendb)},
		$m{heap} > 0 ? sprintf('%.2f', $m{omendb} / $m{heap}) : '';
}
P
{
	echo "# Single rows of sealed tables"
	echo
	echo "\`bench/touch.sh\`: $ROWS rows, $PROBES random probes, $ROUNDS rounds, medians in ms"
	echo "(heap's pages stand for themselves where pages thawed are counted);"
	echo "PostgreSQL $(run -c 'SHOW server_version'), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync off,"
	echo "everything cached, omendb.reclaim_space = $RECLAIM, wal_log_hints on."
	echo
	echo "| | heap | sealed | ratio |"
	echo "|---|---:|---:|---:|"
	cat "$WORK/table.txt"
} >"$RESULTS/touch.md"
cat "$RESULTS/touch.md"
