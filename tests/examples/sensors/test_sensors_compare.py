#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`sensors --compare`: the table and the pictures of Figure 7-9.

test_sensors_compare.py SENSORS DEMO_SERVER [TEST ...]     the two programs (the second is not used)
"""
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import xml.etree.ElementTree

import runner
from servers import MODES, WITH_TSAN, Started, group_is_gone, nobody, says, wait_until

SENSORS = sys.argv[1]
LATENCY = 0.05
SMALL = ["--compare", "--counts", "1,3", "--latency", str(int(1000 * LATENCY))]
HAVE_GNUPLOT = shutil.which("gnuplot")


def command(*args):
    return [SENSORS] + [str(a) for a in args]


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def parse(run, columns):
    """The three tables: {title: {mode: [number, ...]}}."""
    lines = run.out.splitlines()
    run.check(re.match(r"^N APIs, each of which answers after \S+ ms$", lines[0]), "what it is")
    tables = {}
    for line in lines[1:]:
        cells = re.split(r"  +", line.strip())
        if line.startswith("  "):
            tables[title][cells[0]] = [float(cell) for cell in cells[1:]]
            run.check(len(cells) == 1 + len(columns), "a number in each column: %r" % line)
        elif line:
            title = cells[0]
            tables[title] = {}
            run.check(cells[1:] == [str(column) for column in columns], "the counts: %r" % line)
    run.check(list(tables) == ["wall time, s", "processor time, s", "peak memory, MiB"], "three tables")
    for title, table in tables.items():
        run.check(list(table) == MODES, "a line for each mode")
        least = 0 if title.startswith("wall") else 1e-9  # less than 5 ms is shown as 0.00
        run.check(all(number >= least for numbers in table.values() for number in numbers), "nothing is for nothing")
    return tables


def check_table(run):
    tables = parse(run, [1, 3])
    wall = tables["wall time, s"]
    # What is printed is rounded to hundredths.
    run.check(all(numbers[0] >= LATENCY - 0.006 for numbers in wall.values()), "nothing is faster than an answer")
    run.check(wall["sequential"][1] >= 3 * LATENCY - 0.006, "one after another")
    run.check(all(0.5 < number < 1000 for numbers in tables["peak memory, MiB"].values() for number in numbers),
              "a program's memory")


def test_table_and_pictures():
    if not HAVE_GNUPLOT:
        print("# gnuplot is not installed")
        return
    with directory() as place:
        base = os.path.join(place, "figure 'with' \"quotes\"")
        check_table(runner.Run(command(*SMALL, "--picture", base)).succeeds())
        assert sorted(os.listdir(place)) == sorted(os.path.basename(base) + end for end in (".png", ".svg"))
        with open(base + ".png", "rb") as png:
            data = png.read()
            assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82"), "a whole PNG picture"
        svg = xml.etree.ElementTree.parse(base + ".svg").getroot()
        assert svg.tag == "{http://www.w3.org/2000/svg}svg", svg.tag
        words = " ".join("".join(text.itertext()).strip() for text in svg.iter("{http://www.w3.org/2000/svg}text"))
        for word in MODES + ["wall time, s", "processor time, s", "peak memory, MiB", "APIs"]:
            assert word in words, word


def test_without_gnuplot_there_is_the_table():
    with directory() as place:
        base = os.path.join(place, "figure")
        run = runner.Run(["env", "PATH=" + place] + command(*SMALL, "--picture", base))
        check_table(run)
        says(run, 0, "no picture: gnuplot is not installed")
        assert os.listdir(place) == []


def test_a_gnuplot_that_fails_is_told():
    for script, words in (("echo good; echo 'line 0: no such terminal' >&2; exit 1", "gnuplot: line 0: no such terminal"),
                          ("exit 0", "gnuplot has drawn nothing"), ("kill -9 $$", "(exit status -9)")):
        with directory() as place:
            with open(os.path.join(place, "gnuplot"), "w") as fake:
                fake.write("#!/bin/sh\n" + script + "\n")
            os.chmod(fake.name, 0o755)
            base = os.path.join(place, "figure")
            run = runner.Run(["env", "PATH=%s:%s" % (place, os.environ["PATH"])] +
                             command("--compare", "--counts", 1, "--latency", 0, "--picture", base))
            parse(run, [1])
            says(run, 1, words)
            assert os.listdir(place) == ["gnuplot"]


def test_pictures_that_cannot_be_written():
    if not HAVE_GNUPLOT:
        print("# gnuplot is not installed")
        return
    run = runner.Run(command("--compare", "--counts", 1, "--latency", 0, "--picture", "/no/such/place/figure"))
    parse(run, [1])
    says(run, 1, "/no/such/place/figure.svg: No such file")


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        runner.Run(command("--compare", "--counts", 1, "--latency", 0), stdout=full).fails("cannot write the output")


def test_bad_arguments_are_refused():
    for counts in "0", "", "1,,2", "a", "1,2,", "-1", "1001", "1 2", ",".join(["1"] * 17):
        runner.Run(command("--compare", "--counts", counts)).fails("--counts", status=2).prints("")
    runner.Run(command("--compare", "--latency", "-1")).fails("--latency", status=2).prints("")
    runner.Run(command("--compare", nobody())).fails("a server of its own", status=2).prints("")


def test_a_run_that_fails_is_told_in_its_own_words():
    # Fifty sockets at a time are more than that.
    run = runner.Run(["sh", "-c", 'ulimit -Sn 40; exec "$0" "$@"'] +
                     command("--compare", "--counts", 50, "--latency", 1))
    says(run, 1, ("--mode nonblocking has failed with exit status 1: sensors: http://", "Too many open files"))
    run.check(re.search(r"^  sequential +\d+\.\d\d\n  nonblocking +\n$", run.out, flags=re.M), "and what came before")


def test_no_place_for_databases():
    says(runner.Run(["env", "TMPDIR=/no/such/place"] + command(*SMALL)), 1, "/no/such/place").prints("")


def test_interrupted_it_leaves_nothing():
    if WITH_TSAN:
        print("# ThreadSanitizer does not let the signal through")
        return
    for interrupt in Started.ctrl_c, lambda program: os.kill(program.pid, signal.SIGTERM):
        with directory() as place:
            arguments = command("--compare", "--counts", "1", "--latency", 60000)
            with Started(["env", "TMPDIR=" + place] + arguments) as program:
                wait_until(lambda: run_in(place), "a run should begin")
                interrupt(program)
                run = program.end()
                wait_until(lambda: group_is_gone(program.pid) and not run_in(place), "no process should be left")
            run.check(run.status in (128 + signal.SIGINT, 128 + signal.SIGTERM), "it should say so")
            run.check(run.err == "sensors: interrupted\n", "in one line")
            assert os.listdir(place) == [], "the databases' directory should be gone"


def test_interrupted_while_it_draws():
    if WITH_TSAN:
        print("# ThreadSanitizer does not let the signal through")
        return
    with directory() as place:
        began = os.path.join(place, "began")
        with open(os.path.join(place, "gnuplot"), "w") as fake:
            fake.write("#!/bin/sh\necho $$ >'%s'\nexec sleep 3600\n" % began)
        os.chmod(fake.name, 0o755)
        base = os.path.join(place, "figure")
        with Started(["env", "PATH=%s:%s" % (place, os.environ["PATH"])] +
                     command("--compare", "--counts", 1, "--latency", 0, "--picture", base)) as program:
            wait_until(lambda: os.path.exists(began), "gnuplot should begin")
            os.kill(program.pid, signal.SIGTERM)
            run = says(program.end(), 128 + signal.SIGTERM, "interrupted")
            parse(run, [1])
            wait_until(lambda: group_is_gone(program.pid), "gnuplot should be gone")
        assert sorted(os.listdir(place)) == ["began", "gnuplot"]


def run_in(place):
    """Is there a run with its database there?"""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid) as arguments:
                if "\0--db\0sqlite:" + place in arguments.read():
                    return True
    return False


def test_no_process_and_no_file_is_left():
    with directory() as place:
        with Started(["env", "TMPDIR=" + place] + command("--compare", "--counts", "2", "--latency", 1)) as program:
            parse(program.end().succeeds(), [2])
            wait_until(lambda: group_is_gone(program.pid), "no process should be left")
        assert os.listdir(place) == []


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
