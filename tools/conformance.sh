#!/bin/bash
#
# conformance.sh: PostgreSQL's own regression and isolation suites on tables
# of omendb.
#
#   conformance.sh [mode ...]      modes: normal, stress, stress1, alex, vector,
#                                  vector-stress (default: all)
#
# Each suite runs once with heap as the default table access method, then in
# each mode with omendb, on private servers.  Every result file must be the
# one heap gave on the same machine, or the one the suite expects.  What may
# differ is pinned, line by line, in test/conformance/*.diff, with the reason
# in test/conformance/differences.txt; anything else is a failure.  A pin of a
# major version (NAME.17.diff) stands in place of the one for all (NAME.diff).
#
#   normal    as a user would run it
#   stress    row groups of 4 blocks; before each scan of a table whatever can
#             be of it is frozen and sealed; one test of the regression suite
#             at a time, since other tests' transactions would hold freezing
#             back.  At least $COLD_PERCENT % of the blocks that scans of
#             sealable tables read must have been sealed ones.
#   stress1   row groups of a single block, and a worker that freezes and seals
#             all the time, while the tests run side by side
#   vector, vector-stress
#             normal and stress with vectorised scans and aggregations wherever
#             they are possible.  Plans and the order of lines are not compared.
#   alex      heap tables, and an alex index in place of each plain btree index
#             whose columns are of types that alex has a default operator class for
#
# The suites come from Debian's source package, kept in $OMENDB_CACHE.  With
# NO_BUILD set, omendb must be installed already.  SUITES chooses among
# "regress isolation".  RECLAIM_SPACE, RECLAIM_MIN_RUN: other than the defaults,
# with a checkpoint every 30 s, before which nothing is given back.  LOGS: where to
# leave the logs of failing tests.
#
. "$(dirname "$0")/lib.sh"

MODES=${*:-normal stress stress1 alex vector vector-stress}
SUITES=${SUITES:-regress isolation}
COLD_PERCENT=${COLD_PERCENT:-90}
CACHE=${OMENDB_CACHE:-/var/tmp/omendb-conformance-$(id -u)}
LOGS=${LOGS:-$WORK/logs}
EXPECTED=$TOP/test/conformance
PASSED=0
FAILED=0

mkdir -p "$LOGS"

# The suites' sources, through an apt configuration of our own, so that the
# machine's is left as it is.
get_source() {
	local apt list uri suite version
	SRC=$(ls -d "$CACHE/postgresql-$PGMAJOR-$PGMAJOR"*/ 2>/dev/null | head -n 1)
	if [ -z "$SRC" ]; then
		say "conformance: fetching PostgreSQL's source package"
		mkdir -p "$CACHE/apt/lists/partial" "$CACHE/apt/cache/archives/partial"
		list=$CACHE/apt/sources.list
		# the machine's own Debian mirrors, as sources
		{
			cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
				sed -n 's/^deb \+\(\[[^]]*\] \+\)\?\(http[^ ]*\) \+\([a-z-]*\).*/\2 \3/p'
			awk '/^URIs:/ {u = $2} /^Suites:/ {for (i = 2; i <= NF; i++) print u, $i}' \
				/etc/apt/sources.list.d/*.sources 2>/dev/null
		} | grep -E '/debian(-security)?/? [a-z-]+$' | sort -u |
			while read -r uri suite; do
				echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
			done >"$list"
		apt="-o Dir::Etc::sourcelist=$list -o Dir::Etc::sourceparts=/dev/null"
		apt="$apt -o Dir::State::lists=$CACHE/apt/lists -o Dir::Cache=$CACHE/apt/cache"
		if ! apt-get -q $apt update >"$LOGS/apt.log" 2>&1; then
			cat "$LOGS/apt.log" >&2
			fail "cannot read the lists of source packages"
		fi
		# the newest that can be had: the installed minor's may be gone
		for version in $(apt-cache $apt showsrc "postgresql-$PGMAJOR" 2>/dev/null |
			sed -n 's/^Version: //p' | sort -rV); do
			(cd "$CACHE" && apt-get -q $apt source "postgresql-$PGMAJOR=$version") \
				>>"$LOGS/apt.log" 2>&1 && break
			rm -rf "$CACHE/postgresql-$PGMAJOR-$PGMAJOR"*/
		done
		SRC=$(ls -d "$CACHE/postgresql-$PGMAJOR-$PGMAJOR"*/ 2>/dev/null | head -n 1)
		if [ -z "$SRC" ]; then
			cat "$LOGS/apt.log" >&2
			fail "cannot fetch the source package postgresql-$PGMAJOR"
		fi
		chmod -R a+rX "$CACHE"
	fi
	SRC=${SRC%/}
}

# The C functions that the regression suite calls
build_library() {
	LIBRARY=$WORK/library
	mkdir -p "$LIBRARY"
	cp "$SRC/src/test/regress/regress.c" "$SRC/contrib/spi/refint.c" \
		"$SRC/contrib/spi/autoinc.c" "$LIBRARY"
	cat >"$LIBRARY/Makefile" <<-END
		MODULES = regress refint autoinc
		PGXS := \$(shell $PG_CONFIG --pgxs)
		include \$(PGXS)
	END
	make -C "$LIBRARY" PG_CONFIG="$PG_CONFIG" with_llvm=no >"$LOGS/library.log" 2>&1 ||
		{ cat "$LOGS/library.log"; fail "cannot build the suite's library"; }
}

# server_for SUITE MODE
server_for() {
	local lines=("fsync = off" "jit = off" "max_prepared_transactions = 10"
		"log_lock_waits = on" "log_autovacuum_min_duration = 0")
	case $2 in
		heap) lines+=("shared_preload_libraries = ''") ;;
		alex) lines+=("omendb.alex_replaces_btree = on") ;;
		*) lines+=("default_table_access_method = omendb") ;;
	esac
	case $2 in
		stress | vector-stress)
			lines+=("omendb.row_group_blocks = 4" "omendb.seal = off"
				"omendb.seal_before_scan = on")
			;;
		stress1)
			lines+=("omendb.row_group_blocks = 1" "omendb.eager_seal = on"
				"max_worker_processes = 24")
			;;
	esac
	case $2 in
		# what is tested there is reading sealed pages row by row
		stress*) lines+=("omendb.enable_vectorized_scan = off" "omendb.enable_vectorized_agg = off") ;;
		vector*)
			lines+=("omendb.enable_vectorized_scan = force"
				"omendb.enable_vectorized_agg = force")
			;;
	esac
	[ -z "${RECLAIM_SPACE:-}" ] ||
		lines+=("omendb.reclaim_space = $RECLAIM_SPACE" "checkpoint_timeout = 30s"
			"omendb.reclaim_min_run = ${RECLAIM_MIN_RUN:-33}")
	new_server "$1-$2" "${lines[@]}" && start_server "$1-$2"
}

# run_suite SUITE MODE: leaves $WORK/SUITE-MODE.out/results and .../run.log
run_suite() {
	local suite=$1 mode=$2 name=$1-$2 out=$WORK/$1-$2.out program extra
	as_user mkdir -p "$out"
	server_for "$suite" "$mode" || return 1
	extra=""
	[ "$mode" = heap ] || extra="--load-extension=omendb"
	if [ "$suite" = regress ]; then
		program=$PGXS_TEST/regress/pg_regress
		case $mode in *stress) extra="$extra --max-connections=1" ;; esac
		extra="$extra --max-concurrent-tests=20 --schedule=$SRC/src/test/regress/parallel_schedule"
	else
		program=$PGXS_TEST/isolation/pg_isolation_regress
		extra="$extra --schedule=$SRC/src/test/isolation/isolation_schedule"
		extra="$extra prepared-transactions prepared-transactions-cic"
	fi
	as_user "$program" --inputdir="$SRC/src/test/$suite" --outputdir="$out" \
		--bindir="$BINDIR" --dlpath="$LIBRARY" --host="$WORK/$name.s" \
		--port=5432 --user=postgres ${extra} >"$WORK/$name.run.log" 2>&1
	case $mode in
		*stress | stress1 | vector)
			sql "$name" -At -F ' ' -d "$([ "$suite" = regress ] && echo regression || echo isolation_regression)" \
				-c "SELECT cold_blocks, hot_blocks, vector_scans, vector_aggs FROM omendb.scan_stats()" \
				>"$WORK/$name.scans" 2>&1
			;;
		alex)
			sql "$name" -At -d "$([ "$suite" = regress ] && echo regression || echo isolation_regression)" \
				-c "SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relkind = 'i' AND a.amname = 'alex'" \
				>"$WORK/$name.indexes" 2>&1
			;;
	esac
	stop_server "$name"
}

# same_but_for_order HEAP OMENDB: are these the same lines in another order, but
# for the plans of EXPLAIN?  Where sealing has filled or emptied pages, rows
# that no ORDER BY orders come in another order; freezing pages early makes
# index-only scans cheaper, so plans differ.  Every line of every result has to
# be there as often as on heap.
same_but_for_order() {
	local plan='^ *(->|QUERY PLAN|(Parallel )?(Seq|Index|Bitmap|Tid|Sample|Subquery|Function|CTE|WorkTable|Values|Merge|Hash|Nested|Append|Sort|Unique|Group|Aggregate|HashAggregate|Finalize|Partial|Gather|Limit|Result|Materialize|Memoize|SetOp|LockRows|ProjectSet|Incremental|Update|Insert|Delete|Filter|Rows Removed|Join Filter|Recheck|Order By|Presorted|Cache|Output|One-Time|InitPlan|SubPlan|Heap|Workers|Cond|Left|Right|Full|Semi|Anti)\b)'
	# what our nodes say of themselves
	local ours='^ *(Custom Scan|Columns:|Rows: cold|Chunks: hit|Row Groups:|Vector Filter:|Relation:|Groups:)'
	local file
	for file in "$1" "$2"; do
		grep -vE "$plan" "$file" | grep -vE "$ours" | grep -vE '^ *-+ *$|^\([0-9]+ rows?\)$' |
			sed -E 's/^ +//' | sort >"$file.sorted"
	done
	cmp -s "$1.sorted" "$2.sorted"
}

# A result without what an index of another access method may change: plans
# (whose costs hang on the index's size), its name, and the width of columns
# that show the name.  Object ids of what extensions make are not shown.
without_plans() {
	perl -0777 -pe 's/^ +QUERY PLAN +\n-+\n.*?^\(\d+ rows?\)\n//msg;
		s/\balex\b/btree/g; s/^ *1[6-9]\d{3} \|/ OID |/mg;
		s/pg_toast_\d+/pg_toast_OID/g;
		s/-{2,}/--/g; s/ {2,}/ /g; s/ +$//mg' "$1"
}

# A result file without what has no meaning: widths of columns, which depend on
# the longest name listed, and numbers of objects that are made each time
comparable() {
	sed -E 's/ +/ /g; s/-+/-/g; s/ $//; s/^ (1[6-9][0-9]{3}|[2-9][0-9]{4}) \|/ OID |/' \
		"$1" 2>/dev/null
}

# is_pinned PIN: is what $WORK/diff says pinned under this name, and explained?
is_pinned() {
	local file=$EXPECTED/$1.$PGMAJOR.diff
	[ -e "$file" ] || file=$EXPECTED/$1.diff
	[ -e "$file" ] && cmp -s "$file" "$WORK/diff" &&
		grep -q "^$1[[:space:]]" "$EXPECTED/differences.txt"
}

# judge SUITE MODE
judge() {
	local suite=$1 mode=$2 name=$1-$2
	local passed=0 failed=0 pinned=0 file test pin pins crashes cold hot scans aggs percent reordered="" plans=""
	for file in "$WORK/$suite-heap.out/results"/*.out; do
		test=$(basename "$file" .out)
		result=$WORK/$name.out/results/$test.out
		if cmp -s "$file" "$result"; then
			passed=$((passed + 1))
			continue
		fi
		# heap's run was the odd one out, and this is what the suite expects
		if grep -qE "^(test)? *$test +\.\.\. +ok|^ok [0-9]+ +[-+]? *$test " "$WORK/$name.run.log"; then
			passed=$((passed + 1))
			continue
		fi
		if [ "$mode" = alex ] && [ -e "$result" ]; then
			diff <(without_plans "$file") <(without_plans "$result") |
				grep '^[<>]' >"$WORK/diff"
			if ! [ -s "$WORK/diff" ]; then
				passed=$((passed + 1))
				plans="$plans $test"
				continue
			fi
		else
			case $mode in
				vector*)
					without_plans "$file" >"$WORK/heap.plain"
					without_plans "$result" >"$WORK/omendb.plain"
					comparable "$WORK/heap.plain" >"$WORK/heap.txt"
					comparable "$WORK/omendb.plain" >"$WORK/omendb.txt"
					if same_but_for_order "$WORK/heap.txt" "$WORK/omendb.txt"; then
						passed=$((passed + 1))
						reordered="$reordered $test"
						continue
					fi
					# what is pinned for other modes is so here
					comparable "$file" >"$WORK/heap.plain"
					comparable "$result" >"$WORK/omendb.plain"
					diff "$WORK/heap.plain" "$WORK/omendb.plain" |
						grep '^[<>]' >"$WORK/diff"
					pins=$suite-$test
					[ "$mode" = vector ] || pins="$suite-$test.stress $pins"
					for pin in $pins; do
						if is_pinned "$pin"; then
							passed=$((passed + 1))
							pinned=$((pinned + 1))
							continue 2
						fi
					done
					diff "$WORK/heap.txt.sorted" "$WORK/omendb.txt.sorted" |
						grep '^[<>]' >"$WORK/diff"
					;;
			esac
			if [ "${mode#vector}" = "$mode" ]; then
				comparable "$file" >"$WORK/heap.txt"
				comparable "$result" >"$WORK/omendb.txt"
				diff "$WORK/heap.txt" "$WORK/omendb.txt" | grep '^[<>]' >"$WORK/diff"
			fi
		fi
		# in a stress mode the stress may show, or not
		case $mode in
			alex) pins=$suite-$test.alex ;;
			vector*) pins="$suite-$test.$mode $suite-$test.vector" ;;
			stress*) pins="$suite-$test.stress $suite-$test" ;;
			*) pins=$suite-$test ;;
		esac
		for pin in $pins; do
			if is_pinned "$pin"; then
				passed=$((passed + 1))
				pinned=$((pinned + 1))
				continue 2
			fi
		done
		case $mode in
			stress*)
				if { grep -q "^$suite-$test.stress-order[[:space:]]" "$EXPECTED/differences.txt" &&
						same_but_for_order "$WORK/heap.txt" "$WORK/omendb.txt"; } ||
					{ grep -q "^$suite-$test.stress-counters[[:space:]]" "$EXPECTED/differences.txt" &&
						diff -q <(sed -E 's/ *[0-9]+/ N/g' "$WORK/heap.txt") \
							<(sed -E 's/ *[0-9]+/ N/g' "$WORK/omendb.txt") >/dev/null; }; then
					passed=$((passed + 1))
					reordered="$reordered $test"
					continue
				fi
				;;
		esac
		failed=$((failed + 1))
		say "  not ok: $suite $test ($mode): $(wc -l <"$WORK/diff") lines differ from heap's"
		mkdir -p "$LOGS/$name"
		diff -u "$file" "$result" >"$LOGS/$name/$test.udiff" 2>&1
		cp "$WORK/diff" "$LOGS/$name/$suite-$test.diff"
		[ -z "${VERBOSE:-}" ] || head -n 40 "$LOGS/$name/$test.udiff"
	done
	crashes=$(grep -cE 'terminated by signal|PANIC|TRAP:' "$WORK/$name.log")
	if [ "$crashes" != 0 ]; then
		failed=$((failed + 1))
		say "  not ok: $crashes crashes in the log of $name"
		grep -E 'terminated by signal|PANIC|TRAP:' "$WORK/$name.log" | head -n 5
	fi
	if [ -e "$WORK/$name.scans" ]; then
		if ! read -r cold hot scans aggs <"$WORK/$name.scans" || ! [ "$cold" -ge 0 ] 2>/dev/null; then
			failed=$((failed + 1))
			say "  not ok: no scan counters: $(head -n 1 "$WORK/$name.scans")"
		else
			say "  $suite ($mode): $scans vectorised scans and $aggs aggregations"
			percent=$((cold * 100 / (cold + hot + (cold + hot == 0))))
			say "  $suite ($mode): scans read $cold sealed and $hot hot blocks: $percent % sealed"
			if [ "$suite ${mode%-stress}" = "regress vector" ]; then
				if [ "$scans" -ge 1000 ] && [ "$aggs" -ge 100 ]; then
					passed=$((passed + 1))
				else
					failed=$((failed + 1))
					say "  not ok: vectorised nodes were hardly used"
				fi
			fi
			if [ "$suite $mode" = "regress stress" ]; then
				if [ "$percent" -ge "$COLD_PERCENT" ]; then
					passed=$((passed + 1))
				else
					failed=$((failed + 1))
					say "  not ok: less than $COLD_PERCENT % of the scanned blocks were sealed"
				fi
			fi
		fi
	fi
	[ -z "$plans" ] || say "  $suite ($mode): only plans or the index's name differ:$plans"
	# the isolation suite drops what it makes
	if [ "$suite $mode" = "regress alex" ]; then
		say "  $suite ($mode): $(head -n 1 "$WORK/$name.indexes") alex indexes at the end"
		if ! [ "$(head -n 1 "$WORK/$name.indexes")" -ge 20 ] 2>/dev/null; then
			failed=$((failed + 1))
			say "  not ok: btree indexes were not replaced"
		fi
	fi
	if [ $((passed + failed)) = 0 ]; then
		failed=1
		say "  not ok: $suite ($mode) ran no test"
		tail -n 5 "$WORK/$name.run.log" "$WORK/$name.log"
	fi
	[ -z "$reordered" ] ||
		say "  $suite ($mode): other order of rows, plans or counters in:$reordered"
	[ "$failed" = 0 ] || cp "$WORK/$name.log" "$WORK/$name.run.log" "$LOGS" 2>/dev/null
	say "  $suite ($mode): $passed passed, $failed failed ($pinned with pinned differences)"
	PASSED=$((PASSED + passed))
	FAILED=$((FAILED + failed))
}

get_source
build_library
if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/build"
	build_and_install "$WORK/build" "$LOGS/build.log" || fail "the build failed"
fi

# the two suites side by side: the isolation suite mostly waits
for mode in heap $MODES; do
	pids=""
	for suite in $SUITES; do
		# the list of servers that clean-up stops is this shell's
		SERVERS="$SERVERS $WORK/$suite-$mode"
		(trap - EXIT INT TERM; run_suite "$suite" "$mode") &
		pids="$pids $!"
	done
	wait $pids
	[ "$mode" = heap ] && continue
	for suite in $SUITES; do
		judge "$suite" "$mode"
	done
done

say "conformance: $PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ] && [ "$PASSED" != 0 ]
