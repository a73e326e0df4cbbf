#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""models --compare: the table, what it says of the chapter's rule, the pictures; and that its server ends with it.

test_models_compare.py DIRECTORY [TEST ...]     DIRECTORY: the examples
"""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

import runner
from servers import answer_with, nobody, server_of

programs = runner.Programs(sys.argv[1])

PROGRAM = "models/models"
LABELS = ["sequential", "threads", "processes", "tasks (gevent)", "loop (asyncio)"]
# The seconds that the chapter measured: CPU-bound, I/O-bound.
CHAPTER = {"sequential": (2.18, 31.4), "threads": (2.47, 7.9), "processes": (1.12, 7.22), "tasks": (2.23, 6.85),
           "loop": (2.23, 4.37)}
RULES = [("CPU-bound -> multiprocessing", 0, "processes"),
         ("I/O-bound, fast I/O, limited number of connections -> multithreading", 1, "threads"),
         ("I/O-bound, slow I/O, many connections -> asyncio", 1, "loop")]
SMALL = ["--compare", "--times", "2", "--power", "2000"]
have_gnuplot = shutil.which("gnuplot") is not None


def compare(*args, path=None):
    """path: where it looks for gnuplot"""
    env = ["env", "PATH=" + path] if path is not None else []
    run = runner.Run(env + [programs.path(PROGRAM)] + SMALL + list(args))
    run.command = run.command[len(env):]
    return run


# ---- The table ----

def table_of(run):
    """The times by model; the chapter's have to be in the table, too."""
    lines = run.out.splitlines()
    rows = [line for line in lines if re.match(r"^(%s)  " % "|".join(map(re.escape, LABELS)), line)]
    run.check([row[:16].strip() for row in rows] == LABELS, "a row for each of the five models")
    here = {}
    for row in rows:
        numbers = re.findall(r"([\d.e+-]+) +\(([\d.]+)\)", row[16:])
        run.check(len(numbers) == 4, "four times in %r" % row)
        name = row.split()[0]
        run.check((float(numbers[1][0]), float(numbers[3][0])) == CHAPTER[name], "the chapter's times of %s" % name)
        here[name] = (float(numbers[0][0]), float(numbers[2][0]))
        for column in range(4):
            table = CHAPTER if column % 2 else here
            ratio = table["sequential"][column // 2] / table[name][column // 2]
            run.check(abs(float(numbers[column][1]) - ratio) < 0.06 + 0.02 * ratio, "the ratios in %r" % row)
    return here


def check_rules(run, here):
    """What is said of the rules is what the times say: those printed are rounded, so what lies on a border may go
    either way."""
    lines = run.out.splitlines()
    for text, kind, named in RULES:
        at = lines.index(text)
        for line, where, times in (lines[at + 1], "here", here), (lines[at + 2], "the chapter", CHAPTER):
            seconds = {name: times[name][kind] for name in times}
            words = re.match(r"^  (here|the chapter) +(holds|no more than others|does not hold): +(.*)$", line)
            run.check(words and words.group(1) == where, "a verdict: %r" % line)
            if any(abs(a / b / 1.15 - 1) < 0.01 for a in seconds.values() for b in seconds.values()):
                continue
            best = min(seconds.values())
            holds = seconds[named] <= 1.15 * best
            alone = all(seconds[name] > 1.15 * seconds[named] for name in seconds if name != named)
            verdict = "does not hold" if not holds else "holds" if alone else "no more than others"
            run.check(words.group(2) == verdict, "%s: %r" % (verdict, line))
            level = {name for name in seconds if seconds[name] <= 1.15 * best}
            said = dict(re.findall(r"(\w+) ([\d.e+-]+) s", words.group(3)))
            run.check(set(said) == (level if holds else level | {named}), "who was fastest: %r" % line)
            run.check(all(float(said[name]) == seconds[name] for name in said), "how fast: %r" % line)
            run.check(("; but %s " % named in line) == (not holds), "the one that the rule names: %r" % line)


def test_compare_prints_a_full_table_and_judges_by_it():
    run = compare("--latency", "20").succeeds()
    run.check("each answer after 20 ms\n" in run.out, "the latency")
    run.check("cpu_bound, each of 2 times: 7782 digits, checksum %d\n" % pow(7777, 2000, 4294967291) in run.out,
              "the number is the same as Python's")
    run.check("io_bound, each of 2 times: %d bytes, " % (240 << 10) in run.out, "the pages")
    here = table_of(run)
    run.check(here["sequential"][1] >= 2 * 4 * 0.02, "one after another takes all the delays")
    run.check(all(here[name][1] >= 4 * 0.02 for name in here), "the others those of one job")
    check_rules(run, here)


def test_compare_judges_what_it_has_measured():
    """Threads get their answers at once, the others don't."""
    for fast in 1, 4:
        asked = iter(range(10))  # one page, two times, five models

        def answer(path):
            time.sleep(0 if next(asked) // 2 == fast else 0.4)
            return answer_with(b"page")
        with server_of(answer) as url:
            run = compare(url + "/").succeeds()
        run.check("each answer after" not in run.out, "the latency of this server is not known")
        check_rules(run, table_of(run))


def test_compare_notices_a_model_with_another_result():
    pages = iter([b"page"] * 4 + [b"egap"] * 6)  # threads find the same as the sequential way, processes don't
    with server_of(lambda path: answer_with(next(pages))) as url:
        run = compare(url + "/").fails("io_bound, processes", "another result")
    run.check("threads  " in run.out and "multiprocessing" not in run.out, "the rows until then, and no verdict")


def test_compare_with_the_server_that_is_named():
    compare("--server", nobody()).fails("Connection refused")
    with server_of(lambda path: answer_with(b"", "500 Internal Server Error")) as url:
        compare("--server", url).fails(url, "500")


# ---- Pictures ----

def check_svg(run, path):
    text = [element.text for element in xml.etree.ElementTree.parse(path).iter() if element.text]
    text = "\n".join(t.strip() for t in text)
    for word in list(CHAPTER) + ["CPU-bound", "I/O-bound", "libconc, here", "Python, the chapter", "31.4 s", "4.37 s"]:
        run.check(re.search(r"^%s$" % re.escape(word), text, flags=re.M), "%r is in the picture" % word)


def check_png(run, path):
    with open(path, "rb") as file:
        data = file.read()
    run.check(data[:16] == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" and data[-8:-4] == b"IEND", "a whole PNG")
    run.check(struct.unpack(">II", data[16:24]) == (1080, 420), "of this size")


def test_picture_in_both_forms():
    if not have_gnuplot:
        print("# gnuplot is not there: no picture was looked at")
        return
    with tempfile.TemporaryDirectory() as directory:
        base = os.path.join(directory, "it's a \"picture\"")
        run = compare("--latency", "0", "--picture", base).succeeds()
        run.check(run.out.endswith("\nDrawn: %s.svg, %s.png\n" % (base, base)), "where they are")
        run.check(len(os.listdir(directory)) == 2, "just these")
        check_svg(run, base + ".svg")
        check_png(run, base + ".png")


def test_picture_without_gnuplot_is_told_after_the_table():
    with tempfile.TemporaryDirectory() as directory:
        run = compare("--latency", "0", "--picture", os.path.join(directory, "x"), path=directory)
        run.fails("gnuplot is not installed", "no picture")
        check_rules(run, table_of(run))
        run.check(os.listdir(directory) == [], "no picture")


def fake_gnuplot(directory, script):
    path = os.path.join(directory, "gnuplot")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n" + script)
    os.chmod(path, stat.S_IRWXU)


def test_picture_that_gnuplot_cannot_draw():
    for script, words in (("echo half; echo '\nline 1: no such terminal' >&2; exit 3\n",
                           "gnuplot: line 1: no such terminal"),
                          ("exec /bin/cat >/dev/null\n", "gnuplot has drawn nothing (exit status 0)"),
                          ("kill -9 $$\n", "gnuplot has drawn nothing (exit status -9)")):
        with tempfile.TemporaryDirectory() as directory:
            fake_gnuplot(directory, script)
            compare("--latency", "0", "--picture", os.path.join(directory, "x"), path=directory).fails(words)
            assert os.listdir(directory) == ["gnuplot"], "no picture"


def test_picture_that_cannot_be_written():
    with tempfile.TemporaryDirectory() as directory:
        fake_gnuplot(directory, "/bin/cat >/dev/null; echo picture\n")
        base = os.path.join(directory, "x")
        run = compare("--latency", "0", "--picture", os.path.join(base, "y"), path=directory)
        run.fails(base, "No such file or directory")
        os.symlink("/dev/full", base + ".png")
        compare("--latency", "0", "--picture", base, path=directory).fails(base + ".png", "No space left on device")
        assert sorted(os.listdir(directory)) == ["gnuplot", "x.svg"], "no half of a picture"
        compare("--latency", "0", "--picture", "x" * 5000, path=directory).fails("File name too long")


# ---- Its own server ----

def adopt():
    """Whatever a program leaves behind becomes a child of ours."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER


def wait_until_childless():
    end = time.monotonic() + runner.HANGS
    with contextlib.suppress(ChildProcessError):
        while True:
            assert time.monotonic() < end, "a process is left"
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def test_no_server_is_left():
    adopt()
    compare("--latency", "0").succeeds()
    wait_until_childless()


def test_no_server_is_left_by_a_program_that_is_killed():
    adopt()
    for signo in signal.SIGINT, signal.SIGKILL:
        process = subprocess.Popen([programs.path(PROGRAM)] + SMALL + ["--latency", "60000", "--timeout", "300"],
                                   stdout=subprocess.PIPE,
                                   # A shell starts what runs in the background with SIGINT ignored.
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        assert process.stdout.readline().startswith(b"CPU-bound"), "the server has started"
        process.send_signal(signo)
        assert process.wait(runner.HANGS) == -signo
        process.stdout.close()
        wait_until_childless()


def test_server_program_that_is_not_there():
    with tempfile.TemporaryDirectory() as directory:
        library = os.path.join(sys.argv[1], "..", "lib")
        copy = shutil.copy(programs.path(PROGRAM), directory)
        run = runner.Run(["env", "LD_LIBRARY_PATH=" + library, copy] + SMALL)
        run.command = run.command[2:]
        run.fails("demo_server", "No such file or directory").prints("")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
