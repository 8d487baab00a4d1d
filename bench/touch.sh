#!/bin/bash
#
# touch.sh: what does it cost to read and to touch single rows of a sealed table?
#
# The same table on heap and, sealed, on omendb; both cached.  Every measurement
# is made on both, one after the other, in each round; medians and ratios to heap
# are printed and written to bench/results/touch.md.
#
# Environment: ROWS (10000000), PROBES (1000000), ROUNDS (3)
#
set -u
. "$(dirname "$0")/lib.sh"

ROWS=${ROWS:-10000000}
PROBES=${PROBES:-1000000}
ROUNDS=${ROUNDS:-3}

bench_server "shared_buffers = 3GB" "max_wal_size = 16GB" \
	"checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" \
	"omendb.cache_size = 1GB" "omendb.seal = off" "jit = off" \
	"max_parallel_workers_per_gather = 0"

run() { sql bench -q -At -v ON_ERROR_STOP=1 -d postgres "$@"; }

say "loading"
run -c "CREATE TABLE keys (n int, k bigint);
	INSERT INTO keys SELECT n, 1 + (random() * ($ROWS - 1))::bigint FROM generate_series(1, $PROBES) n;
	VACUUM ANALYZE keys" || exit 1
for am in heap omendb; do
	run -c "CREATE TABLE t_$am (id bigint, a int, b int, v float8, s text) USING $am;
		SELECT setseed(0.5);
		INSERT INTO t_$am SELECT g, g % 1000, (random() * 1e6)::int, random() * 1000,
			'name' || (random() * 5000)::int FROM generate_series(1, $ROWS) g;
		CREATE UNIQUE INDEX ON t_$am (id);
		CREATE TABLE w_$am (id bigint, $(for i in $(seq 20); do echo -n "c$i text, "; done) z int) USING $am;
		INSERT INTO w_$am SELECT g, $(for i in $(seq 20); do echo -n "md5((g * $i)::text), "; done) g
			FROM generate_series(1, $ROWS / 40) g;
		CREATE INDEX ON w_$am (id)" \
		-c "VACUUM (FREEZE, ANALYZE) t_$am" -c "VACUUM (FREEZE, ANALYZE) w_$am" || exit 1
done
for t in t w; do
	run -c "SELECT omendb.seal('${t}_omendb', true)" >/dev/null || exit 1
done
say "sealed: $(run -c "SELECT sum(cold_pages) || ' pages, ' || sum(cold_rows) || ' rows' FROM omendb.row_groups('t_omendb')")"
run -c CHECKPOINT

# measure NAME TABLE-INDEPENDENT-SQL ('@' becomes heap or omendb) [setup SQL]: once on each
SETTINGS="SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
SET enable_bitmapscan = off; SET enable_material = off; SET enable_memoize = off;"
measure() {
	local am ms
	for am in heap omendb; do
		ms=$(run -c "${SETTINGS}${3:-}" -c '\timing on' -c "${2//@/$am}" -c '\timing off' |
			sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1)
		[ -n "$ms" ] || exit 1
		printf '%s\t%s\t%s\n' "$1" "$am" "$ms" | tee -a "$WORK/runs.txt"
	done
}
# the same, and how much WAL was written
measure_wal() {
	local am out
	for am in heap omendb; do
		out=$(run -c "$SETTINGS" -c "SELECT pg_current_wal_insert_lsn() AS l \\gset" -c '\timing on' \
			-c "${2//@/$am}" -c '\timing off' \
			-c "SELECT 'wal ' || pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'l')")
		printf '%s\t%s\t%s\n' "$1" "$am" "$(echo "$out" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1)" |
			tee -a "$WORK/runs.txt"
		printf '%s: MB of WAL\t%s\t%s\n' "$1" "$am" \
			"$(echo "$out" | awk '/^wal/ { printf "%.1f", $2 / 1048576 }')" | tee -a "$WORK/runs.txt"
	done
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
touches() { # round
	local where="k.n > $1 * 20000 AND k.n <= $1 * 20000 + 10000"
	measure_wal "UPDATE of 10000 rows" \
		"UPDATE t_@ t SET b = b + 1 FROM keys k WHERE t.id = k.k AND $where"
	measure_wal "UPDATE of 10000 rows, thawed" \
		"UPDATE t_@ t SET b = b + 1 FROM keys k WHERE t.id = k.k AND $where"
	where="k.n > $1 * 20000 + 500000 AND k.n <= $1 * 20000 + 520000"
	measure_wal "MERGE of 20000 rows" \
		"MERGE INTO t_@ t USING (SELECT DISTINCT k FROM keys k WHERE $where) k ON t.id = k.k
			WHEN MATCHED THEN UPDATE SET b = b + 1"
}

for round in $(seq 0 "$ROUNDS"); do
	[ "$round" -gt 0 ] || say "warm-up"
	[ "$round" -gt 0 ] || cp /dev/null "$WORK/runs.txt"
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
	echo "\`bench/touch.sh\`: $ROWS rows, $PROBES random probes, $ROUNDS rounds, medians in ms;"
	echo "PostgreSQL $(run -c 'SHOW server_version'), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync off,"
	echo "everything cached."
	echo
	echo "| | heap | sealed | ratio |"
	echo "|---|---:|---:|---:|"
	cat "$WORK/table.txt"
} >"$RESULTS/touch.md"
cat "$RESULTS/touch.md"
