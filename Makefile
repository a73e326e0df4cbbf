# SPDX-License-Identifier: MIT
# A thin layer over meson: the commands to remember.

BUILD ?= build
# More arguments for meson setup (when BUILD is made), and for meson test.
SETUP ?=
TEST ?=

# CC=clang asks for clang++ as well, unless CXX says otherwise.
ifneq ($(origin CC),default)
export CC
ifeq ($(origin CXX),default)
ifneq ($(findstring clang,$(CC)),)
export CXX := $(subst clang,clang++,$(CC))
endif
endif
endif

help:
	@echo 'make demo      build, then run the chapters' programs against a server of its own'
	@echo 'make check     build, then run all tests'
	@echo 'make bench     build, then run the benchmarks'
	@echo 'make install   build and install (DESTDIR=...; SETUP=--prefix=/usr before the first build)'
	@echo 'make format    clang-format on every tracked C file'
	@echo 'make clean     remove the build directory'
	@echo 'Variables: BUILD=build, CC=clang, SETUP="arguments of meson setup", TEST="arguments of meson test"'

packages:
	@scripts/install-packages

# The packages are there now, so a build made here has everything. One made by hand has what it asked for.
$(BUILD)/build.ninja: | packages
	meson setup -Dtests=enabled -Dexamples=enabled $(SETUP) $(BUILD)

all: packages $(BUILD)/build.ninja
	@meson compile -C $(BUILD)

demo: all
	@sh examples/demo $(BUILD)

check: all
	@scripts/check $(BUILD) $(TEST)

bench: all
	@for program in $(BUILD)/bench/bench_*; do \
	    if [ -f $$program ]; then $$program || exit 1; fi; \
	done

# As meson.build says, without packages that only tests and examples need.
install:
	@test -f $(BUILD)/build.ninja || meson setup $(SETUP) $(BUILD)
	@meson compile -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

format:
	git ls-files '*.c' '*.h' | xargs -r clang-format -i

format-check:
	git ls-files '*.c' '*.h' | xargs -r clang-format --dry-run --Werror

# Only what meson made.
clean:
	@if [ -d $(BUILD)/meson-private ]; then rm -rf $(BUILD); fi

.PHONY: help packages all demo check bench install format format-check clean
