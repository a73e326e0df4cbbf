#!/bin/sh
# SPDX-License-Identifier: MIT
# Does scripts/configure make a build directory as asked, and change one that is there no more than asked? In a
# project of this test's own, with options like libconc's.
# usage: check_configure.sh SOURCE
set -eu
configure=$1/scripts/configure
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0
command -v meson >/dev/null || { echo "meson is missing"; exit 77; }
cd "$tmp"
echo "project('x')" >meson.build
for option in tests examples bench; do
    echo "option('$option', type : 'feature', value : 'auto')"
done >meson_options.txt

# has BUILD OPTION=VALUE...
has() {
    meson introspect --buildoptions "$1" | python3 -c '
import json, sys
has = {option["name"]: option["value"] for option in json.load(sys.stdin)}
wrong = [asked for asked in sys.argv[2:] if has[asked.split("=")[0]] != asked.split("=")[1]]
for asked in wrong:
    print("%s: %s is not so: %s" % (sys.argv[1], asked, has[asked.split("=")[0]]))
sys.exit(bool(wrong))' "$@" || failed=1
}
run() {
    "$configure" "$@" >log 2>&1 || {
        cat log
        echo "configure $* has failed"
        failed=1
    }
}

run new tests=enabled examples=enabled 'prefix=/a path' -- -Dexamples=disabled
has new tests=enabled examples=disabled bench=auto 'prefix=/a path'

# Nothing is asked that is not so: nothing is done.
run new tests=enabled -- -Dbench=enabled
[ ! -s log ] || {
    cat log
    echo 'something was done where nothing was to be done'
    failed=1
}

# By hand, and with another prefix: 'disabled' was chosen, 'auto' was not.
meson setup -Dtests=disabled -Dprefix=/usr old >log
run old tests=enabled examples=enabled prefix=/opt/x libdir=lib -- -Dbench=enabled
has old tests=disabled examples=enabled bench=auto prefix=/opt/x libdir=lib

# What fails is not hidden.
if "$configure" old prefix=relative -- >log 2>&1; then
    echo 'a prefix that meson refuses: exit status 0'
    failed=1
fi
exit $failed
