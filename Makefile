# SPDX-License-Identifier: MIT
# A thin layer over meson: the commands to remember. `make help` prints what stands behind each ##.

# The directory to build in. What SETUP holds is given to meson setup, when that directory is made; what TEST
# holds, to meson test.
BUILD ?= build
SETUP ?=
TEST ?=

# Where `make install` installs: in LIBDIR, below PREFIX, below DESTDIR. LIBDIR is not left to meson: on a
# Debian without dpkg-dev it would choose lib64, where neither the loader nor pkg-config looks.
PREFIX ?= /usr/local
LIBDIR ?= lib
DESTDIR ?=

# CC=clang asks for clang++ as well, unless CXX says otherwise.
ifneq ($(origin CC),default)
export CC
ifeq ($(origin CXX),default)
ifneq ($(findstring clang,$(CC)),)
export CXX := $(subst clang,clang++,$(CC))
endif
endif
endif

# The release that .clang-format is written for, where it is there.
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile
	@echo 'Variables: BUILD=build, CC=clang, SETUP="arguments of meson setup", TEST="arguments of meson test"'
	@echo 'and, for install: PREFIX=/usr/local, LIBDIR=lib (below PREFIX), DESTDIR='

demo: packages ## install missing packages, build, and run the chapters' programs against a server of its own
	@$(MAKE) --no-print-directory with-tests-and-examples
	@sh examples/demo '$(BUILD)'

check: packages ## install missing packages, build, and run all tests
	@$(MAKE) --no-print-directory with-tests-and-examples
	@scripts/check '$(BUILD)' $(TEST)

all: $(BUILD)/build.ninja ## build the library, the tests, the examples and the benchmarks
	@meson compile -C '$(BUILD)'

bench: all ## build, and run the benchmarks
	@for program in '$(BUILD)'/bench/bench_*; do \
	    if [ -f "$$program" ]; then "$$program" || exit 1; fi; \
	done

# As meson.build says: without the packages that only tests and examples need.
install: ## build, and install into PREFIX
	@scripts/configure '$(BUILD)' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' -- $(SETUP)
	@meson compile -C '$(BUILD)'
	@DESTDIR='$(abspath $(DESTDIR))' meson install -C '$(BUILD)' --no-rebuild
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then \
	    PATH=$$PATH:/usr/sbin:/sbin; \
	    if command -v ldconfig >/dev/null; then echo 'Running ldconfig'; ldconfig; fi; \
	fi

packages: ## install the packages that are missing, through apt-get, as root or with sudo
	@scripts/install-packages

format: ## run clang-format on every tracked C file
	git ls-files '*.c' '*.h' | xargs -r $(CLANG_FORMAT) -i

format-check: ## say where the layout, or a comment, is not what it should be
	@scripts/check-style

# Only what meson made.
clean: ## remove the build directory
	@if [ -d '$(BUILD)/meson-private' ]; then rm -rf '$(BUILD)'; fi

# What demo and check need, after packages. A directory that was made while something was missing gets its tests
# and examples now; one that was made without them on purpose stays so.
with-tests-and-examples:
	@scripts/configure '$(BUILD)' tests=enabled examples=enabled -- $(SETUP)
	@meson compile -C '$(BUILD)'

$(BUILD)/build.ninja:
	@scripts/configure '$(BUILD)' tests=enabled examples=enabled -- $(SETUP)

.PHONY: help demo check all bench install packages format format-check clean with-tests-and-examples
