#!/bin/bash
#
# majors.sh: the tests on other major versions of PostgreSQL, each in a minimal
# Debian root of its own
#
#   majors.sh [major ...]      default: 17 18
#
# A root is made with debootstrap (17: Debian 13; 18: testing, or else
# unstable), tools/setup.sh installs in it what it installs on any machine, and
# it is kept for the next time in a cache outside the tree.  tools/test.sh runs
# in it, in namespaces of its own: what is left running there ends with it.
# The machine itself gets the package debootstrap and nothing else.
#
# The short form: build with -Werror, regress, isolation, the TAP files named
# below, and few statements of the differential suite.  FULL=1: every suite,
# 100 kills in 002, and the conformance suites in the modes normal, stress,
# stress1 and alex.
#
# What cannot be had (no network, a suite without the packages, no root) is
# reported as skipped, never as passed.  The last line counts the tests of all
# majors; the exit code is 0 if some ran and none failed, 77 if none could run.
#
# The mirror and the proxy are those of this machine's own apt configuration:
# the first source whose Release file says it is of origin Debian (apt-get
# indextargets), and another for -security, if there is one.
#
# Environment:
#   FULL           set: the whole of it
#   FRESH          set: make the roots anew
#   PREPARE        set: make the roots, run nothing in them
#   OMENDB_CACHE   the cache (default: /var/cache/omendb)
#   MAJORS_MIRROR, MAJORS_KEYRING   instead of what apt's configuration says
#   MAJORS_SUITES  what to give tools/test.sh instead of the form's suites
#   MAJORS_TAP     numbers of the TAP files, instead of the short form's
#   MAJORS_TIMEOUT seconds that a major's tests may take (default 1500, with
#                  FULL 14400)
#   LOGS           where to leave the logs (default: in the cache)
#
set -u

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${OMENDB_CACHE:-/var/cache/omendb}
ROOTS=$CACHE/roots
LOGS=${LOGS:-$CACHE/logs}
KEYRING=${MAJORS_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

# The suites of Debian that have, or had, the major, the likeliest first
suites_of() {
	case $1 in
		15) echo "bookworm" ;;
		17) echo "trixie" ;;
		18) echo "forky sid" ;;
		*) echo "" ;;
	esac
}

# TAP files that touch what differs between majors:
#   001 loading and hooks; 002, 003 redo of records that differ, kills;
#   004 backups; 005 checksums, what a server notices; 006 DDL; 008 pruning,
#   freezing and page reservation; 009 processes and their numbers; 014 logical
#   decoding; 020, 021 alex's WAL and reads of bad pages; 022 buffers' use
#   counts; 055, 060 markers and header pages under VACUUM; 053 files of
#   commands on tables; 056 what VACUUM and reads say of damage (057, repair, is
#   the same on all and long); 062 autovacuum; 063 standbys' conflicts; 066
#   foreign keys; 067 bottom-up deletion; 070 hooks of planner and executor; 013,
#   071 pg_upgrade; 075-079 this port; 097 workers in a lock group
TAP_SHORT="001 002 003 004 005 006 008 009 013 014 020 021 022 053 055 056 060 062 063 066 067 070 071 075 076 077 078 079 083 097"

say() { printf '%s\n' "$*"; }

passed=0
failed=0
skipped=""
started=$SECONDS

# finish: the last lines, and the exit code
finish() {
	[ -z "$skipped" ] || say "majors: skipped:$skipped"
	say "majors: $((SECONDS - started)) s in all"
	say "$passed passed, $failed failed"
	[ "$failed" = 0 ] || exit 1
	[ "$passed" != 0 ] || exit 77
	exit 0
}

# skip MAJOR REASON
skip() {
	say "majors: PostgreSQL $1: skipped: $2"
	skipped="$skipped $1"
}

# ---- what the machine has -----------------------------------------------

# sources: "URI suite" of each source of origin Debian
sources() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(ORIGIN)' \
		"Created-By: Packages" 2>/dev/null |
		awk '$3 == "Debian" {sub("/$", "", $1); print $1, $2}' | sort -u
}

# prepare: sets MIRROR and SECURITY, or prints why there can be no root
prepare() {
	if [ "$(id -u)" != 0 ]; then
		say "root makes roots"
		return 1
	fi
	if ! command -v apt-get >/dev/null; then
		say "this is not a Debian system"
		return 1
	fi
	if ! unshare -m --pid --fork --kill-child --propagation private true 2>/dev/null; then
		say "this machine has no namespaces"
		return 1
	fi
	if ! command -v debootstrap >/dev/null || [ ! -e "$KEYRING" ]; then
		{
			apt-get -q -y -o DPkg::Lock::Timeout=300 update
			DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
				install --no-install-recommends debootstrap debian-archive-keyring
		} >"$LOGS/debootstrap-install.log" 2>&1
		if ! command -v debootstrap >/dev/null || [ ! -e "$KEYRING" ]; then
			say "debootstrap cannot be installed"
			return 1
		fi
		say "majors: installed debootstrap" >&2
	fi
	MIRROR=${MAJORS_MIRROR:-}
	SECURITY=""
	if [ -z "$MIRROR" ]; then
		if [ -z "$(sources)" ]; then
			apt-get -q -y -o DPkg::Lock::Timeout=300 update >"$LOGS/apt-update.log" 2>&1
		fi
		MIRROR=$(sources | awk '$2 !~ /-security$/ {print $1; exit}')
		SECURITY=$(sources | awk '$2 ~ /-security$/ {print $1; exit}')
	fi
	if [ -z "$MIRROR" ]; then
		say "apt's configuration names no mirror of Debian"
		return 1
	fi
}

# ---- roots --------------------------------------------------------------

# in_root DIR command ...: in namespaces of its own, with $TOP as /omendb
# (read-only) and $LOGS as /logs
in_root() {
	local dir=$1
	shift
	mkdir -p "$dir/omendb" "$dir/logs"
	unshare -m --pid --fork --kill-child --propagation private \
		bash -ec '
			dir=$1 top=$2 logs=$3
			shift 3
			mount -t proc proc "$dir/proc"
			mount --rbind /dev "$dir/dev"
			mount -t tmpfs -o mode=1777 shm "$dir/dev/shm"
			mount --bind "$top" "$dir/omendb"
			mount -o remount,bind,ro "$dir/omendb"
			mount --bind "$logs" "$dir/logs"
			# the shell stays: process 1 has to wait for orphans
			chroot "$dir" env -i HOME=/root LC_ALL=C TERM=dumb \
				PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" ||
				exit $?
			exit 0
		' in_root "$dir" "$TOP" "$LOGS" "$@" </dev/null
}

# configure_root DIR SUITE: the machine's network and apt configuration
configure_root() {
	local dir=$1 suite=$2
	cp -L /etc/resolv.conf "$dir/etc/resolv.conf" 2>/dev/null
	cp -L /etc/hosts "$dir/etc/hosts" 2>/dev/null
	apt-config dump |
		grep -E '^Acquire::(http|https|ftp)(::[^ ]*)?::Proxy|^Acquire::Check-' \
			>"$dir/etc/apt/apt.conf.d/90omendb"
	{
		say "deb $MIRROR $suite main"
		say "deb-src $MIRROR $suite main"
		case $suite in
			bookworm | trixie)
				if [ -n "$SECURITY" ]; then
					say "deb $SECURITY $suite-security main"
					say "deb-src $SECURITY $suite-security main"
				fi
				;;
		esac
	} >"$dir/etc/apt/sources.list"
	# nothing that a package brings is to be started
	printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
	chmod 755 "$dir/usr/sbin/policy-rc.d"
}

# make_root MAJOR SUITE: sets root, and reason if it cannot be made
make_root() {
	local major=$1 suite=$2 script log=$LOGS/$1-root.log
	root=$ROOTS/$suite-$major
	reason=""
	# one library at a time is installed in a root
	exec 8>"$root.lock"
	if ! flock -n 8; then
		say "majors: another run uses $root: waiting for it"
		flock 8
	fi
	[ -z "${FRESH:-}" ] || rm -rf --one-file-system "$root"
	if [ ! -d "$root" ]; then
		say "majors: making a root of $suite in $root"
		rm -rf --one-file-system "$root.new"
		mkdir -p "$ROOTS"
		# a debootstrap of an older Debian does not know the suite by name
		script=/usr/share/debootstrap/scripts/$suite
		[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
		if ! debootstrap --variant=minbase --keyring="$KEYRING" "$suite" \
			"$root.new" "$MIRROR" "$script" >"$log" 2>&1 </dev/null; then
			reason="no root of $suite: $(grep -E '^[EW]:' "$log" | tail -n 1)"
			rm -rf --one-file-system "$root.new"
			return 1
		fi
		configure_root "$root.new" "$suite"
		mv "$root.new" "$root"
	fi
	configure_root "$root" "$suite"
	say "majors: tools/setup.sh in $root"
	if ! in_root "$root" PGVERSION="$major" /omendb/tools/setup.sh >>"$log" 2>&1; then
		if in_root "$root" apt-get -q update >>"$log" 2>&1 &&
			in_root "$root" apt-get -q -y --download-only install \
				--no-install-recommends "postgresql-$major" \
				"postgresql-server-dev-$major" librocksdb-dev gcc make >>"$log" 2>&1; then
			# the packages are there, so this is setup.sh's fault
			tail -n 20 "$log"
			return 2
		fi
		reason="$suite has not the packages: $(grep -E '^(E:| .* : Depends)' "$log" | tail -n 1)"
		return 1
	fi
}

# ---- tests --------------------------------------------------------------

# run_major MAJOR
run_major() {
	local major=$1 suite root reason why="" status counts log=$LOGS/$1.log begun=$SECONDS
	local suites tap environment
	for suite in $(suites_of "$major"); do
		make_root "$major" "$suite"
		status=$?
		[ $status = 1 ] || break
		why="$why${why:+; }$reason"
	done
	if [ -z "${status:-}" ]; then
		skip "$major" "no suite of Debian has it"
		return
	elif [ $status = 1 ]; then
		skip "$major" "$why"
		return
	elif [ $status = 2 ]; then
		say "majors: PostgreSQL $major: tools/setup.sh failed, see $LOGS/$major-root.log"
		failed=$((failed + 1))
		return
	fi
	say "majors: PostgreSQL $major: the root is ready ($((SECONDS - begun)) s):" \
		"$(in_root "$root" dpkg-query -W -f '${Package} ${Version}, ' \
			"postgresql-$major" librocksdb-dev gcc 2>/dev/null | sed 's/, $//')"
	[ -z "${PREPARE:-}" ] || return

	rm -rf "${LOGS:?}/$major"
	mkdir -p "$LOGS/$major"
	environment=(PGVERSION="$major" LOGS="/logs/$major" OMENDB_CACHE=/var/cache/omendb)
	if [ -n "${FULL:-}" ]; then
		suites=${MAJORS_SUITES:-regress isolation tap differential vector fuzz conformance}
		tap=${MAJORS_TAP:-}
		environment+=(KILLS="${KILLS:-100}" BACKUPS="${BACKUPS:-5}"
			CONFORMANCE_MODES="${CONFORMANCE_MODES:-normal stress stress1 alex}")
	else
		suites=${MAJORS_SUITES:-regress isolation tap differential}
		tap=${MAJORS_TAP:-$TAP_SHORT}
		environment+=(DIFF_STATEMENTS="${DIFF_STATEMENTS:-500}"
			DIFF_QUERIES="${DIFF_QUERIES:-500}")
	fi
	# shellcheck disable=SC2086
	in_root "$root" "${environment[@]}" TAP="$tap" \
		timeout "${MAJORS_TIMEOUT:-$([ -n "${FULL:-}" ] && echo 14400 || echo 1500)}" \
		/omendb/tools/test.sh $suites 2>&1 | tee "$log" | sed -u 's/^/    /'
	status=${PIPESTATUS[0]}
	counts=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	if [ -z "$counts" ]; then
		say "majors: PostgreSQL $major: the tests did not end (status $status)"
		# what had been counted until then
		counts=$(sed -n 's/^== .*: \([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" |
			awk '{p += $1; f += $2} END {print p + 0, f + 1}')
	elif [ "$status" != 0 ] && [ "${counts#* }" = 0 ]; then
		counts="${counts% *} 1"
	fi
	passed=$((passed + ${counts% *}))
	failed=$((failed + ${counts#* }))
	say "majors: PostgreSQL $major: ${counts% *} passed, ${counts#* } failed" \
		"($((SECONDS - begun)) s)"
}

MAJORS=${*:-17 18}
for major in $MAJORS; do
	case $major in
		15 | 16 | 17 | 18) ;;
		*) say "majors: omendb supports 15 to 18, not $major" >&2; exit 2 ;;
	esac
done
if ! mkdir -p "$ROOTS" "$LOGS" 2>/dev/null; then
	for major in $MAJORS; do skip "$major" "cannot write to $CACHE"; done
	finish
fi
problem=$(mktemp)
trap 'rm -f "$problem"' EXIT
if ! prepare >"$problem"; then
	for major in $MAJORS; do skip "$major" "$(tail -n 1 "$problem")"; done
	finish
fi
for major in $MAJORS; do
	run_major "$major"
done
finish
