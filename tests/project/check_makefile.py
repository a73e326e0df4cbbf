#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does make do what it and the documentation say?

- `make help` and `make` print the same list, with every command of the Makefile in it.
- Each command that the list, README.md or CONTRIBUTING.md name (make WORD) can be made.

check_makefile.py ROOT         check the tree
check_makefile.py --self-test  make trees that break each rule, and see that each is found
"""
import os
import re
import subprocess
import sys
import tempfile

# Phony targets that are only steps of others.
STEPS = {"with-tests-and-examples"}
PAGES = ["README.md", "CONTRIBUTING.md"]


def make(root, *args):
    """(exit status, what was printed) of make, as from a shell of the user's: this may run below another make."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "BUILD"))}
    done = subprocess.run(["make", "-C", root, "--no-print-directory", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, env=env)
    return done.returncode, done.stdout


def commands(text):
    """The words after `make` in what looks like a command: at the beginning of a line, or of quoted code."""
    return re.findall(r"(?:^ *|[`'])make +([a-z][a-z-]*)\b(?!=)", text, flags=re.M)


def check(root):
    """The list of what is wrong with a tree."""
    wrong = []
    status, listed = make(root, "help")
    if status != 0:
        return ["make help: exit status %d: %s" % (status, listed)]
    if make(root) != (status, listed):
        wrong.append("make alone does not print what make help does")
    with open(os.path.join(root, "Makefile")) as f:
        phony = re.search(r"^\.PHONY:(.*)", f.read(), flags=re.M)
    in_help = commands(listed)
    for target in phony.group(1).split() if phony else []:
        if target not in STEPS and target not in in_help:
            wrong.append("make help does not list %s" % target)
    named = {target: "make help" for target in in_help}
    for page in PAGES:
        path = os.path.join(root, page)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                named.update((target, page) for target in commands(f.read()))
    for target, where in sorted(named.items()):
        status, said = make(root, "-n", target, "BUILD=build-that-is-not-there")
        if status != 0:
            wrong.append("%s names make %s, which fails: %s" % (where, target, said))
    return wrong


# A tree that keeps the rules, and single changes each of which must be found, with a word of the message.
GOOD = {
    "Makefile": "help: ## this\n\t@printf 'make help\\nmake all\\n'\nall: ## build\n\t@cc\n.PHONY: help all\n",
    "README.md": "Call `make all`, or make sure of it:\n\n    make all BUILD=x\n",
}
MAKEFILE = GOOD["Makefile"]
BAD = [
    ("Makefile", "help:\n\t@echo 'make help      the chapters' programs'\n.PHONY: help\n", "make help: exit status 2"),
    ("Makefile", "all:\n\t@echo first\n" + MAKEFILE, "make alone does not print"),
    ("Makefile", MAKEFILE.replace("\\nmake all", ""), "make help does not list all"),
    ("Makefile", MAKEFILE.replace("make all", "make most"), "make help names make most, which fails"),
    ("README.md", "Call `make everything`.\n", "README.md names make everything, which fails"),
    ("CONTRIBUTING.md", "First:\n\n    make ready\n", "CONTRIBUTING.md names make ready, which fails"),
]


def self_test():
    failed = 0
    for path, text, word in [("README.md", GOOD["README.md"], "")] + BAD:
        with tempfile.TemporaryDirectory() as root:
            for name, content in dict(GOOD, **{path: text}).items():
                with open(os.path.join(root, name), "w") as f:
                    f.write(content)
            wrong = check(root)
            if (not any(word in line for line in wrong)) if word else wrong:
                print("%s with %r: expected '%s', found %s" % (path, text, word, wrong or "nothing"))
                failed = 1
    return failed


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = check(sys.argv[1])
    print("\n".join(found))
    sys.exit(bool(found))
