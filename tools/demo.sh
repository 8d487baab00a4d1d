#!/bin/bash
#
# demo.sh: the main job on real data, from nothing, on a private server that
# is gone afterwards: load, index, seal, read in points and ranges, update a
# sealed row, aggregate; sizes and times beside the same data in heap.
#
# Environment: COPIES (how often the data is repeated, default 12), KEEP.
#
. "$(dirname "$0")/lib.sh"

COPIES=${COPIES:-12}
STARTED=$SECONDS

bold=$(tput bold 2>/dev/null || true)
plain=$(tput sgr0 2>/dev/null || true)

heading() { printf '\n%s%s%s\n\n' "$bold" "$*" "$plain"; }
tell() { printf '%s\n' "$*" | fold -s -w 78; }

# show SQL: the statement as one would type it, and its result
show() {
	printf 'demo=# %s\n' "$1"
	sql demo -d demo -c "$1" 2>&1
}

# ask SQL: the bare answer
ask() { sql demo -d demo -At -c "$1"; }

# run_times N SQL: the milliseconds of N runs
run_times() {
	local i args=()
	for i in $(seq "$1"); do args+=(-c "$2"); done
	sql demo -d demo -q -At -c '\timing on' "${args[@]}" |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# best_ms SQL: the best of three runs, of nine where they are short
best_ms() {
	local ms
	ms=$(run_times 3 "$1" | sort -n | head -n 1)
	if [ "${ms%.*}" -lt 20 ]; then
		ms=$({ echo "$ms"; run_times 6 "$1"; } | sort -n | head -n 1)
	fi
	echo "$ms"
}

# compare WHAT SQL: with TABLE for the table
compare() {
	printf '  %-44s %10s ms %10s ms\n' "$1" \
		"$(best_ms "${2//TABLE/packages}")" "$(best_ms "${2//TABLE/packages_heap}")"
}

# disk_mb RELATION: what its files really take, holes not counted
disk_mb() {
	local path
	path=$(ask "SELECT pg_relation_filepath('$1')")
	(cd "$WORK/demo" && as_user sh -c "cd '$WORK/demo' && du -k -c $path*" | tail -n 1) |
		awk '{printf "%.1f", $1 / 1024}'
}

# ---- the library and a server --------------------------------------------

heading "omendb: one table, one copy of each row, row pages and column chunks"
tell "Building omendb with $("$PG_CONFIG" --version) and starting a private server" \
	"in $WORK (a unix socket, no network; removed at the end)."
copy_sources "$WORK/build"
build_and_install "$WORK/build" "$WORK/build.log" || fail "the build failed"
new_server demo "shared_buffers = '256MB'" "max_wal_size = '4GB'" "omendb.cache_size = '128MB'" \
	"synchronous_commit = off" "jit = off" "wal_log_hints = on" || fail "no server"
start_server demo || fail "the server does not start"
sql demo -q -d postgres -c 'CREATE DATABASE demo'
show 'CREATE EXTENSION omendb'

# ---- data ----------------------------------------------------------------

heading "The data: Debian's package index"
# a machine that has never updated its package lists knows few packages
if [ "$(apt-cache dumpavail 2>/dev/null | grep -c '^Package: ')" -lt 1000 ]; then
	tell "This machine has no lists of packages yet: apt-get update."
	sudo=""
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get -q update >"$WORK/apt.log" 2>&1 || cat "$WORK/apt.log" >&2
fi
apt-cache dumpavail 2>/dev/null | awk '
	function clean(s) { gsub(/\\/, "/", s); gsub(/\t/, " ", s); return s }
	function flush() {
		if (f["Package"] != "")
			printf "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", ++n,
				clean(f["Package"]), clean(f["Version"]), clean(f["Section"]),
				clean(f["Priority"]), clean(f["Architecture"]), clean(f["Maintainer"]),
				f["Installed-Size"], f["Size"], clean(f["Description"])
		split("", f)
	}
	/^$/ { flush(); next }
	/^[A-Za-z0-9-]+: / { i = index($0, ": "); f[substr($0, 1, i - 1)] = substr($0, i + 2) }
	END { flush() }' >"$WORK/packages.tsv"
chmod a+r "$WORK/packages.tsv"
LINES_READ=$(wc -l <"$WORK/packages.tsv")
[ "$LINES_READ" -ge 1000 ] ||
	fail "apt-cache dumpavail gave only $LINES_READ packages; run apt-get update first"
tell "apt-cache dumpavail on this machine describes $LINES_READ packages: names, versions," \
	"sections, maintainers, sizes, descriptions. To fill many row groups they are" \
	"loaded $COPIES times, each time with ids shifted by $LINES_READ; nothing else changes." \
	"The same rows go into a heap table, to compare with."
echo
COLUMNS_SQL='id bigint, package text, version text, section text, priority text,
    architecture text, maintainer text, installed_kb int, size_bytes bigint, description text'
show "CREATE TABLE packages ($COLUMNS_SQL) USING omendb"
sql demo -q -d demo -c "CREATE TABLE packages_heap (LIKE packages) USING heap"

# the shifted copies are made on the way, as a program that loads would
load() {
	local copy
	for copy in $(seq 0 $((COPIES - 1))); do
		awk -F '\t' -v shift=$((copy * LINES_READ)) 'BEGIN {OFS = "\t"} {$1 += shift; print}' \
			"$WORK/packages.tsv"
	done | sql demo -q -d demo -c "COPY $1 FROM STDIN"
}
before=$(date +%s%N); load packages; after=$(date +%s%N); omendb_load=$(((after - before) / 1000000))
before=$(date +%s%N); load packages_heap; after=$(date +%s%N); heap_load=$(((after - before) / 1000000))
tell "COPY of $(ask 'SELECT count(*) FROM packages') rows took $omendb_load ms (heap: $heap_load ms)."
echo
show 'ALTER TABLE packages ADD PRIMARY KEY (id)'
show 'CREATE INDEX packages_package ON packages (package)'
sql demo -q -d demo -c 'ALTER TABLE packages_heap ADD PRIMARY KEY (id)' \
	-c 'CREATE INDEX packages_heap_package ON packages_heap (package)' \
	-c 'VACUUM (ANALYZE) packages' -c 'VACUUM (ANALYZE) packages_heap'

# ---- seal ----------------------------------------------------------------

heading "Sealing: settled rows become compressed column chunks"
tell "A row is born in an ordinary heap page. In the background, or in VACUUM, row" \
	"groups that have settled are sealed into column chunks in RocksDB, page by" \
	"page, and the blocks are given back to the file system as holes, once a" \
	"checkpoint has seen them. Here we do not wait:"
echo
before=$(date +%s%N)
show "SELECT * FROM omendb.seal('packages')"
after=$(date +%s%N)
tell "That took $(((after - before) / 1000000)) ms. The first row groups, as the table lists them:"
echo
show "SELECT first_block, state, rows, cold_rows, cold_pages, thawed_pages, pg_size_pretty(file_bytes) AS file
    FROM omendb.row_groups('packages') ORDER BY first_block LIMIT 5"
ask 'CHECKPOINT' >/dev/null
ask 'VACUUM packages' >/dev/null
ask 'CHECKPOINT' >/dev/null
store_mb=$(ask "SELECT round(coalesce(sum(file_bytes), 0) / 1048576.0, 1) FROM omendb.row_groups('packages')")
omendb_mb=$(disk_mb packages)
heap_mb=$(disk_mb packages_heap)
tell "On disk, without indexes:"
printf '  %-44s %10s MB\n' "heap table" "$heap_mb"
printf '  %-44s %10s MB\n' "omendb table: what its file takes" "$omendb_mb" \
	"omendb table: column chunks in the store" "$store_mb"
awk -v h="$heap_mb" -v o="$omendb_mb" -v s="$store_mb" 'BEGIN {
	printf "  %-44s %10.1f MB  (%.2f of heap)\n", "omendb table: together", o + s, (o + s) / h }'

# ---- read ----------------------------------------------------------------

heading "Reading sealed rows: the same SQL, the same indexes"
middle=$((LINES_READ * COPIES / 2))
show "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM packages WHERE id = $middle"
show "SELECT id, package, version, section, installed_kb FROM packages WHERE id = $middle"
show "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
    SELECT count(*), sum(size_bytes) FROM packages WHERE id BETWEEN $middle AND $((middle + 5000))"
show "SELECT section, count(*), round(avg(installed_kb)) AS avg_kb, pg_size_pretty(sum(size_bytes)) AS total
    FROM packages GROUP BY section ORDER BY sum(size_bytes) DESC LIMIT 5"
tell "Times, best of several runs, $(ask 'SELECT count(*) FROM packages') rows:"
printf '  %-44s %13s %13s\n' "" omendb heap
compare "point query by primary key" "SELECT * FROM TABLE WHERE id = $middle"
compare "$COPIES rows by name" "SELECT * FROM TABLE WHERE package = 'postgresql-15'"
compare "range of 5,001 rows, two columns" "SELECT count(*), sum(size_bytes) FROM TABLE WHERE id BETWEEN $middle AND $((middle + 5000))"
compare "sum of one column, all rows" "SELECT sum(installed_kb) FROM TABLE"
compare "group by section, all rows" "SELECT section, count(*), avg(installed_kb) FROM TABLE GROUP BY section"
tell "Where a query reads much of a table, sealed chunks are filtered and aggregated on vectors:"
echo
show "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
    SELECT section, count(*), avg(installed_kb) FROM packages GROUP BY section"

# ---- write ---------------------------------------------------------------

heading "Writing to sealed rows: one page thaws, nothing else changes"
show "UPDATE packages SET priority = 'required' WHERE id = $middle RETURNING id, package, priority"
show "SELECT sum(cold_pages) AS cold_pages, sum(thawed_pages) AS thawed_pages, sum(cold_rows) AS sealed_rows
    FROM omendb.row_groups('packages')"
printf '  %-44s %13s %13s\n' "" omendb heap
compare "UPDATE of one sealed row by key" \
	"UPDATE TABLE SET priority = 'optional' WHERE id = $((middle + LINES_READ))"
sql demo -q -d demo -c "UPDATE packages_heap SET priority = 'required' WHERE id = $middle"
digest() { ask "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM $1 t"; }
if [ "$(digest packages)" = "$(digest packages_heap)" ]; then
	tell "The hashes of all rows of both tables, added up, are the same."
else
	fail "the omendb table and the heap table differ"
fi

# ---- learned index -------------------------------------------------------

if [ "$(ask "SELECT count(*) FROM pg_am WHERE amname = 'alex'")" = 1 ]; then
	heading "A learned index beside nbtree"
	before=$(date +%s%N)
	show 'CREATE INDEX packages_alex ON packages USING alex (id)'
	after=$(date +%s%N)
	alex_ms=$(((after - before) / 1000000))
	before=$(date +%s%N)
	ask 'CREATE INDEX packages_btree ON packages (id)' >/dev/null
	after=$(date +%s%N)
	printf '  %-44s %10s ms %10s ms\n' "build (alex, nbtree)" "$alex_ms" $(((after - before) / 1000000))
	printf '  %-44s %10s MB %10s MB\n' "size (alex, nbtree)" \
		"$(ask "SELECT round(pg_relation_size('packages_alex') / 1048576.0, 1)")" \
		"$(ask "SELECT round(pg_relation_size('packages_btree') / 1048576.0, 1)")"
	probe="SELECT count(p.id) FROM (SELECT (random() * $((LINES_READ * COPIES - 1)))::bigint + 1 AS k FROM generate_series(1, 100000)) x JOIN packages p ON p.id = x.k"
	sql demo -q -d demo -c 'VACUUM packages' -c 'ALTER TABLE packages DROP CONSTRAINT packages_pkey' -c 'DROP INDEX packages_btree'
	loops='-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c enable_bitmapscan=off'
	a=$(PGOPTIONS=$loops run_times 3 "$probe" | sort -n | head -n 1)
	sql demo -q -d demo -c 'DROP INDEX packages_alex' -c 'ALTER TABLE packages ADD PRIMARY KEY (id)' -c 'VACUUM packages'
	b=$(PGOPTIONS=$loops run_times 3 "$probe" | sort -n | head -n 1)
	printf '  %-44s %10s ms %10s ms\n' "100,000 random probes (alex, nbtree)" "$a" "$b"
fi

# ---- the end -------------------------------------------------------------

heading "The cache and the store"
show "SELECT pg_size_pretty(size_bytes) AS size, pg_size_pretty(used_bytes) AS used, chunks, hits, misses, evictions FROM omendb.cache_stats()"
show "SELECT state, row_groups, pg_size_pretty(bytes) AS bytes, ingests, loads, errors FROM omendb.store_stats()"

heading "What to try next"
cat <<'END'
  KEEP=1 make demo          leave the data directory, start it yourself, play
  COPIES=100 make demo      eight times the data
  make test                 every test, PostgreSQL's own suites included
  README.md                 a tour, the limits, and where the documentation is

On your own server: add the line

    shared_preload_libraries = 'omendb'

to postgresql.conf, restart, and in your database:

    CREATE EXTENSION omendb;
    CREATE TABLE ... USING omendb;          -- or ALTER TABLE ... SET ACCESS METHOD omendb
END
say ""
say "demo: done in $((SECONDS - STARTED)) s"
