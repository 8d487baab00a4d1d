#!/bin/bash
#
# instructions.sh: how many instructions does one row of an unsealed omendb table
# cost, beside heap?
#
# oltp.sh tells what a session gets; on a machine with other work its rounds go up
# and down by more than what is looked for.  valgrind counts a backend's
# instructions, which no other work changes: for each statement the difference
# between many and few executions, divided by their number.  The backend is one of
# single-user mode, and the loop PL/pgSQL's, whose share is the same for both tables.
#
# Results: bench/results/instructions-MAJOR.md
#
# Environment: EXECUTIONS (10000), RESULTS (where to write), NO_BUILD (set: omendb
# is installed already)
#
set -u
. "$(dirname "$0")/../tools/lib.sh"

EXECUTIONS=${EXECUTIONS:-10000}
FEW=1000
ROWS=100000
RESULTS=${RESULTS:-$TOP/bench/results}
command -v valgrind >/dev/null || fail "needs valgrind"

if [ -z "${NO_BUILD:-}" ]; then
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" || exit 1
fi
new_server bench "autovacuum = off" "fsync = off" "omendb.seal = off" || exit 1
start_server bench || exit 1
sql bench -q -d postgres -c "CREATE EXTENSION omendb" || exit 1
for am in heap omendb; do
	sql bench -q -d postgres <<-Q || exit 1
	CREATE TABLE ${am}_t (id int PRIMARY KEY, a int, b int, filler char(84)) USING $am;
	INSERT INTO ${am}_t SELECT g, g, 0, '' FROM generate_series(1, $ROWS) g;
	CREATE TABLE ${am}_new (LIKE ${am}_t INCLUDING INDEXES) USING $am;
	Q
	# twice: no statement is the first to set hints
	sql bench -q -d postgres -c "VACUUM FREEZE ANALYZE ${am}_t" -c "CHECKPOINT" || exit 1
done
version=$(sql bench -At -d postgres -c 'SHOW server_version')

# statement of NAME on the tables of AM, with i for the number of the execution
statement() {
	case $1 in
		select) echo "SELECT a INTO r FROM $2_t WHERE id = i * 7" ;;
		update) echo "UPDATE $2_t SET b = b + i WHERE id = i * 7" ;;
		delete) echo "DELETE FROM $2_t WHERE id = i * 7" ;;
		insert) echo "INSERT INTO $2_new VALUES (i, i, 0, '')" ;;
		scan) echo "SELECT count(b) INTO r FROM $2_t WHERE a < i" ;;
	esac
}

# instructions NAME AM EXECUTIONS: of a backend that does so many; what it has done
# is undone
instructions() {
	echo "BEGIN; DO \$\$ DECLARE r int; BEGIN FOR i IN 1..$3 LOOP $(statement "$1" "$2"); END LOOP; END \$\$; ROLLBACK" \
		>"$WORK/statement.sql"
	as_user valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		postgres --single -D "$WORK/bench" postgres \
		<"$WORK/statement.sql" >"$WORK/counted.log" 2>&1
	if grep -q "ERROR" "$WORK/counted.log"; then
		cat "$WORK/counted.log" >&2
		exit 1
	fi
	sed -n 's/^.* Collected : //p' "$WORK/counted.log"
}

stop_server bench || exit 1
{
	echo "# Instructions of one statement on unsealed tables"
	echo
	echo "\`bench/instructions.sh\`: PostgreSQL $version, $(uname -m), rows of 4 columns, $ROWS of them; per execution,"
	echo "with PL/pgSQL's and the executor's share. scan: sequential scan of the whole table, per row."
	echo
	echo "| statement | heap | omendb | heap / omendb |"
	echo "|---|---:|---:|---:|"
} >"$WORK/table.md"
for name in select update delete insert scan; do
	few=$FEW many=$((FEW + EXECUTIONS)) units=$EXECUTIONS
	if [ $name = scan ]; then
		few=1 many=4 units=$((3 * ROWS))
	fi
	for am in heap omendb; do
		a=$(instructions $name $am $few) || exit 1
		b=$(instructions $name $am $many) || exit 1
		echo $(((b - a) / units))
	done | paste -s -d ' ' >"$WORK/counts"
	[ "$(wc -w <"$WORK/counts")" = 2 ] || exit 1
	awk -v name=$name '{ printf "| %s | %d | %d | %.3f |\n", name, $1, $2, $1 / $2 }' \
		"$WORK/counts" | tee -a "$WORK/table.md"
done
mkdir -p "$RESULTS"
cp "$WORK/table.md" "$RESULTS/instructions-$PGMAJOR.md"
cat "$RESULTS/instructions-$PGMAJOR.md"
