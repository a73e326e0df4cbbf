#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The names of lib/: a breakpoint, a profile and a search find one function.

- No two static functions, whatever their files, have the same name; nor has one the name of a function of the C library
  that its file may call.
- A private function's name (conc__x_y) is not that of a public one (conc_x_y).
- A static function's name has two words at least: the file's noun and a verb.

check_names.py ROOT [FOLDER...]   FOLDER: only what concerns these folders of lib/
check_names.py --self-test        trees that break each rule, and each must be found
"""
import collections
import os
import re
import sys
import tempfile

# A definition: it begins a line, and its parameters are followed by a brace.
STATIC = re.compile(r"^static (?:inline )?[\w* \n]*?\b\**(\w+)\(([^;{}]*?)\)(?:\s*__attribute__\(\(.*?\)\))*\s*\{", re.M)
DECLARED = re.compile(r"\b(conc_(?!_)\w+)\(")
PRIVATE = re.compile(r"\b(conc__\w+)\(")


def without_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def sources(directory):
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as f:
                    yield path, without_comments(f.read())


def check(root, folders):
    wrong = []
    lib = os.path.join(root, "lib")
    places = collections.defaultdict(list)
    private = {}
    public = set()
    for _, text in sources(os.path.join(root, "include")):
        public.update(DECLARED.findall(text))
    for path, text in sources(lib):
        where = os.path.relpath(path, lib)
        for match in STATIC.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            places[match.group(1)].append((where, line))
        for match in PRIVATE.finditer(text):
            private.setdefault(match.group(1), (where, text.count("\n", 0, match.start(1)) + 1))
    for name, found in sorted(places.items()):
        here = "lib/%s:%d: %s()" % (found[0] + (name,))
        mine = not folders or any(where.split("/")[0] in folders for where, _ in found)
        if not mine:
            continue
        if len(found) > 1:
            wrong.append("%s: is also in %s" % (here, ", ".join("lib/%s:%d" % place for place in found[1:])))
        elif "_" not in name:
            wrong.append("%s: one word; say what it is about" % here)
    for name, (where, line) in sorted(private.items()):
        if "conc_" + name[len("conc__"):] in public and (not folders or where.split("/")[0] in folders):
            wrong.append("lib/%s:%d: %s(): there is a public conc_%s()" % (where, line, name, name[len("conc__"):]))
    return wrong


GOOD = {
    "include/conc/lock.h": "CONC_API void conc_lock_enter(conc_lock *lock);\n",
    "lib/sync/lock.c": "static bool lock_take(int a)\n{\n}\n/* static int take(void)\n{ */\n",
    "lib/sync/sem.c": "static bool\nsem_take(int a) { return a; }\nstatic const char *sem_name(void)\n{\n}\n",
    "lib/base/list.h": "static inline void list_push(struct list *l)\n{\n}\n",
}
BAD = [
    ("lib/sync/rlock.c", "static bool lock_take(void)\n{\n}\n", "is also in"),
    ("lib/sync/rlock.c", "static inline struct x *list_push(void)\n{\n}\n", "is also in"),
    ("lib/sync/rlock.c", "static int take(void)\n{\n}\n", "one word"),
    ("lib/sync/rlock.c", "void conc__lock_enter(void)\n{\n}\n", "there is a public conc_lock_enter()"),
]


def self_test():
    failed = 0
    for path, text, word in [("lib/base/list.h", GOOD["lib/base/list.h"], "")] + BAD:
        with tempfile.TemporaryDirectory() as root:
            for name, content in dict(GOOD, **{path: text}).items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                    f.write(content)
            wrong = check(root, [])
            if (not any(word in line for line in wrong)) if word else wrong:
                print("%s with %r: expected '%s', found %s" % (path, text, word, wrong or "nothing"))
                failed = 1
    return failed


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = check(sys.argv[1], sys.argv[2:])
    print("\n".join(found))
    sys.exit(bool(found))
