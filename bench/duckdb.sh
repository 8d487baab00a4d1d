# duckdb.sh: DuckDB beside PostgreSQL, for benchmarks (to be sourced behind tools/lib.sh)
#
# ANALYTICS_MODULES   a folder with node_modules of @duckdb/node-api and
#                     vega-datasets (default: installed by npm for this run)
# Needs node and npm.
#
if [ -z "${ANALYTICS_MODULES:-}" ]; then
	export ANALYTICS_MODULES=$WORK/modules
	mkdir -p "$ANALYTICS_MODULES"
	npm install --prefix "$ANALYTICS_MODULES" --no-audit --no-fund --loglevel=error \
		@duckdb/node-api vega-datasets >"$WORK/npm.log" 2>&1 ||
		{ cat "$WORK/npm.log"; fail "npm could not install DuckDB"; }
fi
export ANALYTICS_MODULES
[ -e "$ANALYTICS_MODULES/package.json" ] || echo '{}' >"$ANALYTICS_MODULES/package.json"

# three million records of flights
FLIGHTS_PARQUET=$ANALYTICS_MODULES/node_modules/vega-datasets/data/flights-3m.parquet

# the database that the following run their statements in
DUCK=$WORK/duck.db

# duck THREADS: what analytics/duckdb.mjs reads from standard input
duck() { node "$TOP/bench/analytics/duckdb.mjs" "$DUCK" "$1"; }

# duck_do STATEMENT ...: without timing
duck_do() {
	local s
	for s in "$@"; do
		SQL=$s perl -MJSON::PP -e 'print encode_json([undef, 0, 0, [$ENV{SQL}]]), "\n"'
	done | duck 2 || fail "DuckDB"
}
