#!/bin/sh
# SPDX-License-Identifier: MIT
# Proof that scripts/symbols --check can fail: each tree below breaks one thing, and it has to say which.
# usage: check_symbols_fails.sh SYMBOLS LIBCONC.SO
set -eu
symbols=$1 library=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/include/conc" "$root/lib"

# Headers of two functions, in the ways that declarations come: over lines, with attributes, inline.
good() {
    echo '#include <conc/x.h>' >"$root/include/conc.h"
    cat >"$root/include/conc/x.h" <<'EOF'
#define CONC_API __attribute__((visibility("default")))
extern "C" {
/* CONC_API int conc_commented(void); */
typedef int conc_type(void *arg);
struct conc_x { int (*run)(void *arg); };
CONC_API __attribute__((format(printf, 1, 2)))
int conc_one(const char *format, ...);
static inline int conc_inline(void) { if (1) { return conc_one("x"); } return 0; }
CONC_API struct conc_x *
conc_two(int (*callback)(void *arg),
         void *arg);
}
EOF
    echo 'LIBCONC_0.2 { global: conc_one; conc_two; local: *; };' >"$root/lib/conc.map"
}

failed=0
# expect WORD [LIBRARY]: the check of the tree fails and says WORD.
expect() {
    if out=$("$symbols" --root "$root" --check ${2:+"$2"}) || ! echo "$out" | grep -qF "$1"; then
        echo "expected '$1', got '$out'"
        failed=1
    fi
}

good
"$symbols" --root "$root" --check || failed=1

good
echo 'LIBCONC_0.2 { global: conc_one; local: *; };' >"$root/lib/conc.map"
expect 'lib/conc.map lacks conc_two'

good
echo 'LIBCONC_0.2 { global: conc_one; conc_two; conc_three; local: *; };' >"$root/lib/conc.map"
expect 'lib/conc.map has conc_three'

good
echo 'int conc_three(void);' >>"$root/include/conc/x.h"
expect 'conc_three is declared without CONC_API'

good
expect "$(basename "$library") lacks conc_one" "$library"
expect "$(basename "$library") has conc_now" "$library"

exit $failed
