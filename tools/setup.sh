#!/bin/bash
#
# setup.sh: install from Debian what omendb needs to be built, shown and
# tested, and say what is done.  Nothing happens when everything is there.
#
# It never touches an existing PostgreSQL cluster and leaves no new one behind:
# installing postgresql-15 on a machine without PostgreSQL would create and
# start a cluster "main", so that is switched off while the package goes in.
#
# With PG_CONFIG set (another PostgreSQL 15), only the libraries and tools
# around it are installed.
#
set -eu

PACKAGES="gcc make librocksdb-dev libzstd-dev liblz4-dev libipc-run-perl dpkg-dev perl"
if [ -z "${PG_CONFIG:-}" ]; then
	PACKAGES="postgresql-15 postgresql-server-dev-15 $PACKAGES"
fi

installed() {
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "setup: this is not a Debian system; please install the equivalents of:" >&2
	echo "setup:   $PACKAGES" >&2
	exit 1
fi

missing=""
for package in $PACKAGES; do
	installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "setup: every package is there ($PACKAGES)"
	exit 0
fi

if [ "$(id -u)" = 0 ]; then
	as_root() { "$@"; }
elif command -v sudo >/dev/null; then
	as_root() { sudo "$@"; }
else
	echo "setup: these packages are missing:$missing" >&2
	echo "setup: run this as root, or install sudo, or install them yourself" >&2
	exit 1
fi

echo "setup: installing from Debian:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

apt() {
	# DPkg::Lock::Timeout: another apt may be at work on a machine just made
	if ! as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; then
		cat "$log" >&2
		echo "setup: apt-get $* failed" >&2
		return 1
	fi
}

# Installing the server must not leave a cluster where none was: say so in the
# configuration file that Debian reads for it, and put the file back afterwards.
conf=/etc/postgresql-common/createcluster.conf
saved=""
restore_conf() {
	if [ -n "$saved" ]; then
		if [ -s "$saved" ]; then
			as_root cp "$saved" "$conf"
		elif [ -e /usr/share/postgresql-common/createcluster.conf ]; then
			as_root cp /usr/share/postgresql-common/createcluster.conf "$conf"
		fi
		rm -f "$saved"
		saved=""
	fi
}
case " $missing " in
	*" postgresql-15 "*)
		echo "setup: no cluster will be created (create_main_cluster = false meanwhile)"
		saved=$(mktemp)
		trap 'restore_conf; rm -f "$log"' EXIT
		[ ! -e "$conf" ] || cat "$conf" >"$saved"
		as_root mkdir -p /etc/postgresql-common
		(cat "$saved"; echo "create_main_cluster = false") |
			as_root tee "$conf" >/dev/null
		;;
esac

if ! apt install --no-install-recommends $missing 2>/dev/null; then
	echo "setup: refreshing the package lists first"
	apt update
	apt install --no-install-recommends $missing
fi

restore_conf
echo "setup: done"
