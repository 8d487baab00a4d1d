# lib.sh: what benchmarks of one server share (to be sourced)
#
# RESULTS: where results are written (default: bench/results)
#
. "$(dirname "${BASH_SOURCE[0]}")/../tools/lib.sh"

RESULTS=${RESULTS:-$TOP/bench/results}
mkdir -p "$RESULTS"

# bench_server SETTING ...: build and install omendb, and start a server "bench",
# whose database postgres has the extension
bench_server() {
	copy_sources "$WORK/src"
	build_and_install "$WORK/src" "$WORK/build.log" && new_server bench "$@" && start_server bench &&
		sql bench -q -d postgres -c "CREATE EXTENSION omendb" || exit 1
}
