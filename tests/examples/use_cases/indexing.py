# SPDX-License-Identifier: MIT
"""Run indexer with converters that are scripts of ours, and look into its index: for the tests of indexer."""
import contextlib
import os
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import runner

PROGRAM = os.path.abspath(sys.argv[1])

# As file(1) answers, going by the names' ends; each call is noted.
FILE = r"""
[ "$1 $2 $3" = "--brief --mime-type --" ] || exit 9
shift 3
for f; do
    case $f in
    *.pdf) echo application/pdf ;;
    *.gz) echo application/gzip ;;
    *.zip) echo application/zip ;;
    *.odt) echo application/vnd.oasis.opendocument.text ;;
    *.bin) echo application/octet-stream ;;
    *) echo text/plain ;;
    esac
done
"""
PDFTOTEXT = r"""
[ "$#:$1 $2 $3 $5" = "5:-q -enc UTF-8 -" ] || exit 9
echo pdf >>"$LOG"
cat "$4"
"""
GZIP = r"""
[ "$#:$1" = "2:-l" ] || exit 9
echo gzip >>"$LOG"
echo "uncompressed_name $2"
"""
NORMAL = {"file": FILE, "pdftotext": PDFTOTEXT, "gzip": GZIP, "unzip": GZIP, "odt2txt": 'cat "$2"'}


@contextlib.contextmanager
def room(replaced={}, path="/usr/bin:/bin", **files):
    """A folder d with `in`, to be indexed, and converters: the normal ones, but for those replaced (None: none)."""
    d = os.path.realpath(tempfile.mkdtemp(prefix="index-"))
    os.mkdir(d + "/bin")
    os.mkdir(d + "/in")
    before = os.environ["PATH"]
    os.environ.update(PATH=d + "/bin:" + path, LOG=d + "/log")
    try:
        write(d + "/log", b"")
        set_converters(d, {**NORMAL, **replaced})
        for name, text in files.items():
            write("%s/in/%s" % (d, name.replace("_", ".")), text.encode())
        yield d
    finally:
        os.environ["PATH"] = before
        shutil.rmtree(os.fsencode(d))


def set_converters(d, scripts):
    for name, script in scripts.items():
        if script is not None:
            write(d + "/bin/" + name, b"#!/bin/sh\n" + script.encode(), 0o755)


def write(path, data, mode=0o644):
    # A script that is being run cannot be written to: a new file takes its place.
    if isinstance(path, str):
        path = os.fsencode(path)
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def index(d, *options, folder="/in"):
    return runner.Run([PROGRAM, d + folder, "--db", d + "/db"] + list(options))


def start(d, *options, **kwargs):
    return subprocess.Popen([PROGRAM, d + "/in", "--db", d + "/db"] + list(options), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **kwargs)


def finished(process):
    run = runner.Run.__new__(runner.Run)
    run.command = process.args
    try:
        run.out, run.err = process.communicate(timeout=runner.HANGS)
    finally:
        process.kill()
        process.wait()
    run.status = process.returncode
    return run


def search(d, words):
    """The paths that are found, and the lines below them."""
    run = runner.Run([PROGRAM, "--db", d + "/db", "--search", words])
    if run.status == 1 and run.err == "indexer: nothing found: %s\n" % words:
        return []
    lines = run.succeeds().out.splitlines()
    run.check(all(line.startswith("    ") for line in lines[1::2]), "each second line is an excerpt")
    return list(zip(lines[0::2], lines[1::2]))


def names(d, words):
    """The names in d + "/in" of what is found, sorted."""
    paths = sorted(path for path, _ in search(d, words))
    assert all(path.startswith(d + "/in/") for path in paths), paths
    return [path[len(d + "/in/"):] for path in paths]


def same(got, expected):
    assert got == expected, "%r, not %r" % (got, expected)


def counts(run, indexed=0, unchanged=0, removed=0, failed=0):
    line = "%d indexed, %d unchanged, %d removed, %d failed\n" % (indexed, unchanged, removed, failed)
    run.check(run.out.endswith(line), "the last line should be %r" % line)
    return run


def rows(d, sql):
    with contextlib.closing(sqlite3.connect(d + "/db")) as db:
        return db.execute(sql).fetchall()


def check_sound(d):
    """The database is whole, and each file wholly in it."""
    same(rows(d, "PRAGMA integrity_check"), [("ok",)])
    rows(d, "INSERT INTO contents (contents) VALUES ('integrity-check')")
    same(rows(d, "SELECT id FROM files ORDER BY id"), rows(d, "SELECT rowid FROM contents ORDER BY rowid"))


def has_ended(pid):
    """Is the process gone, or a zombie that nobody has asked for?"""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition, what):
    end = time.monotonic() + runner.HANGS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def read_fifo(path):
    """What is written into a fifo at once."""
    fd = os.open(path, os.O_RDWR)  # open, whether or not there is a writer yet
    try:
        assert select.select([fd], [], [], runner.HANGS)[0], "nothing comes"
        return os.read(fd, 4096).decode()
    finally:
        os.close(fd)


def as_nobody():
    """Arguments for Popen() that make a process of somebody who is not root; None: it cannot run the program."""
    if os.getuid() != 0:
        return {}
    with contextlib.suppress(OSError):
        if subprocess.run([PROGRAM, "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          user=65534).returncode == 0:
            return {"user": 65534, "group": 65534, "extra_groups": []}
    print("# left out: nobody cannot run the program")
    return None


def without_leak_check():
    """AddressSanitizer's look for leaks wants a thread of its own."""
    return {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
