#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is the code that the documentation shows true?

- The README's program compiles as printed, and prints what the README says.
- Every line of code in a public header's comments (indented by five spaces or more) stands in tests/project/snippets.c,
  which is compiled.
- A file or folder of the tree that README.md, CONTRIBUTING.md or a page of docs/ names in code, or links to, is there.

check_snippets.py SOURCE LIBRARY COMPILER...   LIBRARY: libconc.a
check_snippets.py --self-test                  name files that are not there, and see that each is found
"""
import pathlib
import re
import subprocess
import sys
import tempfile

SNIPPET = re.compile(r"^ \*     +(\S.*)$")
COMMENT = re.compile(r"\s*(//.*|/\*.*?\*/)\s*$")


def normalized(line):
    return " ".join(COMMENT.sub("", line).split())


def block(text, language):
    found = re.search(r"^```%s\n(.*?)^```" % language, text, re.M | re.S)
    if not found:
        sys.exit("check_snippets: README.md has no ```%s block" % language)
    return found.group(1)


def check_readme(source, library, compiler):
    readme = (source / "README.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "first.c")
        program.write_text(block(readme, "c"))
        binary = str(program.with_suffix(""))
        subprocess.run(
            [*compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", str(source / "include"),
             str(program), library, "-luring", "-o", binary, "-pthread"], check=True)
        output = subprocess.run([binary], check=True, capture_output=True, text=True, timeout=60).stdout
    expected = block(readme, "output")
    if output != expected:
        return ["README.md: its program prints\n%sbut the README says\n%s" % (output, expected)]
    return []


def check_headers(source):
    known = {normalized(line) for line in (source / "tests/project/snippets.c").read_text().splitlines()}
    wrong = []
    for header in sorted((source / "include").rglob("*.h")):
        in_tag = False  # @return ...: its further lines are indented too, and are no code
        for number, line in enumerate(header.read_text().splitlines(), 1):
            in_tag = line.startswith(" * @") or (in_tag and line.startswith(" *  "))
            found = None if in_tag else SNIPPET.match(line)
            # Code, not the continuation of a list item: it ends like code.
            if found and re.search(r"[;{}]$", normalized(found.group(1))):
                if normalized(found.group(1)) not in known:
                    wrong.append("%s:%d: not in tests/project/snippets.c: %s" % (header, number, found.group(1)))
    return wrong


# ---- Names of files ----

# A path may be written from the root, or from one of these.
BASES = ["", "include", "lib", "examples", "tests"]
# Whatever has one of these endings and no folder is a file somewhere in the tree, but for those that the reader makes.
FILE = re.compile(r"[\w*-]+\.(?:c|h|S|sh|md)")
READERS_OWN = {"first.c"}
PATH = re.compile(r"(?<![\w/.$~<{-])(?!\./)[\w.*-]+(?:/[\w.*-]+)*/?(?![\w/(])")


def pages(source):
    found = [source / "README.md", source / "CONTRIBUTING.md", *sorted((source / "docs").rglob("*.md"))]
    return [page for page in found if page.exists()]


def code(text):
    """(line number, code) of what stands in backticks, in fences, indented, and in comments, which only editors see."""
    fenced = hidden = False
    for number, line in enumerate(text.splitlines(), 1):
        hidden = hidden and "-->" not in before or "<!--" in line
        before = line
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or hidden or line.startswith("    "):
            yield number, line
        else:
            for quoted in re.findall(r"`([^`]+)`", line):
                yield number, quoted


def is_there(source, path):
    """Whether a path that is written so is in the tree, or None: it is no path of the tree's."""
    if re.search(r"[A-Z]{4}", path) and "/" in path:
        return None  # tests/FLOOR/test_NAME.c: words to be replaced
    if "/" not in path:
        if not FILE.fullmatch(path) or path in READERS_OWN:
            return None
        folders = [source / base for base in BASES[1:] + ["docs", "bench", "scripts"]]
        return any(any(folder.rglob(path)) for folder in folders) or any(source.glob(path))
    bases = [source / base for base in BASES]
    if path.startswith("build") or not any((base / path.split("/")[0]).is_dir() for base in bases):
        return None
    # An example's program has its source's name.
    return any(any(base.glob(path.rstrip("/"))) for base in bases) or (source / "examples" / (path + ".c")).exists()


def check_paths(source):
    wrong = []
    for page in pages(source):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(source)
        for number, written in code(text):
            for path in PATH.findall(written):
                if is_there(source, path) is False:
                    wrong.append("%s:%d: there is no %s" % (name, number, path))
        for number, line in enumerate(text.splitlines(), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if not re.match(r"\w+:", target) and not (page.parent / target).exists():
                    wrong.append("%s:%d: there is no %s" % (name, number, target))
    return wrong


GOOD_PAGE = """\
`lib/wait/wait.c`, `wait/wait.h`, `wait.c`, `lib/`, `conc/lock.h`, `examples/run NAME`, `one/first --help`,
`/usr/lib/x.so`, `first.c`, `asyncio.timeout`, `threading.Lock`, `./first`, `tests/FLOOR/x.c`, `build/lib`, `<sys/wait.h>`, `tests/*.c`, lib/gone.c
lib/gone.c
[here](docs/page.md#part), [there](https://example.org/lib/gone.c)

    cc first.c -Iinclude && scripts/check build
"""
BAD_LINES = ["`lib/wait/gone.c`", "`wait/gone.h`", "`gone.c`", "`conc/gone.h`", "`tests/check_gone`", "`one/gone --help`",
             "`tests/gone_*.c`", "[here](gone.md)", "```sh\nscripts/gone build\n```", "    scripts/gone build",
             "<!-- by\nscripts/gone\n-->"]


def self_test():
    failed = 0
    for bad in [None] + BAD_LINES:
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder)
            for path in ["lib/wait/wait.c", "lib/wait/wait.h", "include/conc/lock.h", "examples/run", "docs/page.md",
                         "examples/one/first.c", "tests/test_x.c", "scripts/check", "build/made"]:
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_text("")
            (source / "README.md").write_text(GOOD_PAGE)
            if bad:
                (source / "docs/page.md").write_text(bad + "\n")
            wrong = check_paths(source)
            if len(wrong) != (1 if bad else 0):
                print("%r: found %s" % (bad, wrong or "nothing"))
                failed = 1
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    source, library, compiler = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    wrong = check_headers(source) + check_paths(source) + check_readme(source, library, compiler)
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
