# lib.sh: private throwaway servers for the demo and the tests (to be sourced)
#
# A server lives in a directory made by mktemp, listens on a unix socket in
# that directory alone, and is gone with it when the script ends.  No existing
# cluster is ever touched.  PostgreSQL does not run as root, so root's scripts
# run it as another user: $OMENDB_USER, else the one behind sudo, else
# "postgres", else "nobody".
#
# Environment:
#   PG_CONFIG     which PostgreSQL (default: the newest of Debian's servers
#                 that is installed with its headers, 15 to 18)
#   PGVERSION     which major version of Debian's instead
#   OMENDB_USER   user to run servers as when the script is root's
#   OMENDB_TMP    where the directory is made (default: /tmp)
#   KEEP          set: do not remove the directory at the end

set -u

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PG_CONFIG:-}" ]; then
	for version in ${PGVERSION:-18 17 16 15}; do
		PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config
		[ ! -e "/usr/lib/postgresql/$version/lib/pgxs/src/makefiles/pgxs.mk" ] || break
	done
fi
if [ ! -x "$PG_CONFIG" ] && ! PG_CONFIG=$(command -v "$PG_CONFIG"); then
	echo "no PostgreSQL ${PGVERSION:-15 to 18}: run tools/setup.sh, or set PG_CONFIG" >&2
	exit 1
fi
export PG_CONFIG
# the major version
PGMAJOR=$("$PG_CONFIG" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
BINDIR=$("$PG_CONFIG" --bindir)
PKGLIBDIR=$("$PG_CONFIG" --pkglibdir)
PGXS_TEST=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")/test
JOBS=$(nproc 2>/dev/null || echo 2)

if [ "$(id -u)" = 0 ]; then
	RUN_USER=${OMENDB_USER:-${SUDO_USER:-}}
	if [ -z "$RUN_USER" ] || [ "$RUN_USER" = root ]; then
		if id postgres >/dev/null 2>&1; then RUN_USER=postgres; else RUN_USER=nobody; fi
	fi
else
	RUN_USER=$(id -un)
fi

WORK=$(mktemp -d "${OMENDB_TMP:-/tmp}/omendb.XXXXXX")
SERVERS=""
PROGRAM=$(basename "$0")

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; exit 1; }

# Run a command as the user that owns the servers, in $WORK.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		(cd "$WORK" && runuser -u "$RUN_USER" -- env HOME="$WORK" PATH="$BINDIR:$PATH" LC_ALL=C "$@")
	else
		(cd "$WORK" && env PATH="$BINDIR:$PATH" LC_ALL=C "$@")
	fi
}

# Run a command as root where the installation belongs to root.
as_installer() {
	if [ -w "$PKGLIBDIR" ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		fail "cannot write to $PKGLIBDIR; run this as root, or install sudo"
	fi
}

cleanup() {
	local status=$? dir
	trap - EXIT INT TERM
	for dir in $SERVERS; do
		[ -f "$dir/postmaster.pid" ] && as_user pg_ctl -D "$dir" -m immediate stop >/dev/null 2>&1
	done
	if [ -n "${KEEP:-}" ]; then
		say "kept: $WORK"
	else
		rm -rf "$WORK"
	fi
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

chmod 755 "$WORK"
[ "$(id -u)" != 0 ] || chown "$RUN_USER" "$WORK"
if ! as_user test -w "$WORK"; then
	fail "user $RUN_USER cannot write to $WORK"
fi

# copy_sources DIR: the sources without what a build has left there
copy_sources() {
	mkdir -p "$1"
	(cd "$TOP" && tar --exclude=./.git --exclude='*.o' --exclude='*.so' \
		--exclude='*.bc' --exclude=./omendb_rocksdb --exclude=./dist --exclude=./bench/results -cf - .) |
		tar -xf - -C "$1" --no-same-owner
}

# build_and_install DIR LOG [make arguments]: from the sources in DIR
build_and_install() {
	local dir=$1 log=$2
	shift 2
	if ! make -C "$dir" -j"$JOBS" PG_CONFIG="$PG_CONFIG" "$@" >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
	if ! as_installer make -C "$dir" PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

# install_test_module DIR LOG [make arguments]: the extension omendb_test, which
# is not part of what users install, from the same sources
install_test_module() {
	local dir=$1/test/omendb_test log=$2
	shift 2
	if ! make -C "$dir" PG_CONFIG="$PG_CONFIG" "$@" >>"$log" 2>&1 ||
		! as_installer make -C "$dir" PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

# new_server NAME [configuration line ...]: make a cluster in $WORK/NAME; the
# socket is in $WORK/NAME.s.  Loads omendb unless a line says otherwise.
new_server() {
	local name=$1 line
	local dir=$WORK/$name
	shift
	as_user mkdir -p "$dir.s"
	as_user initdb -D "$dir" -U postgres -A trust --locale=C --encoding=UTF8 \
		--no-sync >"$WORK/$name.initdb.log" 2>&1 ||
		{ cat "$WORK/$name.initdb.log" >&2; return 1; }
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$dir.s'"
		echo "shared_preload_libraries = 'omendb'"
		echo "log_line_prefix = '%m %b[%p] %q%a '"
		for line in "$@"; do echo "$line"; done
	} | as_user tee -a "$dir/postgresql.conf" >/dev/null
	SERVERS="$SERVERS $dir"
}

start_server() {
	as_user pg_ctl -D "$WORK/$1" -l "$WORK/$1.log" -w -t 120 start >/dev/null ||
		{ tail -n 40 "$WORK/$1.log" >&2; return 1; }
}

stop_server() {
	as_user pg_ctl -D "$WORK/$1" -m fast -w stop >/dev/null
}

# sql NAME [psql arguments]: psql on that server
sql() {
	local name=$1
	shift
	as_user psql -X -h "$WORK/$name.s" -U postgres -v ON_ERROR_STOP=1 "$@"
}
