#!/bin/sh
# Column chunks outside of the server: round trips and damaged bytes under the
# address and undefined behaviour sanitizers; or a small benchmark.
#
#   test/fuzz/run.sh [ITERATIONS [SEED]]    default 300 iterations, seed 1
#   test/fuzz/run.sh bench
#
# PG_CONFIG, CC and CFLAGS as usual (-DOMEN_NO_SIMD: as without AVX2).  The last line is "N passed, N failed".
set -e
cd "$(dirname "$0")/../.."
PG_CONFIG=${PG_CONFIG:-pg_config}
CC=${CC:-gcc}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
sources="test/fuzz/columnar_fuzz.c test/fuzz/shim.c src/columnar/*.c"
flags="-isystem $("$PG_CONFIG" --includedir-server) -Isrc -D_GNU_SOURCE
	-fno-strict-aliasing -fwrapv -Wall -Wextra -Wno-unused-parameter
	-Wno-sign-compare -Wno-missing-field-initializers ${CFLAGS:-}"

if [ "$1" = bench ]; then
	# shellcheck disable=SC2086
	"$CC" $flags -O2 -DOMEN_BENCH $sources -o "$out/bench" -lzstd -lm
	"$out/bench" bench
	exit
fi
# shellcheck disable=SC2086
"$CC" $flags -O1 -g -fno-omit-frame-pointer -DUSE_ASSERT_CHECKING=1 \
	-DMIN_SHARED_BYTES=1 -DMIN_SHARED_GAIN=1 -DSHARED_GAIN_PART=50 \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined \
	$sources -o "$out/fuzz" -lm
"$out/fuzz" fuzz "${1:-300}" "${2:-1}"
