# omendb: an HTAP extension for PostgreSQL
#
#   make, make install      build and install with PGXS (PG_CONFIG=... to choose)
#   make installcheck       regression tests on a running, preloaded server
#   make demo               everything from nothing: packages, build, a private
#                           throwaway server, the main job on real data
#   make test               packages, build, every test on private servers
#   make test-majors        the same on PostgreSQL 17 and 18, in Debian roots of their
#                           own (as root); a short form, or all of it with FULL=1
#   make conformance        PostgreSQL's own suites on omendb tables, in full
#   make dist               the PGXN release archive

EXTENSION = omendb
EXTVERSION = 0.1.0
MODULE_big = omendb
DATA = sql/omendb--0.1.0.sql
SCRIPTS = src/upgrade/omendb_upgrade
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
OMEN_HEADERS = $(wildcard src/*.h src/*/*.h src/*/*/*.h)

PG_CPPFLAGS = -I$(srcdir)/src
# what is not marked PGDLLEXPORT is hidden in every major, as it is from 16 on
PG_CPPFLAGS += -fvisibility=hidden '-DPGDLLEXPORT=__attribute__((visibility("default")))'
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type
ifneq (,$(findstring clang,$(CC)))
# the server was configured for gcc: its headers, and its flags
PG_CFLAGS += -Wno-ignored-attributes -Wno-unknown-warning-option \
	-Wno-ignored-optimization-argument
# comparisons of the vectorised nodes have no branches
PG_CFLAGS += -Wno-bitwise-instead-of-logical
endif
SHLIB_LINK = -lzstd -llz4

# RocksDB is in a program of its own, which lies beside the library: nothing it
# does can end a process of PostgreSQL
ROCKS = omendb_rocksdb
ROCKS_SOURCE = src/store/rocks/omendb_rocksdb.c
EXTRA_CLEAN = $(ROCKS)

REGRESS = $(patsubst sql/%.sql,%,$(filter-out sql/omendb--%.sql,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --inputdir=. --load-extension=omendb

# bitcode is of no use: access methods are called through pointers
override with_llvm = no

PG_CONFIG ?= pg_config
ifneq ($(shell command -v $(PG_CONFIG) 2>/dev/null),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
endif
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
$(OBJS): $(OMEN_HEADERS)

all: $(ROCKS)
$(ROCKS): $(ROCKS_SOURCE) src/store/rocks/protocol.h
	$(CC) $(CFLAGS) $(CPPFLAGS) $(srcdir)/$(ROCKS_SOURCE) $(LDFLAGS) -o $@ -lrocksdb -lpthread

install: install-rocks
install-rocks: $(ROCKS) installdirs
	$(INSTALL_PROGRAM) $(ROCKS) '$(DESTDIR)$(pkglibdir)/$(ROCKS)'
uninstall: uninstall-rocks
uninstall-rocks:
	rm -f '$(DESTDIR)$(pkglibdir)/$(ROCKS)'
.PHONY: install-rocks uninstall-rocks
else
srcdir = .
all install installcheck:
	@echo "PostgreSQL's server headers are missing (no $(PG_CONFIG));" \
		"'make demo' and 'make test' install them"; exit 1
endif

.PHONY: demo test test-majors conformance dist
demo:
	tools/setup.sh
	tools/demo.sh

# make test SUITES="regress tap": these alone
test:
	tools/setup.sh
	tools/test.sh $(SUITES)

test-majors:
	tools/majors.sh

conformance:
	tools/setup.sh
	tools/conformance.sh

dist:
	mkdir -p dist
	git archive --format=zip --prefix=omendb-$(EXTVERSION)/ \
		-o dist/omendb-$(EXTVERSION).zip HEAD
