#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The floors of lib/: a source includes internal headers of its own floor and of those below, never above; and of lib/loop
only lib/loop does.

check_floors.py ROOT         check the tree, name every include that breaks a rule
check_floors.py --self-test  make trees that break each rule, and see that each is found
"""
import os
import re
import sys
import tempfile

# From the ground up.
FLOORS = ["base", "wait", "sync", "queue", "future", "thread", "executor", "task", "op", "backend", "loop", "io", "shared", "process", "process_pool", "bindings"]

# Floors that only they themselves include. Whoever looked into a loop would ask whether it is in a task.
PRIVATE = ["loop"]

ORDER = "; from the ground up the floors are " + ", ".join(FLOORS)


def includes(path):
    """(line number, the include as written, the name in it) of each #include."""
    text = open(path, encoding="utf-8").read()
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"]([^>"]*)[>"])', line)
        if match:
            yield number, match.group(1), match.group(2)


def sources(directory):
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".S")):
                yield os.path.join(folder, name)


def internal_rule(root, path, written, name):
    """Why a source of lib/ may not include this, or None."""
    lib = os.path.join(root, "lib")
    own = os.path.relpath(path, lib).split(os.sep)[0]
    if name == "conc.h":
        return "include the header of each module used, not all of them"
    if name.startswith("conc/"):
        return None if os.path.exists(os.path.join(root, "include", name)) else "there is no such public header"
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if written[0] == '"' and os.path.exists(beside):
        name = os.path.relpath(beside, lib)
    floor = name.split("/")[0]
    if floor not in FLOORS or not os.path.exists(os.path.join(lib, name)):
        return None if written[0] == "<" else "there is no such internal header"
    if FLOORS.index(floor) > FLOORS.index(own):
        return "%s lies below %s and must not include it%s" % (own, floor, ORDER)
    if floor in PRIVATE and own != floor:
        return "nobody but %s includes its internal headers" % floor
    return None


def public_rule(root, path, written, name):
    """Why a public header may not include this, or None."""
    include = os.path.join(root, "include")
    if name == "conc.h":
        return "conc.h includes the others, none of them includes it"
    if name.startswith("conc/"):
        return None if os.path.exists(os.path.join(include, name)) else "there is no such public header"
    if written[0] == "<" and not os.path.exists(os.path.join(root, "lib", name)):
        return None
    return "a public header includes only <conc/...> and the system's headers"


def reached(root, name, seen):
    """The public headers that a public header includes, directly or not."""
    path = os.path.join(root, "include", name)
    if name not in seen and os.path.exists(path):
        seen.add(name)
        for _, _, inner in includes(path):
            reached(root, inner, seen)
    return seen


def check(root):
    """The list of what is wrong with a tree."""
    wrong = []
    lib = os.path.join(root, "lib")
    include = os.path.join(root, "include")
    for name in sorted(os.listdir(lib)):
        if os.path.isdir(os.path.join(lib, name)) and name not in FLOORS:
            wrong.append("lib/%s: not in the list of floors (in tests/project/check_floors.py)" % name)
        elif name.endswith((".c", ".h", ".S")):
            wrong.append("lib/%s: a source lies in a floor, not beside them" % name)
    for floor in FLOORS:
        for path in sources(os.path.join(lib, floor)):
            for line, written, name in includes(path):
                rule = internal_rule(root, path, written, name)
                if rule:
                    wrong.append("%s:%d: %s: %s" % (os.path.relpath(path, root), line, written, rule))
    everything = reached(root, "conc.h", set())
    for path in sources(include):
        for line, written, name in includes(path):
            rule = public_rule(root, path, written, name)
            if rule:
                wrong.append("%s:%d: %s: %s" % (os.path.relpath(path, root), line, written, rule))
        # NAME_impl.h is for those who write their own NAME; conc.h leaves it out.
        name = os.path.relpath(path, include)
        if name not in everything and not name.endswith("_impl.h"):
            wrong.append("include/conc.h: does not include <%s>" % name)
    return wrong


# A tree that keeps the rules, and single changes each of which must be found, with a word of the message.
GOOD = {
    "include/conc.h": "#include <conc/lock.h>\n",
    "include/conc/base.h": "#include <stdint.h>\n",
    "include/conc/lock.h": "#include <conc/base.h>\n",
    "lib/base/clock.h": "#include <conc/base.h>\n#include <time.h>\n",
    "lib/wait/wait.h": '#include "base/clock.h"\n',
    "lib/wait/wait.c": '#include "wait.h"\n#include "wait/wait.h"\n#include <sys/wait.h>\n#include <wait.h>\n',
    "lib/loop/loop_impl.h": '#include "op/op.h"\n',
    "lib/loop/task.c": '#include "loop/loop_impl.h"\n',
    "lib/op/op.h": '#include "wait/wait.h"\n',
    "lib/sync/lock.h": '/*\n#include "executor/pool.h"\n*/\n#include "wait/wait.h"\n',
}
BAD = [
    ("lib/wait/wait.c", '\n#include "sync/lock.h"\n', "lib/wait/wait.c:2: "),
    ("lib/wait/wait.c", "#include <sync/lock.h>\n", "wait lies below sync"),
    ("lib/wait/wait.c", '#include "../sync/lock.h"\n', "wait lies below sync"),
    ("lib/wait/wait.c", '#include "gone.h"\n', "no such internal header"),
    ("lib/wait/wait.c", "#include <conc/gone.h>\n", "no such public header"),
    ("lib/wait/wait.c", "#include <conc.h>\n", "include the header of each module"),
    ("lib/op/op.c", '#include "loop/loop_impl.h"\n', "op lies below loop"),
    ("lib/backend/epoll.c", '#include "loop/loop_impl.h"\n', "backend lies below loop"),
    ("lib/io/socket.c", '#include "loop/loop_impl.h"\n', "nobody but loop includes its"),
    ("lib/shared/wait.c", '#include "loop/loop_impl.h"\n', "nobody but loop includes its"),
    ("lib/process/spawner.c", '#include "loop/loop_impl.h"\n', "nobody but loop includes its"),
    ("lib/process_pool/pool.c", '#include "loop/loop_impl.h"\n', "nobody but loop includes its"),
    ("lib/attic/old.c", "", "lib/attic: not in the list of floors"),
    ("lib/loose.c", "", "lies in a floor"),
    ("include/conc/lock.h", '#include "wait/wait.h"\n', "a public header includes only"),
    ("include/conc/lock.h", "#include <conc/base.h>\n#include <wait/wait.h>\n", "a public header includes only"),
    ("include/conc/lock.h", "#include <conc.h>\n", "none of them includes it"),
    ("include/conc/forgotten.h", "", "does not include <conc/forgotten.h>"),
]


def self_test():
    failed = 0
    for path, text, word in [("lib/base/clock.h", GOOD["lib/base/clock.h"], "")] + BAD:
        with tempfile.TemporaryDirectory() as root:
            for name, content in dict(GOOD, **{path: text}).items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
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
