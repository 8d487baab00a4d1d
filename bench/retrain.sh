#!/bin/bash
#
# retrain.sh: alex indexes whose keys change their distribution, before and
# after omendb.alex_retrain, and btree beside
#
# Three equal heap tables with an index on the key: btree, alex as it came, and
# alex retrained.  Keys are microseconds:
#   bursts    events come in bursts of BURST, an hour apart
#   built     the same keys, and the index is built when they are there
#   shift     one event per second, then, after a gap of months, one per
#             millisecond, then a burst in random order into the middle of the
#             former
#   uniform   one event per second: nothing to retrain
# Measured in rounds that alternate between the three, after warm-up:
#   probe     nested loop of random existing keys, index-only
#   insert    rows appended whose keys are just behind existing ones
# and what retraining took: time, WAL, leaves.  Medians go to
# bench/results/retrain.md.
#
# Environment: KEYS (1000000), BURST (400), PROBES (300000), ROUNDS (5), INSERTS (50000),
# LOADS ("bursts built shift uniform"), NO_BUILD (set: omendb is installed already)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

KEYS=${KEYS:-1000000}
BURST=${BURST:-400}
PROBES=${PROBES:-300000}
ROUNDS=${ROUNDS:-5}
INSERTS=${INSERTS:-50000}
LOADS=${LOADS:-bursts built shift uniform}
RESULTS=$TOP/bench/results
mkdir -p "$RESULTS"

if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" || exit 1
fi

new_server bench "shared_buffers = 1GB" "max_wal_size = 16GB" \
	"checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" "jit = off" \
	"max_parallel_workers_per_gather = 0" "max_parallel_maintenance_workers = 0" \
	"maintenance_work_mem = 512MB" "work_mem = 256MB" "omendb.seal = off" \
	"omendb.alex_retrain = off" || exit 1
start_server bench || exit 1
sql bench -q -d postgres -c "CREATE EXTENSION omendb" || exit 1

# timed SQL -> milliseconds; the settings make sure that the index is used
timed() {
	sql bench -q -At -d postgres -c "SET enable_seqscan = off" \
		-c "SET enable_hashjoin = off" -c "SET enable_mergejoin = off" \
		-c "SET enable_bitmapscan = off" -c "SET enable_material = off" \
		-c "SET enable_memoize = off" -c "\\timing on" -c "$1" 2>&1 |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
}
note() { # load what index milliseconds
	[ -n "$4" ] || fail "$1 $2 on $3 gave no time"
	echo "$*" | tee -a "$WORK/runs.txt"
}
stats() { sql bench -At -F ' ' -d postgres -c "SELECT round(avg_error::numeric, 2), bad_leaves, leaf_pages, directory_entries FROM omendb.alex_stats('$1')"; }

# The keys of the load, in the order in which they come
keys() {
	case $load in
	bursts | built) echo "SELECT i * 1000 + i / $BURST * 3600000000 AS k FROM generate_series(1::bigint, $KEYS) i" ;;
	shift) echo "SELECT i * 1000000 AS k FROM generate_series(1::bigint, $KEYS / 2) i UNION ALL
		SELECT 20000000000000 + i * 1000 FROM generate_series(1::bigint, $KEYS / 4) i UNION ALL
		SELECT $KEYS * 250000::bigint + (random() * 60000000)::bigint FROM generate_series(1, $KEYS / 4) i" ;;
	uniform) echo "SELECT i * 1000000 AS k FROM generate_series(1::bigint, $KEYS) i" ;;
	*) fail "unknown load $load" ;;
	esac
}

tables="btree alex retrained"
for load in $LOADS; do
	sql bench -q -d postgres -c "SELECT setseed(0.5)" -c "CREATE TABLE load AS $(keys)" \
		-c "CREATE TABLE probes AS SELECT k FROM (SELECT k FROM load TABLESAMPLE SYSTEM (60) REPEATABLE (1)) s ORDER BY random() LIMIT $PROBES" \
		-c "CREATE TABLE fresh AS SELECT k + (random() * 900)::bigint AS k, i % ($ROUNDS + 1) AS round FROM (SELECT k, row_number() OVER () AS i FROM load ORDER BY random() LIMIT ($ROUNDS + 1) * $INSERTS) s" \
		>/dev/null || exit 1
	for t in $tables; do
		index="CREATE INDEX ${t}_k ON $t USING $([ $t = btree ] && echo btree || echo alex) (k)"
		sql bench -q -d postgres -c "CREATE TABLE $t (k bigint)" || exit 1
		[ $load = built ] || sql bench -q -d postgres -c "$index"
		sql bench -q -d postgres -c "INSERT INTO $t SELECT k FROM load" || exit 1
		[ $load = built ] && sql bench -q -d postgres -c "$index"
	done
	sql bench -q -d postgres -c "VACUUM (FREEZE, ANALYZE)" -c "CHECKPOINT"
	before=$(stats retrained_k)
	lsn=$(sql bench -At -d postgres -c "SELECT pg_current_wal_insert_lsn()")
	ms=$(timed "SELECT omendb.alex_retrain('retrained_k')")
	wal=$(sql bench -At -d postgres -c "SELECT round((pg_current_wal_insert_lsn() - '$lsn'::pg_lsn) / 1024)")
	after=$(stats retrained_k)
	echo "$load $before $after $ms $wal" | tee -a "$WORK/retrained.txt"

	for round in $(seq 0 "$ROUNDS"); do
		for t in $tables; do
			ms=$(timed "SELECT count(t.k) FROM probes p JOIN $t t ON t.k = p.k")
			[ "$round" = 0 ] || note $load probe $t "$ms"
		done
	done
	for round in $(seq 0 "$ROUNDS"); do
		for t in $tables; do
			ms=$(timed "INSERT INTO $t SELECT k FROM fresh WHERE round = $round")
			[ "$round" = 0 ] || note $load insert $t "$ms"
		done
	done
	[ "$(sql bench -At -d postgres -c "SELECT sum(k) FROM btree")" = "$(sql bench -At -d postgres -c "SET enable_seqscan = off" -c "SELECT sum(k) FROM retrained WHERE k IS NOT NULL" | tail -n 1)" ] ||
		fail "$load: rows are lost"
	sql bench -q -d postgres -c "DROP TABLE load, probes, fresh, btree, alex, retrained"
done

perl - "$WORK/runs.txt" >"$WORK/table.txt" <<'P'
use strict; use warnings;
my (%v, @order);
while (<>)
{
	my ($d, $w, $t, $ms) = split;
	push @order, [ $d, $w ] unless $v{$d}{$w};
	push @{ $v{$d}{$w}{$t} }, $ms;
}
for (@order)
{
	my ($d, $w) = @$_;
	my %m;
	for my $t (qw(btree alex retrained))
	{
		my @s = sort { $a <=> $b } @{ $v{$d}{$w}{$t} };
		$m{$t} = $s[$#s / 2];
	}
	printf "| %s | %s | %.0f ms | %.0f ms | %.0f ms | %.2f | %.2f |\n", $d, $w, @m{qw(btree alex retrained)},
	  $m{alex} / $m{retrained}, $m{btree} / $m{retrained};
}
P
{
	echo "# Retraining alex indexes"
	echo
	echo "\`bench/retrain.sh\`: $KEYS keys, bursts of $BURST, $PROBES probes and $INSERTS inserts per round, medians of $ROUNDS"
	echo "alternating rounds, heap tables in shared buffers; PostgreSQL $(sql bench -At -d postgres -c 'SHOW server_version')"
	echo "($([ "$(sql bench -At -d postgres -c 'SHOW debug_assertions')" = on ] && echo 'with' || echo 'without') assertions), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync off."
	echo "Load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
	echo
	echo "| keys | what | btree | alex, as it came | alex, retrained | retrained against as it came | retrained against btree |"
	echo "|---|---|---:|---:|---:|---:|---:|"
	cat "$WORK/table.txt"
	echo
	echo "What \`omendb.alex_retrain\` did (the error is the mean distance between predicted and true slot):"
	echo
	echo "| keys | leaves | laid out anew | error before | after | time | WAL |"
	echo "|---|---:|---:|---:|---:|---:|---:|"
	awk '{ printf "| %s | %d | %d | %s | %s | %.0f ms | %d kB |\n", $1, $4, $3, $2, $6, $10, $11 }' "$WORK/retrained.txt"
} >"$RESULTS/retrain.md"
cat "$RESULTS/retrain.md"
