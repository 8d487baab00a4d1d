#!/bin/bash
#
# alex.sh: the learned index alex beside btree, on heap tables
#
# One server; for each distribution of keys two equal heap tables, one with a
# btree index and one with an alex index.  Distributions: random, sequential and
# lognormal are 8-byte integers, bursty timestamps that come in thousands; uuid,
# uuid7 (ascending with time), text (12 random letters), url (24 letters that all
# have), package (names and versions that apt-cache knows, numbered), numeric (12,2),
# int4_timestamptz and text_int8 (two columns) are wide; text is in collation "C".
# ascending: 8-byte integers, inserts only.
# Measured, in rounds that alternate between the two, after warm-up:
#   probe       nested loop of random existing keys, index-only
#   fetch       the same, reading a column of the heap
#   probe1, fetch1  the same with omendb.nestloop_batch = 0: one key after the other
#               (keys of eight bytes; btree's times are those of probe and fetch)
#   range       index-only ranges of about 100 keys each
#   insert      rows of another table, of the same distribution, appended to a
#               table that has the index already
#   wal         bytes of WAL that the insert took, the heap's with them
#   build       CREATE INDEX, without parallel workers
#   size        pg_relation_size after the build, and after the inserts
#   probe4      the probes by four clients at once, until the last has ended
#   insert4     the inserts by four clients at once, each a quarter of the rows
# Medians, ratios of btree's time to alex's (above 1: alex is faster) and of
# the sizes are printed and written to bench/results/alex.{md,svg}.
#
# Environment: KEYS (10000000), PROBES (500000), ROUNDS (5),
# INSERTS (500000), DISTRIBUTIONS ("random lognormal ascending"), NAME (alex: of the
# result's files), NO_BUILD (set: omendb is installed already)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

KEYS=${KEYS:-10000000}
PROBES=${PROBES:-500000}
ROUNDS=${ROUNDS:-5}
INSERTS=${INSERTS:-500000}
DISTRIBUTIONS=${DISTRIBUTIONS:-random lognormal ascending}
NAME=${NAME:-alex}
RESULTS=${RESULTS:-$TOP/bench/results}
mkdir -p "$RESULTS"

if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" || exit 1
fi

new_server bench "shared_buffers = 3GB" "max_wal_size = 16GB" \
	"checkpoint_timeout = 60min" "autovacuum = off" "fsync = off" "jit = off" \
	"max_parallel_workers_per_gather = 0" "max_parallel_maintenance_workers = 0" \
	"full_page_writes = off" \
	"maintenance_work_mem = 1GB" "work_mem = 512MB" "omendb.seal = off" || exit 1
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
# timed4 SQL -> milliseconds of the clock, of four clients at once; N in it is the
# client's number, 0 to 3
timed4() {
	local client started=$(date +%s%N) pids=() pid
	for client in 0 1 2 3; do
		timed "${1//:N/$client}" >"$WORK/client.$client" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	local ended=$(date +%s%N)
	for client in 0 1 2 3; do [ -s "$WORK/client.$client" ] || return; done
	echo $(((ended - started) / 1000000))
}
wal() { sql bench -At -d postgres -c "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"; }
note() { # distribution what index milliseconds
	[ -n "$4" ] || fail "$1 $2 on $3 gave no time"
	echo "$*" | tee -a "$WORK/runs.txt"
}
size() { sql bench -At -d postgres -c "SELECT pg_relation_size('$1')"; }

case " $DISTRIBUTIONS " in *" package "*)
	sql bench -q -d postgres -c "CREATE TABLE packages (id serial PRIMARY KEY, name text)" || exit 1
	LC_ALL=C apt-cache dumpavail | awk '/^Package:/ {p = $2} /^Version:/ {print p "_" $2}' | sort -u |
		sql bench -q -d postgres -c "COPY packages (name) FROM STDIN"
	packages=$(sql bench -At -d postgres -c "SELECT count(*) FROM packages")
	[ "${packages:-0}" -gt 1000 ] || fail "apt-cache knows no packages"
	sql bench -q -d postgres -c "VACUUM (FREEZE, ANALYZE) packages" ;;
esac

for d in $DISTRIBUTIONS; do
	# the first column's expression, and the second's if there are two
	key2=
	case $d in
		ascending) continue ;;
		random) key="(random() * 9e18)::bigint" ;;
		# sigma 2, as in the papers on learned indexes
		lognormal) key="(exp(2 * sqrt(-2 * ln(1 - random())) * cos(6.283185307179586 * random())) * 1e9)::bigint" ;;
		# in the order of the table
		sequential) key="(g + 1000000000::bigint * :round)" ;;
		bursty) key="('2026-01-01'::timestamptz + :round * interval '90 days' + g / 1000 * interval '1 min' + random() * interval '2 s')" ;;
		uuid7) key="(lpad(to_hex(1767225600000 + 10000000000 * :round + g / 10), 12, '0') || '7' || substr(md5(random()::text), 14))::uuid" ;;
		package) key="((SELECT name FROM packages WHERE id = 1 + (g * 7919::bigint + :round * 31) % $packages) || '~' || g / $packages || '.' || :round) COLLATE \"C\"" ;;
		uuid) key="md5(random()::text)::uuid" ;;
		text) key="left(md5(random()::text), 12) COLLATE \"C\"" ;;
		url) key="('https://www.example.com/' || (random() * 1e10)::bigint) COLLATE \"C\"" ;;
		numeric) key="(random() * 1e10)::numeric(12,2)" ;;
		int4_timestamptz) key="(random() * 1000)::int4" key2="'2026-01-01'::timestamptz + random() * interval '365 days'" ;;
		text_int8) key="('tenant-' || (random() * 1000)::int) COLLATE \"C\"" key2="(random() * 9e18)::bigint" ;;
		*) fail "unknown distribution $d" ;;
	esac
	case $d in random | sequential | lognormal | bursty) wide= ;; *) wide=yes ;; esac
	if [ -n "$key2" ]; then
		columns="k, k2" new="$key AS k, $key2 AS k2" join="t.k = p.k AND t.k2 = p.k2"
		ranges="SELECT k, k2 AS lo, lead(k2, 100) OVER (PARTITION BY k ORDER BY k2) AS hi"
		within="t.k = r.k AND t.k2 BETWEEN r.lo AND r.hi"
		counted="t.k2"
	else
		columns="k" new="$key AS k" join="t.k = p.k"
		ranges="SELECT k AS lo, lead(k, 100) OVER (ORDER BY k) AS hi"
		within="t.k BETWEEN r.lo AND r.hi"
		counted="t.k"
	fi
	sql bench -q -d postgres -c "SELECT setseed(0.5)" \
		-c "CREATE TABLE btree_$d AS SELECT ${new//:round/0}, g AS v FROM generate_series(1, $KEYS) g" \
		-c "CREATE TABLE alex_$d AS TABLE btree_$d" \
		-c "VACUUM (FREEZE, ANALYZE) btree_$d, alex_$d" \
		-c "CREATE TABLE probes_$d AS SELECT $columns FROM (SELECT $columns FROM btree_$d TABLESAMPLE SYSTEM (20) REPEATABLE (1)) s ORDER BY random() LIMIT $PROBES" \
		-c "CREATE TABLE ranges_$d AS $ranges FROM btree_$d" \
		-c "DELETE FROM ranges_$d WHERE hi IS NULL OR random() > 20000.0 / $KEYS" \
		-c "VACUUM FULL ANALYZE probes_$d" -c "VACUUM FULL ANALYZE ranges_$d" >/dev/null || exit 1

	for round in 1 2 3; do
		for am in btree alex; do
			sql bench -q -d postgres -c "DROP INDEX IF EXISTS ${am}_${d}_k" -c "CHECKPOINT" 2>/dev/null
			note "$d" build $am "$(timed "CREATE INDEX ${am}_${d}_k ON ${am}_$d USING $am ($columns)")"
		done
	done
	for am in btree alex; do note "$d" size $am "$(size ${am}_${d}_k)"; done
	sql bench -At -d postgres -c "SELECT 'alex after the build: height ' || height || ', density ' || round(avg_density::numeric, 2) || ', mean error ' || round(avg_error::numeric, 2) || ' slots, predicted exactly ' || round(exact_hits::numeric * 100) || ' %' FROM omendb.alex_stats('alex_${d}_k')" |
		sed "s/^/$d: /" | tee -a "$WORK/stats.txt"

	for round in $(seq 0 "$ROUNDS"); do
		for am in btree alex; do
			p=$(timed "SELECT count($counted) FROM probes_$d p JOIN ${am}_$d t ON $join")
			f=$(timed "SELECT sum(t.v) FROM probes_$d p JOIN ${am}_$d t ON $join")
			r=$(timed "SELECT count($counted) FROM ranges_$d r JOIN ${am}_$d t ON $within")
			p1=$p f1=$f
			if [ $am = alex ] && [ -z "$wide" ]; then
				p1=$(timed "SET omendb.nestloop_batch = 0; SELECT count($counted) FROM probes_$d p JOIN ${am}_$d t ON $join")
				f1=$(timed "SET omendb.nestloop_batch = 0; SELECT sum(t.v) FROM probes_$d p JOIN ${am}_$d t ON $join")
			fi
			[ "$round" = 0 ] && continue # warm-up
			note "$d" probe $am "$p"
			[ -n "$wide" ] || note "$d" probe1 $am "$p1"
			note "$d" fetch $am "$f"
			[ -n "$wide" ] || note "$d" fetch1 $am "$f1"
			note "$d" range $am "$r"
		done
	done
	# what was timed, in the server's words
	for am in btree alex; do
		sql bench -At -d postgres -c "SET enable_seqscan = off" -c "SET enable_hashjoin = off" -c "SET enable_mergejoin = off" -c "SET enable_bitmapscan = off" -c "SET enable_material = off" -c "SET enable_memoize = off" \
			-c "EXPLAIN (COSTS off) SELECT count($counted) FROM probes_$d p JOIN ${am}_$d t ON $join" |
			grep -q "Index Only Scan using ${am}_${d}_k" || fail "probes of ${am}_$d do not go through the index"
	done
	[ -n "$wide" ] || sql bench -At -d postgres -c "SET enable_seqscan = off" -c "SET enable_hashjoin = off" -c "SET enable_mergejoin = off" -c "SET enable_bitmapscan = off" -c "SET enable_material = off" -c "SET enable_memoize = off" \
		-c "EXPLAIN (COSTS off) SELECT count($counted) FROM probes_$d p JOIN alex_$d t ON $join" |
		grep -q "OmendbBatchedNestLoop" || fail "probes of alex_$d are not taken together"

	for am in btree alex; do
		note "$d" probe4 $am "$(timed4 "SELECT count($counted) FROM probes_$d p JOIN ${am}_$d t ON $join")"
	done

	for round in $(seq "$((ROUNDS + 1))"); do
		sql bench -q -d postgres -c "DROP TABLE IF EXISTS rows_$d" -c "SELECT setseed(0.$round)" \
			-c "CREATE UNLOGGED TABLE rows_$d AS SELECT ${new//:round/$round}, g AS v, (g - 1) * 4 / $INSERTS AS client FROM generate_series(1, $INSERTS) g" \
			-c "VACUUM (FREEZE, ANALYZE) rows_$d" >/dev/null 2>&1
		for am in btree alex; do
			if [ "$round" -gt "$ROUNDS" ]; then
				note "$d" insert4 $am "$(timed4 "INSERT INTO ${am}_$d SELECT $columns, v FROM rows_$d WHERE client = :N")"
				continue
			fi
			before=$(wal)
			note "$d" insert $am "$(timed "INSERT INTO ${am}_$d SELECT $columns, v FROM rows_$d")"
			note "$d" wal $am $(($(wal) - before))
		done
	done
	for am in btree alex; do note "$d" size_after $am "$(size ${am}_${d}_k)"; done
	[ "$(sql bench -At -d postgres -c "SELECT count(*) FROM btree_$d")" = "$(sql bench -At -d postgres -c "SET enable_seqscan = off" -c "SELECT count(*) FROM alex_$d WHERE k IS NOT NULL" | tail -n 1)" ] ||
		fail "alex_$d has lost rows"
	sql bench -q -d postgres -c "DROP TABLE btree_$d, alex_$d, probes_$d, ranges_$d, rows_$d"
done

case " $DISTRIBUTIONS " in *" ascending "*)
for am in btree alex; do
	sql bench -q -d postgres -c "CREATE TABLE ${am}_up (k bigint, v bigint)" -c "CREATE INDEX ${am}_up_k ON ${am}_up USING $am (k)"
done
for round in $(seq "$ROUNDS"); do
	for am in btree alex; do
		before=$(wal)
		note ascending insert $am "$(timed "INSERT INTO ${am}_up SELECT ($round - 1) * $INSERTS::bigint + g, g FROM generate_series(1, $INSERTS) g")"
		note ascending wal $am $(($(wal) - before))
	done
done
for am in btree alex; do note ascending size_after $am "$(size ${am}_up_k)"; done
;; esac

perl - "$WORK/runs.txt" >"$WORK/table.txt" <<'P'
use strict; use warnings;
my (%v, @order);
while (<>)
{
	my ($d, $w, $am, $t) = split;
	push @order, [ $d, $w ] unless $v{$d}{$w};
	push @{ $v{$d}{$w}{$am} }, $t;
}
for (@order)
{
	my ($d, $w) = @$_;
	my %m;
	for my $am (qw(btree alex))
	{
		my @s = sort { $a <=> $b } @{ $v{$d}{$w}{$am} };
		$m{$am} = $s[$#s / 2];
	}
	my $size = $w =~ /size|wal/;
	printf "%s\t%s\t%s\t%s\t%.2f\n", $d, $w,
	  map({ $size ? sprintf('%.1f MB', $m{$_} / 1048576) : sprintf('%.0f ms', $m{$_}) } qw(btree alex)), $m{btree} / $m{alex};
}
P
{
	echo "# alex beside btree"
	echo
	echo "\`bench/alex.sh\`: $KEYS keys, $PROBES probes, 20,000 ranges of 100 keys, $INSERTS inserts per round,"
	echo "medians of $ROUNDS alternating rounds (build: 3), heap tables in shared buffers;"
	echo "PostgreSQL $(sql bench -At -d postgres -c 'SHOW server_version') ($([ "$(sql bench -At -d postgres -c 'SHOW debug_assertions')" = on ] && echo 'with' || echo 'without') assertions), $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), fsync off."
	echo "Load average when it ended: $(cut -d' ' -f1-3 /proc/loadavg)."
	[ "$(cut -d. -f1 /proc/loadavg)" -le $(($(nproc) + 1)) ] ||
		echo "So the machine had much else to do: times are several times too long, and ratios rough."
	echo
	echo "| keys | what | btree | alex | btree / alex |"
	echo "|---|---|---:|---:|---:|"
	awk -F'\t' '{ print "| " $1 " | " $2 " | " $3 " | " $4 " | " $5 " |" }' "$WORK/table.txt"
	echo
	echo "Times are those of one SQL statement, executor included. build: CREATE INDEX without parallel workers."
	echo "size: after the build; size_after: after the inserts. fetch reads a column of the heap as well."
	echo "probe1, fetch1: omendb.nestloop_batch = 0, so one key after the other."
	echo "wal: of one round of inserts, with the heap's, without images of pages. probe4, insert4: four clients at once (one round)."
	echo
	sed 's/^/* /' "$WORK/stats.txt"
} >"$RESULTS/$NAME.md"
awk -F'\t' '{ print $1 " " $2 "\t" $5 }' "$WORK/table.txt" |
	perl "$TOP/bench/bars.pl" "alex: btree's time or size divided by alex's" >"$RESULTS/$NAME.svg"
cat "$RESULTS/$NAME.md"
