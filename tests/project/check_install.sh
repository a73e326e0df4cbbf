#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the build into an empty folder; then, with nothing but what was installed and pkg-config, compile
# every public header alone as strict C11 and as C++17, and build and run a program in both languages,
# with the shared and with the static library.
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
    readelf -d "$language-shared" | grep -q 'NEEDED.*\[libconc\.so\.0\]' || fail "$language-shared does not need libconc.so.0"
    ! readelf -d "$language-static" | grep -q 'NEEDED.*libconc' || fail "$language-static needs a shared libconc"
}

try c $CC -std=c11 -Wall -Wextra -Wpedantic -Werror
if [ -n "$CXX" ]; then
    try c++ $CXX -x c++ -std=c++17 -Wall -Wextra -Werror
else
    echo "C++ is not checked: no C++ compiler, or not the sanitizer's"
fi
