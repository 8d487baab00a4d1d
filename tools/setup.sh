#!/bin/bash
#
# setup.sh: install from Debian what omendb needs to be built, shown and
# tested, and say what is done.  Nothing happens when everything is there.
#
# It never touches an existing PostgreSQL cluster and leaves no new one behind:
# installing a server on a machine without PostgreSQL would create and start a
# cluster "main", so that is switched off while the package goes in.
#
# Which server: the newest of 15 to 18 that is installed with its headers, else
# the newest that the machine's package sources have (Debian 12: 15, Debian 13:
# 17).  PGVERSION=16 asks for one of them.  With PG_CONFIG set (a PostgreSQL of
# another origin), only the libraries and tools around it are installed.
#
set -eu

PACKAGES="gcc make librocksdb-dev libzstd-dev liblz4-dev libipc-run-perl dpkg-dev perl"
SUPPORTED="18 17 16 15"

installed() {
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

# Do the package lists of this machine have it?
listed() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^ *Candidate: [0-9]'
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	echo "setup: this is not a Debian system; please install the equivalents of:" >&2
	echo "setup:   PostgreSQL 15 to 18 with its headers; $PACKAGES" >&2
	exit 1
fi

if [ "$(id -u)" = 0 ]; then
	as_root() { "$@"; }
elif command -v sudo >/dev/null; then
	as_root() { sudo "$@"; }
else
	as_root() {
		echo "setup: run this as root, or install sudo, or do it yourself: $*" >&2
		return 1
	}
fi

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

# newest_server installed|listed: sets $major, or leaves it empty
newest_server() {
	local version
	major=""
	for version in $SUPPORTED; do
		if "$1" "postgresql-$version" && "$1" "postgresql-server-dev-$version"; then
			major=$version
			return
		fi
	done
}

if [ -z "${PG_CONFIG:-}" ]; then
	major=${PGVERSION:-}
	case " $SUPPORTED " in
		*" ${major:-15} "*) ;;
		*)
			echo "setup: omendb supports PostgreSQL 15 to 18, not PGVERSION=$major" >&2
			exit 1
			;;
	esac
	[ -n "$major" ] || newest_server installed
	[ -n "$major" ] || newest_server listed
	if [ -z "$major" ]; then
		echo "setup: no list of packages has a PostgreSQL of 15 to 18: refreshing the lists"
		apt update
		newest_server listed
	fi
	if [ -z "$major" ]; then
		echo "setup: this system's package sources have no PostgreSQL of 15 to 18" >&2
		exit 1
	fi
	PACKAGES="postgresql-$major postgresql-server-dev-$major $PACKAGES"
fi

missing=""
for package in $PACKAGES; do
	installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "setup: every package is there ($PACKAGES)"
	exit 0
fi

echo "setup: installing from Debian:$missing"
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
	*" postgresql-1"*)
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
