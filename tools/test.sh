#!/bin/bash
#
# test.sh: every test of omendb on private servers
#
#   test.sh [suite ...]
#
# Suites, in this order (default: all):
#   regress      sql/ and expected/ with pg_regress, and those of the extension
#                that only the tests use (test/omendb_test)
#   isolation    test/isolation: concurrent sessions on sealed rows
#   tap          test/t: crashes, standbys, backups, bad input, DDL
#   differential random statements on a heap table and its omendb twin
#   vector       random queries with and without the vectorised nodes
#   fuzz         test/fuzz: damaged chunks and pages
#   conformance  PostgreSQL's own suites on omendb tables, normal and stress
#                (CONFORMANCE_MODES for others)
#
# The library is built with -Werror and with assertions, installed together with
# the extension omendb_test, tested, and at the end replaced by one built as
# users build it, without omendb_test.  The last line counts the
# tests of all suites; the exit code is 0 only if some ran and none failed.
#
# TAP: numbers of the files of test/t to run, as "001 008" (default: all).
# TAP_JOBS: how many of them at once (default: one more than there are processors,
# as they often wait).
# LOGS: where to leave the logs (default: removed, unless something failed).
#
. "$(dirname "$0")/lib.sh"

SUITES=${*:-regress isolation tap differential vector fuzz conformance}
TAP_JOBS=${TAP_JOBS:-$((JOBS + 1))}
LOGS=${LOGS:-}
if [ -z "$LOGS" ]; then
	LOGS=$(mktemp -d "${OMENDB_TMP:-/tmp}/omendb-logs.XXXXXX")
	own_logs=yes
fi
export LOGS
mkdir -p "$LOGS"
chmod 755 "$LOGS"
TOTAL_PASSED=0
TOTAL_FAILED=0
STARTED=$SECONDS
FAILED=					# names, told again at the end

# count NAME PASSED FAILED
count() {
	TOTAL_PASSED=$((TOTAL_PASSED + $2))
	TOTAL_FAILED=$((TOTAL_FAILED + $3))
	[ "$3" = 0 ] || FAILED="$FAILED $1"
	say "== $1: $2 passed, $3 failed ($((SECONDS - suite_started)) s)"
}

# count_lines FILE PATTERN
count_lines() {
	local n
	n=$(grep -cE "$2" "$1" 2>/dev/null)
	echo "${n:-0}"
}

# Does a server's log tell of a crash?
crashes() {
	count_lines "$1" 'terminated by signal|PANIC|TRAP:'
}

# count_pg_regress NAME LOG SERVER TESTS: what pg_regress and its like print of these
# tests.  One that it does not tell of, because it gave up before, has failed.
count_pg_regress() {
	local ok bad crash missing
	ok=$(count_lines "$2" '(\.\.\. +ok|^ok [0-9])')
	bad=$(count_lines "$2" '(\.\.\. +(FAILED|failed)|^not ok)')
	crash=$(crashes "$WORK/$3.log")
	missing=$(($(echo $4 | wc -w) - ok - bad))
	if [ "$missing" -gt 0 ]; then
		say "   $missing tests have no result"
		tail -n 5 "$2"
		bad=$((bad + missing))
	fi
	if [ "$bad" != 0 ] || [ "$crash" != 0 ] || [ "$ok" = 0 ]; then
		cp "$WORK/$3.log" "$LOGS/$1.server.log" 2>/dev/null
		grep -E '\.\.\. +(FAILED|failed)' "$2"
		# before 16, and since
		FAILED="$FAILED $(sed -nE 's/^(test)? *([^ ]+) +\.\.\. +(FAILED|failed).*/\2/p
			s/^not ok [0-9]+ +[-+] +([^ ]+).*/\1/p' "$2" | tr '\n' ' ')"
		[ "$ok" != 0 ] || tail -n 20 "$2"
		if [ -s "$WORK/$1.out/regression.diffs" ]; then
			cp "$WORK/$1.out/regression.diffs" "$LOGS/$1.diffs"
			head -n 60 "$LOGS/$1.diffs"
		elif [ -s "$WORK/$1.out/output_iso/regression.diffs" ]; then
			cp "$WORK/$1.out/output_iso/regression.diffs" "$LOGS/$1.diffs"
			head -n 60 "$LOGS/$1.diffs"
		fi
	fi
	[ "$crash" = 0 ] || say "   the server's log tells of $crash crashes"
	count "$1" "$ok" $((bad + crash))
}

suite_regress() {
	local tests
	new_server regress "omendb.row_group_blocks = 8" "omendb.stop_events = on" &&
		start_server regress || { count regress 0 1; return; }
	as_user mkdir -p regress.out
	tests=$(cd "$SOURCES/sql" && ls ./*.sql | sed 's,^\./,,; /^omendb--/d; s/\.sql$//')
	as_user "$PGXS_TEST/regress/pg_regress" --inputdir="$SOURCES" \
		--outputdir="$WORK/regress.out" --bindir="$BINDIR" \
		--load-extension=omendb \
		--host="$WORK/regress.s" --port=5432 --user=postgres $tests \
		>"$LOGS/regress.log" 2>&1
	count_pg_regress regress "$LOGS/regress.log" regress "$tests"
	suite_started=$SECONDS
	as_user mkdir -p regress_test.out
	as_user "$PGXS_TEST/regress/pg_regress" --inputdir="$SOURCES/test/omendb_test" \
		--outputdir="$WORK/regress_test.out" --bindir="$BINDIR" \
		--load-extension=omendb --load-extension=omendb_test \
		--host="$WORK/regress.s" --port=5432 --user=postgres test_functions \
		>"$LOGS/regress_test.log" 2>&1
	stop_server regress
	count_pg_regress regress_test "$LOGS/regress_test.log" regress test_functions
}

# isolation_run NAME AM: the specs with that default table access method
isolation_run() {
	local name=$1 tests
	sql isolation -q -d postgres -c "CREATE DATABASE $name TEMPLATE template0" &&
		sql isolation -q -d "$name" -c "CREATE EXTENSION omendb" \
			-c "CREATE EXTENSION omendb_test" -f "$SOURCES/test/isolation/helpers.sql" \
			-c "ALTER DATABASE $name SET default_table_access_method = $2" || return
	as_user mkdir -p "$name.out"
	tests=$(cd "$SOURCES/test/isolation/specs" && ls ./*.spec |
		sed 's,^\./,,; s/\.spec$//')
	# alex specs name the access method themselves
	[ "$2" = omendb ] || tests=$(printf '%s\n' $tests | grep -v '^alex')
	as_user "$PGXS_TEST/isolation/pg_isolation_regress" --use-existing \
		--dbname="$name" --inputdir="$SOURCES/test/isolation" \
		--outputdir="$WORK/$name.out" --bindir="$BINDIR" \
		--host="$WORK/isolation.s" --port=5432 --user=postgres $tests \
		>"$LOGS/$name.log" 2>&1
	count_pg_regress "$name" "$LOGS/$name.log" isolation "$tests"
}

# Every spec must give one and the same output on omendb and on heap tables.
suite_isolation() {
	new_server isolation "omendb.row_group_blocks = 4" "omendb.seal = off" "jit = off" &&
		start_server isolation || { count isolation 0 1; return; }
	isolation_run isolation omendb || count isolation 0 1
	suite_started=$SECONDS
	isolation_run isolation_heap heap || count isolation_heap 0 1
	stop_server isolation
}

# prove_tap NAME FILE ...: TAP tests as the servers' user, $TAP_JOBS at a time
prove_tap() {
	local name=$1 file test reason ok=0 bad=0 n_ok n_bad
	shift
	mkdir -p "$LOGS/$name"
	for file in "$@"; do
		test=$(basename "$file" .pl)
		while [ "$(jobs -rp | wc -l)" -ge "$TAP_JOBS" ]; do wait -n; done
		as_user mkdir -p "$name.out/$test"
		(
			trap - EXIT INT TERM
			as_user env PERL5LIB="$PGXS_TEST/perl:$SOURCES/test/t" \
				PG_REGRESS="$PGXS_TEST/regress/pg_regress" \
				TESTDIR="$WORK/$name.out/$test" PG_TEST_TIMEOUT_DEFAULT=180 \
				TESTDATADIR="$WORK/$name.out/$test/tmp_check" \
				TESTLOGDIR="$WORK/$name.out/$test/tmp_check/log" \
				prove -v "$file"
			echo "status: $?"
		) >"$LOGS/$name/$test.log" 2>&1 </dev/null &
	done
	wait
	for file in "$@"; do
		test=$(basename "$file" .pl)
		n_ok=$(count_lines "$LOGS/$name/$test.log" '^ok [0-9]+')
		n_bad=$(count_lines "$LOGS/$name/$test.log" '^not ok [0-9]+')
		# a file for other major versions; neither passed nor failed
		if [ "$n_ok$n_bad" = 00 ] && grep -q '^status: 0$' "$LOGS/$name/$test.log" &&
			reason=$(grep -m 1 -oE ' skipped: .*' "$LOGS/$name/$test.log"); then
			say "   $test:$reason"
			continue
		fi
		if ! grep -q '^status: 0$' "$LOGS/$name/$test.log" || [ "$n_ok" = 0 ]; then
			[ "$n_bad" != 0 ] || n_bad=1
			say "   $test:"
			FAILED="$FAILED $test"
			grep -E -A 8 '^not ok|died|Bail' "$LOGS/$name/$test.log" | head -n 40
			tail -n 8 "$LOGS/$name/$test.log"
			cp -r "$WORK/$name.out/$test/tmp_check/log" "$LOGS/$name/$test.servers" 2>/dev/null
		fi
		ok=$((ok + n_ok))
		bad=$((bad + n_bad))
	done
	count "$name" "$ok" "$bad"
}

suite_tap() {
	local number files=()
	if [ -z "${TAP:-}" ]; then
		files=("$SOURCES"/test/t/*.pl)
	else
		for number in $TAP; do
			files+=($(ls "$SOURCES/test/t/${number}_"*.pl 2>/dev/null))
		done
	fi
	prove_tap tap "${files[@]}"
}

suite_differential() {
	[ -e "$SOURCES/test/differential/heap_omendb.pl" ] || return
	DIFF_STATEMENTS=${DIFF_STATEMENTS:-1500} \
		prove_tap differential "$SOURCES"/test/differential/*.pl
}

suite_vector() {
	prove_tap vector "$SOURCES"/test/vector/*.pl
}

suite_fuzz() {
	local ok=0 bad=1
	[ -e "$SOURCES/test/fuzz/run.sh" ] || return
	PG_CONFIG="$PG_CONFIG" sh "$SOURCES/test/fuzz/run.sh" >"$LOGS/fuzz.log" 2>&1
	read -r ok bad < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$LOGS/fuzz.log")
	if [ "${ok:-0}" = 0 ] || [ "${bad:-1}" != 0 ]; then
		tail -n 40 "$LOGS/fuzz.log"
		[ "${bad:-0}" != 0 ] || bad=1
	fi
	count fuzz "${ok:-0}" "$bad"
}

suite_conformance() {
	local counts ok bad
	NO_BUILD=1 "$TOP/tools/conformance.sh" ${CONFORMANCE_MODES:-normal stress} >"$LOGS/conformance.log" 2>&1
	grep -E '^  ' "$LOGS/conformance.log"
	counts=$(sed -n 's/^conformance: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' \
		"$LOGS/conformance.log")
	if [ -z "$counts" ]; then
		tail -n 20 "$LOGS/conformance.log"
		counts="0 1"
	fi
	read -r ok bad <<<"$counts"
	count conformance "$ok" "$bad"
}

# ---- build --------------------------------------------------------------

suite_started=$SECONDS
say "test: PostgreSQL $("$PG_CONFIG" --version | cut -d' ' -f2) in $BINDIR," \
	"servers run as $RUN_USER in $WORK"
say "test: building with -Werror and assertions"
SOURCES=$WORK/sources
copy_sources "$SOURCES"
chmod -R a+rX "$SOURCES"
if ! build_and_install "$SOURCES" "$LOGS/build.log" \
	PROFILE="-Werror -DUSE_ASSERT_CHECKING=1" ||
	! install_test_module "$SOURCES" "$LOGS/build.log" \
		PROFILE="-Werror -DUSE_ASSERT_CHECKING=1"; then
	say "test: the build failed"
	say "0 passed, 1 failed"
	exit 1
fi

# ---- run ----------------------------------------------------------------

for suite in $SUITES; do
	suite_started=$SECONDS
	suite_$suite
done

# ---- leave the library as users build it --------------------------------

make -C "$SOURCES" -s PG_CONFIG="$PG_CONFIG" clean >/dev/null 2>&1
as_installer make -C "$SOURCES/test/omendb_test" -s PG_CONFIG="$PG_CONFIG" \
	uninstall >/dev/null 2>&1
if ! build_and_install "$SOURCES" "$LOGS/build-production.log" PROFILE=-Werror; then
	say "test: the production build failed"
	TOTAL_FAILED=$((TOTAL_FAILED + 1))
fi

if [ $TOTAL_FAILED = 0 ] && [ $TOTAL_PASSED != 0 ] && [ -n "${own_logs:-}" ]; then
	rm -rf "$LOGS"
else
	say "test: the logs are in $LOGS"
fi
[ -z "$FAILED" ] || say "test: failed:" $FAILED
say "test: $((SECONDS - STARTED)) s in all"
say "$TOTAL_PASSED passed, $TOTAL_FAILED failed"
[ $TOTAL_FAILED = 0 ] && [ $TOTAL_PASSED != 0 ]
