#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the build into an empty folder; then, with nothing but what was installed and pkg-config, compile
# every public header alone as strict C11 and as C++17, and build and run a program in both languages,
# with the shared and with the static library. Then install as README.md says, and follow its own lines from there.
# usage: check_install.sh BUILD SOURCE; MESON, CC, CXX (may be empty) and SANITIZE (none, address ...) by environment
# shellcheck disable=SC2086 # flags and commands of several words stand unquoted
set -eu
build=$1 source=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
dest=$tmp/dest
fail() {
    echo "check_install: $*"
    exit 1
}
command -v pkg-config >/dev/null || { echo "pkg-config is missing"; exit 77; }

"$MESON" install -C "$build" --no-rebuild --quiet --destdir "$dest" >"$tmp/log" 2>&1 || {
    cat "$tmp/log"
    fail "meson install failed"
}

pc=$(find "$dest" -name conc.pc)
header=$(find "$dest" -name conc.h)
static=$(find "$dest" -name libconc.a)
shared=$(find "$dest" -name libconc.so)
for file in "$pc" "$header" "$static" "$shared"; do
    [ -f "$file" ] || fail "conc.pc, conc.h, libconc.a or libconc.so is missing"
done

# Nothing but headers, and all of them.
include=$(dirname "$header")
diff -r "$source/include/conc" "$include/conc" || fail "the installed headers are not those of include/conc"

# The paths in conc.pc are those of the system to come; SYSROOT puts $dest before them.
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR="$dest"
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
cflags=$(pkg-config --cflags conc)
libs=$(pkg-config --libs conc)
static_libs=$(pkg-config --static --libs conc | sed 's/-lconc\b/-l:libconc.a/')

# A sanitized library needs a sanitized program, and the same compiler's runtime.
sanitize=
if [ "${SANITIZE:-none}" != none ]; then
    sanitize="-fsanitize=$SANITIZE"
    case "$CC" in *clang*) c=clang ;; *) c=gnu ;; esac
    case "$CXX" in *clang*) cxx=clang ;; *) cxx=gnu ;; esac
    [ $c = $cxx ] || CXX=
fi

cd "$tmp"
cp "$source/tests/project/check_install.c" program.c
run() {
    LD_LIBRARY_PATH=$(dirname "$shared") "./$1" || fail "$1: exit status $?"
}

# try LANGUAGE COMPILER FLAGS...: the headers, then the program
try() {
    language=$1
    shift
    (cd "$include" && ls conc.h conc/*.h) | while read -r name; do
        printf '#include <%s>\n#include <%s>\n' "$name" "$name" >one.c
        "$@" $cflags -fsyntax-only one.c || fail "<$name> alone, as $language"
    done
    "$@" $cflags $sanitize program.c -o "$language-shared" -x none $libs || fail "$language, shared: does not build"
    "$@" $cflags $sanitize program.c -o "$language-static" -x none $static_libs || fail "$language, static: does not build"
    run "$language-shared"
    run "$language-static"
    readelf -d "$language-shared" | grep -q 'NEEDED.*\[libconc\.so\.0\.2\]' || fail "$language-shared does not need libconc.so.0.2"
    ! readelf -d "$language-static" | grep -q 'NEEDED.*libconc' || fail "$language-static needs a shared libconc"
}

try c $CC -std=c11 -Wall -Wextra -Wpedantic -Werror
if [ -n "$CXX" ]; then
    try c++ $CXX -x c++ -std=c++17 -Wall -Wextra -Werror
else
    echo "C++ is not checked: no C++ compiler, or not the sanitizer's"
fi

# ---- What README.md says: its program, its output, and its commands, word for word ----

# block LANGUAGE: the first block of that kind
block() {
    awk -v fence='```' -v language="$1" '$0 == fence language { on = 1; next } on && $0 == fence { exit } on' "$source/README.md"
}
# lines PATTERN: the lines of indented code from the first one that begins so, as long as there are such lines
lines() {
    awk -v pattern="^    $1" '$0 ~ pattern { on = 1 } on && !/^    / { exit } on' "$source/README.md"
}
block c >first.c
block output >first.out
lines 'cc first[.]c .*pkg-config' >system.sh
lines 'make install PREFIX=[$]HOME/conc' >home.sh
lines 'cc first[.]c .*-Lbuild' >build.sh
[ "$(wc -l <system.sh) $(wc -l <home.sh) $(wc -l <build.sh)" = '1 3 1' ] ||
    fail "README.md: its ways to build first.c are not found: $(cat system.sh home.sh build.sh)"

# Our compiler; and the clone, which is where README's reader is, with a build directory elsewhere: the one that is
# being tested is not to be changed, nor to be built by two at once.
program_make=$(command -v make || :)
cc() {
    command $CC $sanitize "$@" # the compiler may be called cc
}
make() {
    (
        unset MAKEFLAGS MFLAGS MAKELEVEL
        "$program_make" -C "$source" --no-print-directory BUILD="$tmp/own" SETUP="$setup" "$@"
    ) >make.log 2>&1 || {
        cat make.log
        fail "make $* failed"
    }
}
# follow FILE: the commands in it, then README's output
follow() {
    rm -f first
    (
        set -eu
        # shellcheck disable=SC1090 # README's
        . "./$1"
    ) >out 2>&1 || {
        cat out
        fail "README.md: these lines have failed: $(cat "$1")"
    }
    cmp -s out first.out || fail "README.md: it says $(cat first.out), and this is printed: $(cat out)"
}

unset LD_LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
ln -s "$source/include" include
ln -s "$build" build
follow build.sh

# One compiler and no sanitizer are enough for what make does.
[ -z "$sanitize" ] && [ -n "$program_make" ] || exit 0
setup='-Dtests=disabled -Dexamples=disabled -Dbench=false -Dbuildtype=plain'
export HOME="$tmp/home" CC
follow home.sh

# The same build directory, another prefix: everything goes there, and conc.pc says so. (Loader and pkg-config look
# into /usr/local by themselves.)
make install PREFIX="$tmp/local"
PKG_CONFIG_PATH=$tmp/local/lib/pkgconfig LD_LIBRARY_PATH=$tmp/local/lib
export PKG_CONFIG_PATH LD_LIBRARY_PATH
[ "$(pkg-config --variable=prefix conc)" = "$tmp/local" ] || fail "conc.pc has the prefix of another installation"
rm -r "$HOME"
follow system.sh

make install PREFIX=/opt/conc LIBDIR=lib64 DESTDIR="$tmp/stage"
for file in include/conc.h lib64/libconc.so lib64/libconc.a lib64/pkgconfig/conc.pc; do
    [ -f "$tmp/stage/opt/conc/$file" ] || fail "make install PREFIX=/opt/conc LIBDIR=lib64 DESTDIR=...: $file is not there"
done
grep -q '^prefix=/opt/conc$' "$tmp/stage/opt/conc/lib64/pkgconfig/conc.pc" || fail "DESTDIR has come into conc.pc"
