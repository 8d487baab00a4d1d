#!/bin/bash
#
# upgrade.sh: pg_upgrade with sealed tables, from one installation to another
#
#   upgrade.sh OLD_BINDIR NEW_BINDIR [mode ...]
#
# omendb must be installed in both, with the same format of its store.  Modes:
# copy, link, clone and (from 18 on) swap; default: all that can be done here.
# For each: an old cluster with sealed, thawed and hot rows, indexes of nbtree and
# alex, a second database and (between majors) a tablespace; then pg_upgrade,
# omendb_upgrade, and a comparison of all rows by sequential and index scans.
#
# OLD_SQL: run in each database of the old cluster at the end, by a superuser
# who may change the catalogs.  PostgreSQL's own pg_upgrade fails where the old
# server's minor version is newer than the new one's and leaves in the catalogs
# what that does not know: as 17.12 with 18.6, and
#   OLD_SQL="UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text ~ 'pg_attver'"
#
# As root, the servers run as OMENDB_USER (default: postgres).  The last line
# counts; the exit code is 0 only if something was compared and nothing failed.
#
set -u

[ $# -ge 2 ] || { sed -n '3,23s/^# \{0,1\}//p' "$0" >&2; exit 2; }
OLDBIN=$1
NEWBIN=$2
shift 2
if [ "$(id -u)" = 0 ]; then
	exec setpriv --reuid="${OMENDB_USER:-postgres}" --regid="${OMENDB_USER:-postgres}" \
		--clear-groups env HOME=/nonexistent OLD_SQL="${OLD_SQL:-}" "$0" "$OLDBIN" "$NEWBIN" "$@"
fi
unset PGHOST PGPORT PGUSER PGDATABASE PGDATA PGOPTIONS
WORK=$(mktemp -d "${OMENDB_TMP:-/tmp}/omendb-upgrade.XXXXXX") || exit 1
PASSED=0
FAILED=0

major() { "$1/pg_config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }
OLD_MAJOR=$(major "$OLDBIN")
NEW_MAJOR=$(major "$NEWBIN")

cleanup() {
	for dir in "$WORK"/*.data; do
		[ -f "$dir/postmaster.pid" ] && "$NEWBIN/pg_ctl" -D "$dir" -m immediate stop >/dev/null 2>&1
	done
	if [ "$FAILED" = 0 ]; then rm -rf "$WORK"; else echo "upgrade: see $WORK"; fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# is WHAT CONDITION...
is() {
	local what=$1
	shift
	if "$@"; then
		PASSED=$((PASSED + 1))
		echo "ok - $what"
	else
		FAILED=$((FAILED + 1))
		echo "not ok - $what"
	fi
}

# make_cluster BINDIR NAME
make_cluster() {
	"$1/initdb" -D "$WORK/$2.data" -U postgres -A trust -k --no-sync --locale=C \
		--encoding=UTF8 >>"$WORK/log" 2>&1 || return 1
	cat >>"$WORK/$2.data/postgresql.conf" <<-EOC
		shared_preload_libraries = 'omendb'
		omendb.row_group_blocks = 4
		omendb.seal = off
		listen_addresses = ''
		unix_socket_directories = '$WORK'
		autovacuum = off
		fsync = off
	EOC
}

start() { "$1/pg_ctl" -D "$WORK/$2.data" -l "$WORK/$2.log" -w start >>"$WORK/log" 2>&1; }
stop() { "$1/pg_ctl" -D "$WORK/$2.data" -m fast -w stop >>"$WORK/log" 2>&1; }
sql() { "$NEWBIN/psql" -XAtq -h "$WORK" -U postgres -v ON_ERROR_STOP=1 -d "$1" -c "$2" 2>>"$WORK/log"; }
# pg_upgrade leaves its logs in the current directory, or asks for one to write to
upgrade() { (cd "$WORK" && "$NEWBIN/pg_upgrade" --no-sync -U postgres -b "$OLDBIN" -B "$NEWBIN" \
	-d "$WORK/old.data" -D "$WORK/new.data" -s "$WORK" "$@") >>"$WORK/log" 2>&1; }
take_over() { "$NEWBIN/omendb_upgrade" "$@" >>"$WORK/log" 2>&1; }

# rows DATABASE: all rows of all tables, by each way to read them; fails if any
# cannot be read
rows() {
	local way table failed=0
	for way in 'enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off' \
		'enable_seqscan = off; SET enable_bitmapscan = off' \
		'enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off'; do
		for table in t moved mv part; do
			sql "$1" "SET $way; SELECT '$table', count(*), sum(a), sum(hashtext(x::text)::bigint) FROM $table x WHERE a >= 0" ||
				failed=1
		done
	done
	sql "$1" "SELECT omendb.alex_check('t_alex', true); SELECT bt_index_check('t_pkey', true), bt_index_check('moved_pkey', true);
		SELECT cold_pages, thawed_pages, cold_rows FROM omendb.row_groups('t')" || failed=1
	return $failed
}

fill() {
	local tablespace=''
	[ "$OLD_MAJOR" = "$NEW_MAJOR" ] || tablespace='TABLESPACE side'
	sql "$1" "CREATE EXTENSION omendb; CREATE EXTENSION amcheck;
CREATE TABLE t (a int PRIMARY KEY, b text, c numeric, d timestamptz) USING omendb;
CREATE INDEX t_alex ON t USING alex (a);
INSERT INTO t SELECT g, repeat(md5(g::text), g % 5), g / 7.0, timestamptz '2024-01-01' + g * interval '1 min' FROM generate_series(1, 5000) g;
CREATE TABLE moved (a int PRIMARY KEY, b text) USING omendb $tablespace;
INSERT INTO moved SELECT g, repeat('m', g % 300) FROM generate_series(1, 3000) g;
CREATE MATERIALIZED VIEW mv USING omendb AS SELECT a, b FROM t WHERE a % 2 = 0;
CREATE TABLE part (a int, b text) PARTITION BY RANGE (a);
CREATE TABLE part_cold PARTITION OF part FOR VALUES FROM (0) TO (1000) USING omendb;
CREATE TABLE part_heap PARTITION OF part FOR VALUES FROM (1000) TO (2000) USING heap;
INSERT INTO part SELECT g, repeat('p', g % 300) FROM generate_series(0, 1999) g"
	for table in t moved mv part_cold; do
		for try in $(seq 50); do
			sql "$1" "VACUUM $table"
			sql "$1" "SELECT omendb.seal('$table', true)" >/dev/null
			[ "$(sql "$1" "SELECT sum(cold_rows) = (SELECT count(*) FROM $table) FROM omendb.row_groups('$table')")" = t ] && break
			sleep 0.1
		done
	done
	sql "$1" "UPDATE t SET c = c + 1 WHERE a % 250 = 0; INSERT INTO t SELECT g, 'hot' FROM generate_series(10000, 10100) g;
DELETE FROM moved WHERE a % 500 = 0"
	[ "$(sql "$1" "SELECT count(*) > 0 FROM omendb.row_groups('t') WHERE cold_pages > 0 AND thawed_pages > 0")" = t ]
}

# one MODE: of pg_upgrade's; omendb_upgrade links where that one swaps
one() {
	local mode=$1 ours=$1 option="--$1"
	[ "$mode" != swap ] || ours=link
	# not every major has --copy; it is what is done without --link
	if [ "$mode" = copy ] && [ "$NEW_MAJOR" -lt 17 ]; then option=''; fi
	echo "# $OLD_MAJOR to $NEW_MAJOR, --$mode"
	rm -rf "$WORK"/old.data "$WORK"/new.data "$WORK"/side
	mkdir "$WORK/side"
	is 'the clusters are made' make_cluster "$OLDBIN" old
	make_cluster "$NEWBIN" new
	start "$OLDBIN" old
	[ "$OLD_MAJOR" = "$NEW_MAJOR" ] || sql postgres "CREATE TABLESPACE side LOCATION '$WORK/side'"
	sql postgres 'CREATE DATABASE other'
	is 'rows are sealed, thawed and hot' fill postgres
	is 'in another database, too' fill other
	if [ -n "${OLD_SQL:-}" ]; then
		is 'catalogs as the new server knows them' eval 'sql postgres "SET allow_system_table_mods = on; $OLD_SQL" &&
			sql other "SET allow_system_table_mods = on; $OLD_SQL"'
	fi
	is 'all rows are read' eval 'rows postgres >"$WORK/before"'
	is 'of the other database, too' eval 'rows other >>"$WORK/before"'
	stop "$OLDBIN" old
	is 'pg_upgrade --check refuses what is not prepared' eval '! upgrade --check'
	is 'omendb_upgrade --prepare' take_over --prepare "$WORK/old.data"
	is 'pg_upgrade --check' upgrade --check
	is "pg_upgrade --$mode" upgrade $option
	start "$NEWBIN" new
	is 'sealed rows wait for the step' eval '! sql postgres "SELECT sum(length(b)) FROM t" >/dev/null'
	is 'and the reason names it' grep -q 'run omendb_upgrade' "$WORK/log"
	stop "$NEWBIN" new
	is "omendb_upgrade --$ours" take_over "--$ours" "$WORK/old.data" "$WORK/new.data"
	start "$NEWBIN" new
	sql postgres 'ALTER EXTENSION amcheck UPDATE'
	sql other 'ALTER EXTENSION amcheck UPDATE'
	is 'all rows are read after the upgrade' eval 'rows postgres >"$WORK/after"'
	is 'of the other database, too' eval 'rows other >>"$WORK/after"'
	is "$(wc -l <"$WORK/before") lines about rows and indexes are the same" cmp "$WORK/before" "$WORK/after"
	is 'rows are changed and sealed again' sql postgres "UPDATE t SET c = c - 1 WHERE a % 250 = 0; UPDATE moved SET b = b || 'x';
CREATE TABLE copy AS SELECT * FROM t"
	sql postgres 'VACUUM t'
	sql postgres "SELECT omendb.seal('t', true)" >/dev/null
	is 'and are the same' [ "$(sql postgres '(TABLE t EXCEPT TABLE copy) UNION ALL (TABLE copy EXCEPT TABLE t)')" = '' ]
	is 'tables are dropped' sql postgres 'DROP TABLE moved, part; DROP MATERIALIZED VIEW mv'
	stop "$NEWBIN" new
	is 'no process has crashed' eval '! grep -qE "PANIC|TRAP:|terminated by signal" "$WORK/old.log" "$WORK/new.log"'
}

if [ $# -gt 0 ]; then
	modes=$*
else
	modes='copy link'
	touch "$WORK/reflink"
	if cp --reflink=always "$WORK/reflink" "$WORK/reflink2" 2>/dev/null; then
		modes="$modes clone"
	else
		echo '# skipped: --clone (no reflinks on this file system)'
	fi
	[ "$NEW_MAJOR" -lt 18 ] || modes="$modes swap"
fi
for mode in $modes; do
	one "$mode"
done
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
