#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does scripts/check-porting fail when it should? Each test breaks one thing in a copy of what it reads.

test_check_porting.py SOURCE [TEST ...]
"""
import os
import shutil
import subprocess
import sys
import tempfile

import runner

SOURCE = sys.argv[1]
READ = ["docs/porting.md", "docs/porting", "include/conc", "lib/conc.map", "tests/porting/ports",
        "tests/porting/in_short.c", "docs/grammar.md", "CHANGELOG.md"]
CHECK = [sys.executable, os.path.join(SOURCE, "scripts/check-porting"), "--root"]
NAMES = "scripts/python-3.13-names.txt"
THREADING = "docs/porting/threading.md"


class Tree:
    def __init__(self, folder):
        self.folder = folder
        for path in READ + [NAMES]:
            source, target = os.path.join(SOURCE, path), os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, target)

    def text(self, path):
        with open(os.path.join(self.folder, path)) as f:
            return f.read()

    def write(self, path, text):
        with open(os.path.join(self.folder, path), "w") as f:
            f.write(text)

    def replace(self, path, old, new):
        text = self.text(path)
        if old not in text:
            raise AssertionError("%s has no %r: the test is out of date" % (path, old))
        self.write(path, text.replace(old, new))

    def check(self, *args):
        return subprocess.run(CHECK + [self.folder] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True)


def row(tree, name):
    """The whole line of a name's row."""
    return next(line for line in tree.text(THREADING).splitlines(keepends=True) if line.startswith("| `%s` |" % name))


# What is broken, and what must be said.
CASES = {
    "a_row_is_missing": (
        lambda tree: tree.replace(THREADING, row(tree, "get_ident"), ""),
        "missing: threading.get_ident"),
    "a_name_is_new": (
        lambda tree: tree.write(NAMES, tree.text(NAMES) + "threading.new_in_4\n"),
        "missing: threading.new_in_4"),
    "a_name_is_listed_twice": (
        lambda tree: tree.write(NAMES, tree.text(NAMES) + "queue.Queue\n"),
        "queue.Queue stands there twice"),
    "a_name_stands_twice": (
        lambda tree: tree.replace(THREADING, row(tree, "Lock"), 2 * row(tree, "Lock")),
        "threading.Lock stands in docs/porting/threading.md:"),
    "python_has_no_such_name": (
        lambda tree: tree.replace(THREADING, "| `enumerate` |", "| `enumerate`, `enumerate_all` |"),
        "threading.enumerate_all is not in"),
    "libconc_has_no_such_function": (
        lambda tree: tree.replace(THREADING, "`conc_event_clear()`", "`conc_event_reset()`"),
        "libconc has no conc_event_reset"),
    "libconc_has_no_such_constant_in_the_text": (
        lambda tree: tree.replace("docs/porting.md", "`CONC_NOW`: `-EAGAIN`", "`CONC_NOWAIT`: `-EAGAIN`"),
        "libconc has no CONC_NOWAIT"),
    "a_function_goes": (
        lambda tree: (tree.replace("lib/conc.map", "    conc_barrier_abort;\n", ""),
                      tree.replace("include/conc/barrier.h", "void conc_barrier_abort", "void conc_barrier_break")),
        "libconc has no conc_barrier_abort"),
    "a_comment_of_a_header_is_no_declaration": (
        lambda tree: (tree.replace("include/conc/event.h", " * Clear the flag.", " * conc_event_reset(): clear it."),
                      tree.replace(THREADING, "`conc_event_clear()`", "`conc_event_reset()`")),
        "libconc has no conc_event_reset"),
    "nothing_to_call_is_said": (
        lambda tree: tree.replace(THREADING, "| `conc_event_clear()` |", "| |"),
        "neither a call nor 'none: ...'"),
    "a_cell_is_lacking": (
        lambda tree: tree.replace(THREADING, "| `conc_event_clear()` | |", "|"),
        "a row has three cells"),
    "the_first_cell_is_prose": (
        lambda tree: tree.replace(THREADING, "| `Event.clear` |", "| `Event.clear` and more |"),
        "the first cell is not a list of names"),
    "a_heading_goes": (
        lambda tree: tree.replace("docs/porting.md", "## Fairness", "## Justice"),
        "docs/porting.md has no heading #fairness"),
    "a_page_goes": (
        lambda tree: tree.replace("docs/porting.md", "(porting/futures.md)", "(porting/future.md)"),
        "there is no docs/porting/future.md"),
    "the_short_table_is_not_compiled": (
        lambda tree: tree.replace("docs/porting.md", "&item, CONC_NOW);`", "item, CONC_NOW);`"),
        "in_short.c does not have: err = conc_queue_put(&q, item, CONC_NOW);"),
    "the_short_table_goes": (
        lambda tree: tree.replace("docs/porting.md", "## In short", "## In brief"),
        "no table 'In short'"),
    "a_program_changes": (
        lambda tree: tree.replace("tests/porting/ports/condition.c", "turn = args->other;", "turn = args->me;"),
        "the block is not what tests/porting/ports/condition.c is"),
    "a_program_goes": (
        lambda tree: os.remove(os.path.join(tree.folder, "tests/porting/ports/condition.c")),
        "there is no tests/porting/ports/condition.c"),
    "a_program_is_shown_nowhere": (
        lambda tree: tree.write("tests/porting/ports/thirteenth.py", "pass\n"),
        "no page shows tests/porting/ports/thirteenth.py"),
}


def make(breaks, said):
    def test():
        with tempfile.TemporaryDirectory() as folder:
            tree = Tree(folder)
            breaks(tree)
            run = tree.check()
            if run.returncode != 1 or said not in run.stdout:
                raise AssertionError("exit status %d, and not %r:\n%s" % (run.returncode, said, run.stdout))
    return test


def test_check_porting_when_nothing_is_broken_succeeds():
    with tempfile.TemporaryDirectory() as folder:
        run = Tree(folder).check()
        if run.returncode != 0 or "all there" not in run.stdout:
            raise AssertionError(run.stdout)


def test_check_porting_write_when_a_program_changes_shows_it():
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(folder)
        CASES["a_program_changes"][0](tree)
        run = tree.check("--write")
        if run.returncode != 0 or "turn = args->me;" not in tree.text("docs/porting/ports-threads.md"):
            raise AssertionError(run.stdout)


def test_check_porting_when_called_wrongly_prints_how():
    run = subprocess.run(CHECK + [SOURCE, "--what"], stderr=subprocess.PIPE, universal_newlines=True)
    if run.returncode == 0 or "check-porting" not in run.stderr:
        raise AssertionError(run.stderr)


def test_python_names_when_one_is_not_listed_fails():
    names = [sys.executable, os.path.join(SOURCE, "scripts/python-names")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write(open(os.path.join(SOURCE, NAMES)).read().replace("threading.Lock\n", ""))
        f.flush()
        run = subprocess.run(names + ["--compare", f.name], stdout=subprocess.PIPE, universal_newlines=True)
    known = (3, 11) <= sys.version_info[:2] <= (3, 13)  # as python-names says
    if run.returncode != known or "not listed: threading.Lock" not in run.stdout.splitlines():
        raise AssertionError(run.stdout)


for case, (breaking, message) in CASES.items():
    globals()["test_check_porting_when_%s_fails" % case] = make(breaking, message)

if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
