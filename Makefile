# SPDX-License-Identifier: Apache-2.0
#
# One Makefile for the whole tree, not recursive. It finds sources by itself:
#   src/<folder>/*.c, *.cc          -> $(B)/lib/lib<folder>.a
#   src/server/main.c               -> $(B)/bin/kalamdb-server
#   tests/unit/<folder>/*.c         -> $(B)/tests/unit_<folder>, linked with only what src/LAYERS allows
#   tests/fuzz/fuzz_<name>.c        -> $(B)/tests/fuzz_<name> (replays its corpus; `make fuzz` searches)
#   tests/{sql,live,wire,model}/*.c -> one program $(B)/tests/<folder> each
#   tests/fault/libfault.c          -> $(B)/tests/libfault.so
#   bench/<name>.c, bench/<name>/*.c -> $(B)/bench/<name>
# `make help` lists the targets. O=<folder> moves all output, SAN=asan|tsan builds a variant under it.

MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

O ?= build
SAN ?=
B := $(O)$(if $(SAN),/$(SAN))
ABS_B := $(abspath $(B))
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
ifneq (,$(findstring clang,$(notdir $(CC))))
CXX := $(subst clang,clang++,$(CC))
endif
AR ?= ar
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$(1)' '$(2)')

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wvla
C_WARNINGS := $(WARNINGS) -Wstrict-prototypes -Wmissing-prototypes
OPTIMIZE ?= -O2 -g
DEFINES := -D_GNU_SOURCE
SAN_FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_FLAGS_tsan := -fsanitize=thread
SAN_FLAGS_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
ifdef SAN
SAN_FLAGS := $(SAN_FLAGS_$(SAN)) -fno-omit-frame-pointer
$(if $(SAN_FLAGS_$(SAN)),,$(error SAN=$(SAN) is unknown; use asan or tsan))
DEFINES += -DKALAM_DEBUG
else
DEFINES += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
INCLUDES := -Isrc -isystem $(B)/duckdb -isystem /usr/share/include -isystem /usr/share/include/llhttp
COMMON := $(OPTIMIZE) -fstack-protector-strong $(DEFINES) $(INCLUDES) $(SAN_FLAGS) -MMD -MP
CFLAGS_ALL := -std=gnu17 $(C_WARNINGS) $(COMMON) $(CFLAGS)
CXXFLAGS_ALL := -std=c++17 $(WARNINGS) $(COMMON) $(CXXFLAGS)
LDFLAGS_ALL := $(SAN_FLAGS) -Wl,--as-needed -Wl,-rpath,'$$ORIGIN/../duckdb' $(LDFLAGS)
THIRD_PARTY := -lrocksdb -luv -ljwt -ljansson -lssl -lcrypto -lcrypt -lzip -lz -lstdc++ -lpthread -ldl -lm

# ---- What there is -------------------------------------------------------------------------------

# folder:folder,folder… out of src/LAYERS: what it may include and what that needs in turn, all of it
# above it in the file; `*` means every folder above.
LAYERS := $(shell awk -F'[:|]' '!/^ *\#/ && NF > 1 { gsub(/ /, "", $$1); f = $$1; needs = ""; \
    if ($$2 ~ /\*/) $$2 = all; n = split($$2, d, " "); split("", seen); \
    for (i = 1; i <= n; i++) { m = split(d[i] "," below[d[i]], e, ","); \
        for (j = 1; j <= m; j++) if (e[j] != "" && !(e[j] in seen)) { \
            seen[e[j]] = 1; needs = needs (needs == "" ? "" : ",") e[j] } } \
    below[f] = needs; all = all " " f; print f ":" needs }' src/LAYERS)
FOLDERS := $(foreach l,$(LAYERS),$(firstword $(subst :, ,$(l))))
comma := ,
# may-use(folder): the folder and all that it may be linked with
may-use = $(1) $(subst $(comma), ,$(patsubst $(1):%,%,$(filter $(1):%,$(LAYERS))))

SOURCES := $(sort $(wildcard src/*/*.c src/*/*.cc))
object = $(patsubst %,$(B)/obj/%.o,$(1))
LIB_FOLDERS := $(foreach f,$(FOLDERS),$(if $(filter src/$(f)/%,$(SOURCES)),$(f)))
LIBS := $(LIB_FOLDERS:%=$(B)/lib/lib%.a)
# libs-of(folders): the archives of those folders that have sources, and the third party they need
libs-of = $(foreach f,$(sort $(1)),$(if $(filter $(f),$(LIB_FOLDERS)),$(B)/lib/lib$(f).a)) \
    $(if $(filter http,$(1)),$(if $(filter http,$(LIB_FOLDERS)),$(B)/lib/libllhttp.a)) \
    $(if $(filter engine,$(1)),$(if $(filter engine,$(LIB_FOLDERS)),$(B)/duckdb/libduckdb.so))
# Which folders a test program names in its includes decides what it is linked with.
included-folders = $(sort $(shell sed -n 's,^ *\# *include "\([a-z]*\)/.*,\1,p' $(1) /dev/null))
allowed-by-includes = $(sort base $(foreach f,$(call included-folders,$(1)),$(call may-use,$(f))))

# The engine as one library for programs that embed it: everything that knows no HTTP.
EMBEDDED := $(filter-out http api server,$(LIB_FOLDERS))
KALAMDB := $(if $(EMBEDDED),$(B)/lib/libkalamdb.a)
SERVER := $(if $(wildcard src/server/main.c),$(B)/bin/kalamdb-server)
UNIT_FOLDERS := $(sort $(patsubst tests/unit/%/,%,$(dir $(wildcard tests/unit/*/*.c))))
UNIT_TESTS := $(UNIT_FOLDERS:%=$(B)/tests/unit_%)
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TESTS := $(FUZZ_NAMES:%=$(B)/tests/fuzz_%)
SUITE_FOLDERS := $(sort $(foreach f,sql live wire model,$(if $(wildcard tests/$(f)/*.c),$(f))))
SUITE_TESTS := $(SUITE_FOLDERS:%=$(B)/tests/%)
FAULT_TESTS := $(if $(wildcard tests/fault/libfault.c),$(B)/tests/libfault.so) \
    $(if $(wildcard tests/fault/selftest.c),$(B)/tests/fault_selftest) \
    $(if $(wildcard tests/fault/database_fault.c),$(B)/tests/fault_database) \
    $(if $(wildcard tests/fault/keep_fault.c),$(B)/tests/fault_keep) \
    $(if $(wildcard tests/fault/hot_fault.c),$(B)/tests/fault_hot)
BENCHES := $(sort $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c)) \
    $(patsubst bench/%/,$(B)/bench/%,$(dir $(wildcard bench/*/*.c))))
TEST_PROGRAMS := $(UNIT_TESTS) $(FUZZ_TESTS) $(SUITE_TESTS) $(FAULT_TESTS)

# ---- Targets -------------------------------------------------------------------------------------

.PHONY: all libs run setup test unit check asan tsan fuzz bench crash fault history model fmt clean help tests
all: $(SERVER) $(KALAMDB) ## build the server (build/bin/kalamdb-server) and the library (build/lib)
libs: $(LIBS) $(KALAMDB) ## build the libraries only
setup: $(O)/.packages $(B)/duckdb/libduckdb.so ## install the packages and fetch DuckDB, nothing else
tests: $(SERVER) $(TEST_PROGRAMS) ## build every test program
run: $(SERVER) ## set up, build and start the server (CONFIG=<file> names a settings file)
	$(Q)exec $(B)/bin/kalamdb-server $(CONFIG)
test: $(SERVER) $(TEST_PROGRAMS) ## set up, build and run every test; ONLY=<word> runs some of them
	$(Q)BUILD=$(ABS_B) tools/run-tests $(ONLY)
unit: $(UNIT_TESTS) $(FUZZ_TESTS) ## unit tests and fuzz corpora only; ONLY=<word> runs some of them
	$(Q)BUILD=$(ABS_B) SCRIPTS=no tools/run-tests $(ONLY)
asan: $(O)/.packages ## unit tests and corpora under address and undefined-behaviour sanitizers; WHAT=server: whole servers
	$(Q)$(MAKE) SAN=asan $(if $(WHAT),sanitized,unit)
tsan: $(O)/.packages ## the same under the thread sanitizer
	$(Q)$(MAKE) SAN=tsan $(if $(WHAT),sanitized,unit)
.PHONY: sanitized
sanitized: $(SERVER) $(TEST_PROGRAMS)
	$(Q)BUILD=$(ABS_B) tools/run-sanitized $(WHAT)
check: $(O)/.packages-check $(B)/duckdb/libduckdb.so ## every rule that a tool can prove
	$(Q)BUILD=$(ABS_B) tools/check
fmt: $(O)/.packages-check ## format the C sources
	$(Q)tools/check-format --write
fuzz: $(O)/.packages-check ## search with each fuzz target for FUZZ_SECONDS (30); ONLY=<name> for one
	$(Q)$(MAKE) SAN=fuzz CC=clang fuzz-search
crash: $(SERVER) $(TEST_PROGRAMS) ## 1,000 kills, 300 power cuts, 100 failing disks: 15 minutes (CRASH_KILLS, …, CRASH_LANES)
	$(Q)BUILD=$(ABS_B) CRASH_KILLS=$${CRASH_KILLS:-$${KALAM_CRASH_ROUNDS:-1000}} \
		CRASH_CUTS=$${CRASH_CUTS:-$${KALAM_CRASH_ROUNDS:-300}} \
		CRASH_FAILS=$${CRASH_FAILS:-$${KALAM_CRASH_ROUNDS:-100}} CRASH_LANES=$${CRASH_LANES:-2} CRASH_SELFTEST=all tools/run-named crash
model: $(SERVER) $(TEST_PROGRAMS) ## a million random changes against live queries, stops and kills (KALAM_MODEL_EVENTS)
	$(Q)BUILD=$(ABS_B) KALAM_MODEL_EVENTS=$${KALAM_MODEL_EVENTS:-1000000} tools/run-named model
history: $(SERVER) ## 15 minutes of transactions, subscriptions, ALTER and kills, each history checked (HISTORY_SECONDS, HISTORY_SEED)
	$(Q)BUILD=$(ABS_B) HISTORY_SECONDS=$${HISTORY_SECONDS:-900} HISTORY_SELFTEST=all tools/run-named history
fault: $(TEST_PROGRAMS) ## a disk that fails: every call of every scene fails, writes short, loses power (KALAM_FAULT_POINTS, KALAM_FAULT_LANES)
	$(Q)BUILD=$(ABS_B) KALAM_FAULT_POINTS=$${KALAM_FAULT_POINTS:-all} KALAM_FAULT_LANES=$${KALAM_FAULT_LANES:-2} \
	    KALAM_FAULT_KEEP_POINTS=$${KALAM_FAULT_KEEP_POINTS:-all} KALAM_FAULT_HOT_POINTS=$${KALAM_FAULT_HOT_POINTS:-all} tools/run-named fault
bench: $(SERVER) $(BENCHES) ## measure
	$(Q)BUILD=$(ABS_B) tools/run-named bench
clean: ## remove everything built (downloads stay in the cache)
	$(Q)rm -rf $(B)
help: ## this list
	$(Q)sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 15

# ---- Set-up --------------------------------------------------------------------------------------

$(O)/.packages: tools/install-deps tools/packages
	$(Q)tools/install-deps build && mkdir -p $(O) && touch $@
$(O)/.packages-check: tools/install-deps tools/packages
	$(Q)tools/install-deps build check && mkdir -p $(O) && touch $@
$(B)/duckdb/libduckdb.so: tools/fetch-duckdb | $(O)/.packages
	$(Q)tools/fetch-duckdb $(B)/duckdb && touch $@
$(B)/duckdb/duckdb.h: $(B)/duckdb/libduckdb.so ;

# ---- Rules ---------------------------------------------------------------------------------------

# Other flags than last time: everything is compiled again.
FLAGS_FILE := $(B)/obj/.flags
FLAGS_NOW := $(CC) $(CFLAGS_ALL) $(CXX) $(CXXFLAGS_ALL)
ifneq ($(file <$(FLAGS_FILE)),$(FLAGS_NOW))
ifeq (,$(filter clean help fmt,$(MAKECMDGOALS)))
$(shell mkdir -p $(B)/obj)
$(file >$(FLAGS_FILE),$(FLAGS_NOW))
endif
endif

$(B)/obj/%.c.o: %.c $(FLAGS_FILE) | $(O)/.packages
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS_ALL) -c $< -o $@
$(B)/obj/%.cc.o: %.cc $(FLAGS_FILE) | $(O)/.packages
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) $(CXXFLAGS_ALL) -c $< -o $@
$(call object,$(filter src/engine/%,$(SOURCES))): | $(B)/duckdb/libduckdb.so

define library
$(B)/lib/lib$(1).a: $(call object,$(filter src/$(1)/%,$(SOURCES)))
	$$(Q)mkdir -p $$(@D) && rm -f $$@ && $(AR) rcs $$@ $$^
endef
$(foreach f,$(LIB_FOLDERS),$(eval $(call library,$(f))))

# q and not r: folders may have files of the same name.
$(B)/lib/libkalamdb.a: $(call object,$(foreach f,$(EMBEDDED),$(filter src/$(f)/%,$(SOURCES))))
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) qcs $@ $^

# Target variables, so that a new commit rebuilds two files and not all of them.
BUILD_DATE := $(shell git log -1 --format=%cs 2>/dev/null || date -u +%F)
$(call object,src/server/main.c src/server/server.c): CFLAGS_ALL += -DKALAMDB_BUILD_DATE='"$(BUILD_DATE)"'

# Somebody else's code, compiled as it stands: none of our warnings.
LLHTTP := llhttp api http
$(LLHTTP:%=$(B)/obj/llhttp/%.o): $(B)/obj/llhttp/%.o: | $(O)/.packages
	$(Q)mkdir -p $(@D) && $(CC) $(OPTIMIZE) $(SAN_FLAGS) $(INCLUDES) -w -c /usr/share/llhttp/$*.c -o $@
$(B)/lib/libllhttp.a: $(LLHTTP:%=$(B)/obj/llhttp/%.o)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

link = $(call say,LINK,$@)
LINK = $(Q)mkdir -p $(@D) && $(CC) -o $@ $(filter %.o,$^) $(LDFLAGS_ALL) -Wl,--start-group \
    $(filter %.a,$^) -Wl,--end-group $(filter %.so,$^) $(THIRD_PARTY)

$(B)/bin/kalamdb-server: $(call object,src/server/main.c) $(call libs-of,$(FOLDERS))
	$(link)
	$(LINK)

define unit_test
$(B)/tests/unit_$(1): $(call object,tests/unit/main.c $(sort $(wildcard tests/unit/$(1)/*.c))) \
    $(call libs-of,$(call may-use,$(1)))
	$$(link)
	$$(LINK)
endef
$(foreach f,$(UNIT_FOLDERS),$(eval $(call unit_test,$(f))))
$(B)/obj/tests/%.o: CFLAGS_ALL += -Itests/unit
$(call object,$(filter tests/unit/engine/% %/test_export.c,$(wildcard tests/unit/*/*.c))): | $(B)/duckdb/libduckdb.so

define suite
$(B)/tests/$(1): $(call object,$(sort $(wildcard tests/$(1)/*.c))) \
    $(call libs-of,$(call allowed-by-includes,$(wildcard tests/$(1)/*.[ch])))
	$$(link)
	$$(LINK)
endef
$(foreach f,$(SUITE_FOLDERS),$(eval $(call suite,$(f))))

ifeq ($(SAN),fuzz)
FUZZ_MAIN :=
$(B)/tests/fuzz_%: LDFLAGS_ALL += -fsanitize=fuzzer
else
FUZZ_MAIN := tests/fuzz/main.c
endif
define fuzz_test
$(B)/tests/fuzz_$(1): $(call object,$(FUZZ_MAIN) tests/fuzz/fuzz_$(1).c) \
    $(call libs-of,$(call allowed-by-includes,tests/fuzz/fuzz_$(1).c))
	$$(link)
	$$(LINK)
endef
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzz_test,$(f))))
$(B)/obj/tests/fuzz/%.o: CFLAGS_ALL += -Wno-missing-prototypes
.PHONY: fuzz-search
fuzz-search: $(FUZZ_TESTS)
	$(Q)BUILD=$(ABS_B) tools/fuzz-search $(ONLY)

define bench
$(B)/bench/$(1): $(call object,$(sort $(wildcard bench/$(1).c bench/$(1)/*.c)))
	$$(link)
	$$(LINK)
endef
$(foreach f,$(BENCHES:$(B)/bench/%=%),$(eval $(call bench,$(f))))
$(B)/obj/bench/%.o: CFLAGS_ALL += -Ibench
$(B)/bench/tiers: $(B)/duckdb/libduckdb.so # measured beside DuckDB as it comes
$(call object,bench/tiers/scan.c): | $(B)/duckdb/libduckdb.so

# The disk-fault library is preloaded into foreign processes: it links nothing of ours, and is never
# built with a sanitizer.
FAULT_FLAGS := -std=gnu17 $(C_WARNINGS) -O2 -g $(DEFINES)
$(B)/tests/libfault.so: $(wildcard tests/fault/libfault*.c tests/fault/*.h) | $(O)/.packages
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(FAULT_FLAGS) -U_FORTIFY_SOURCE -fPIC -shared -fvisibility=hidden \
	    $(filter %.c,$^) -o $@ -ldl -lpthread
$(B)/tests/fault_selftest: tests/fault/selftest.c | $(O)/.packages
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(FAULT_FLAGS) $(filter %.c,$^) -o $@ -lpthread
$(B)/tests/fault_hot: $(call object,tests/fault/trial.c tests/fault/hot_fault.c) $(call libs-of,$(call may-use,hot))
	$(link)
	$(LINK)
$(B)/tests/fault_keep: $(call object,tests/fault/trial.c $(wildcard tests/fault/keep*.c) tests/unit/table/fixture.c) \
    $(call libs-of,$(call may-use,table))
	$(link)
	$(LINK)
$(B)/tests/fault_database: $(call object,tests/fault/trial.c tests/fault/database_fault.c tests/unit/table/fixture.c \
    $(filter-out %/test_model.c,$(wildcard tests/unit/table/*model*.c))) $(call libs-of,$(call may-use,table))
	$(link)
	$(LINK)

.PRECIOUS: $(B)/obj/%.o
-include $(shell test -d $(B)/obj && find $(B)/obj -name '*.d')
