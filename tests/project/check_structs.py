#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of lib/bindings/structs.c has each struct that a public header defines, and no other.

check_structs.py ROOT
check_structs.py --self-test   tables that lack one, or have one too many, and each must be found
"""
import pathlib
import re
import sys

DEFINED = re.compile(r"^(?:typedef )?struct (conc_[a-z]\w*) \{", re.M)
LISTED = re.compile(r'STRUCT\((conc_\w+)\),|\{"(conc_\w+)", sizeof')


def check(headers, table):
    """What is wrong, a line each."""
    defined = set(DEFINED.findall(headers))
    listed = {a or b for a, b in LISTED.findall(table)}
    wrong = ["lib/bindings/structs.c lacks %s" % name for name in sorted(defined - listed)]
    return wrong + ["no public header defines %s" % name for name in sorted(listed - defined)]


def self_test():
    headers = "typedef struct conc_a {\n};\nstruct conc_b {\n};\nstruct conc__private {\n};\nstruct conc_c;\n"
    good = 'STRUCT(conc_a),\n{"conc_b", sizeof(struct conc_b), 1},\n'
    assert check(headers, good) == []
    assert check(headers, "STRUCT(conc_a),\n") == ["lib/bindings/structs.c lacks conc_b"]
    assert check(headers, good + "STRUCT(conc_c),\n") == ["no public header defines conc_c"]


def main(argv):
    if argv[1:] == ["--self-test"]:
        self_test()
        return 0
    root = pathlib.Path(argv[1])
    headers = "".join(path.read_text() for path in sorted((root / "include/conc").glob("*.h")))
    wrong = check(headers, (root / "lib/bindings/structs.c").read_text())
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
