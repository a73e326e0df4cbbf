#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is the code that the documentation shows true?

- The README's program compiles as printed, and prints what the README says.
- Every line of code in a public header's comments (indented by five spaces or more) stands in tests/project/snippets.c,
  which is compiled.

usage: check_snippets.py SOURCE LIBRARY COMPILER...   (LIBRARY: libconc.a)
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


def main():
    source, library, compiler = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    wrong = check_headers(source) + check_readme(source, library, compiler)
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
