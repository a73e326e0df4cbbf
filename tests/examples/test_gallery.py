#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every example program: it is in the list of examples/run and in docs/examples.md, answers --help, refuses what it
does not know, and runs to its end; and examples/run itself.

test_gallery.py SOURCE BUILD PROGRAM ... [-- TEST ...]     PROGRAM: the paths of all example programs
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import runner

source, build = map(os.path.abspath, sys.argv[1:3])
examples = os.path.join(build, "examples")
wanted = sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else []
built = [os.path.relpath(path, examples) for path in sys.argv[3:len(sys.argv) - len(wanted) - bool("--" in sys.argv)]]
run_script = os.path.join(source, "examples", "run")

# All of them take half a minute; under a sanitizer and on a busy machine many times that.
ALL_HANG = 1500


def read(*path):
    with open(os.path.join(source, *path), encoding="utf-8") as file:
        return file.read()


def listed():
    """The programs of the list, in its order: with their fields."""
    lines = [line for line in read("examples", "gallery.list").splitlines() if line and line[0] not in "#="]
    return {fields[0]: fields for fields in ([field.strip() for field in line.split("|")] for line in lines)}


class Run(runner.Run):
    """examples/run, with the usual build and a folder of its own for temporary files."""

    def __init__(self, *args, at=build, hangs=runner.HANGS, env=()):
        self.command = [run_script, "--build", at] + list(args)
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.run(["sh"] + self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, timeout=hangs, encoding="utf-8",
                                     env=dict(os.environ, TMPDIR=folder, **dict(env)))
            self.left = os.listdir(folder)
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr
        self.check(not self.left, "files are left: %s" % self.left)


# ---- The list ----

def test_list_has_every_program_and_no_other():
    assert sorted(listed()) == sorted(built), set(listed()) ^ set(built)


def test_list_has_a_word_for_each():
    for name, fields in listed().items():
        assert len(fields) == 5 and fields[4], name
    names = [os.path.basename(name) for name in listed()]
    assert len(set(names)) == len(names), "a name is there twice: it could not be run by it"


def test_page_has_every_program_in_the_order_of_the_list():
    headings = re.findall(r"^### (\S+)$", read("docs", "examples.md"), flags=re.M)
    names = [os.path.basename(name) for name in listed()]
    assert sorted(headings) == sorted(names), set(headings) ^ set(names)
    assert headings == names, [pair for pair in zip(headings, names) if pair[0] != pair[1]][:3]


def test_pages_have_what_they_refer_to():
    for page in "examples.md", "choosing.md":
        paths = re.findall(r"\]\(([^)#:]+)\)", read("docs", page))
        for path in paths:
            assert os.path.exists(os.path.join(source, "docs", path)), path
        pictures = [path for path in paths if path.startswith("pictures/")]
        assert {"pictures/models.svg", "pictures/sensors.svg"} <= set(pictures), pictures
        for picture in pictures:
            assert "<svg" in read("docs", picture), picture


def test_page_has_the_source_and_the_output_of_each():
    sections = re.split(r"^### ", read("docs", "examples.md"), flags=re.M)[1:]
    for path, section in zip(listed(), sections):
        assert "](../examples/%s.c)" % path in section, path
        assert re.search(r"^```\n(.*\S.*\n)+```$", section, flags=re.M | re.S), path


def test_list_is_printed_with_its_headings():
    run = Run("--list").succeeds()
    lines = run.out.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ")]
    run.check(names == [os.path.basename(name) for name in listed()], "each has a line")
    run.check(len(lines) > len(names) + 3 and lines[0].endswith(":"), "and there are headings")


# ---- Every program ----

def test_every_program_has_its_help():
    for name in built:
        run = runner.Run([os.path.join(examples, name), "--help"]).succeeds()
        run.check(run.out.startswith("usage: " + os.path.basename(name)), "it should begin with the usage")
        run.check("--help" in run.out, "with all options")


def test_every_program_refuses_an_option_that_it_does_not_know():
    for name in built:
        runner.Run([os.path.join(examples, name), "--no-such-option"]).fails("--no-such-option", status=2).prints("")


def test_every_program_runs_well():
    run = Run("--all", "--quick", hangs=ALL_HANG)
    last = run.out.splitlines()[-1]
    expected = r"%d examples: %d ran well, 0 failed, in \d+\.\d s" % (len(built), len(built))
    run.check(re.fullmatch(expected, last), "all should run well")
    run.succeeds()
    lines = re.findall(r"^\[ *(\d+)/(\d+)\] (\S+) +well +\d+\.\d s$", run.out, flags=re.M)
    expected = [(str(number), str(len(built)), name) for number, name in enumerate(listed(), 1)]
    run.check(lines == expected, "each has a line")


# ---- examples/run ----

def test_run_is_the_program_with_the_server_that_it_needs():
    run = Run("geocode_sync").succeeds()
    run.check(run.out.count("\n") == 12 and "Reykjavík, Iceland,  64.15, -21.94" in run.out, "ten cities")
    run = Run("concurrency/geocode_sync", "Vienna").succeeds()
    run.check(len(re.findall(r"^ +\w.*, +\d+\.\d\d, +\d+\.\d\d$", run.out, flags=re.M)) == 1, "and just one")
    Run("echo_client").succeeds().prints("one\ntwo\nthree\n")
    Run("echo_client", "a b", "*").succeeds().prints("a b\n*\n")


def test_run_has_the_exit_status_and_the_errors_of_the_program():
    run = Run("geocode_sync", "Nowhere")
    run.check(run.status == 1 and run.err.startswith("geocode_sync: Nowhere: "), "one error, and 1")
    run.check(run.err.count("\n") == 1, "in one line")
    run = Run("geocode_sync", "--no-such-option")
    run.check(run.status == 2 and run.err.startswith("geocode_sync: ") and run.err.count("\n") == 1, "2")


def test_run_tells_of_mistakes():
    for arguments, words in ((["nothing"], "no such example: 'nothing'"), (["--al"], "no such option: --al"),
                             (["--all", "geocode_sync"], "not expected: geocode_sync"), ([], "which example?"),
                             (["--quick", "geocode_sync"], "--quick"), (["--build"], "--build"),
                             (["geocode"], "no such example: 'geocode'"), ([".*"], "no such example")):
        Run(*arguments).fails(words, "(try --", status=2).prints("")
    Run("--help").succeeds()
    Run("say", at="/nonexistent").fails("/nonexistent/examples is not there: 'make demo' builds it")


def test_run_finds_the_build_by_the_environment():
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, BUILD=build, TMPDIR=folder)
        process = subprocess.run([run_script, "listing07_15_gather"], stdout=subprocess.PIPE, timeout=runner.HANGS, env=env)
    assert process.returncode == 0 and process.stdout == b"5\n", process


class Copy:
    """A build of our own, in which programs can be replaced or missing."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp()
        for name in built:
            path = os.path.join(self.folder, "examples", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as script:
                script.write("#!/bin/sh\necho %s\n" % name)
            os.chmod(path, 0o755)
        for server in "support/demo_server", "network/echo_server":
            self.replace(server, 'exec %s "$@"\n' % os.path.join(examples, server))
        return self

    def replace(self, name, script):
        with open(os.path.join(self.folder, "examples", name), "w") as file:
            file.write("#!/bin/sh\n" + script)

    def remove(self, name):
        os.unlink(os.path.join(self.folder, "examples", name))

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


def test_run_of_all_counts_what_fails_and_shows_what_it_said():
    with Copy() as copy:
        copy.replace("concurrency/geocode_pool", "echo geocode_pool: broken >&2\nexit 3\n")
        copy.replace("parallel/listing07_06_reentrant", "kill -SEGV $$\n")
        copy.remove("models/say")
        run = Run("--all", "--quick", at=copy.folder)
        run.check(run.status == 1, "it should fail")
        run.check("%d examples: %d ran well, 3 failed, in " % (len(built), len(built) - 3) in run.out, "three")
        run.check(len(re.findall(r"^\[.*/(geocode_pool|listing07_06_reentrant|say) +failed$", run.out, flags=re.M)) == 3,
                  "those three")
        run.check("\n    | geocode_pool: broken\n" in run.out, "what it has said")
        run.check("models/say is not there: 'make demo' builds it\n" in run.out, "what is missing")


def test_run_tells_of_a_server_that_does_not_start_or_end_well():
    with Copy() as copy:
        copy.replace("support/demo_server", "echo demo_server: broken >&2\nexit 1\n")
        run = Run("geocode_sync", at=copy.folder)
        run.check(run.status == 1 and "run: support/demo_server has not started\n" in run.err, "not started")
        run.check(run.out == "", "and the program has not run")
        copy.replace("support/demo_server", "trap 'exit 5' TERM\necho http://127.0.0.1:1\nwhile :; do sleep 0.05; done\n")
        run = Run("geocode_sync", at=copy.folder)
        run.check(run.status == 1 and run.err == "run: the server ended with status 5\n", "not ended well")


def test_run_that_is_interrupted_leaves_nothing():
    """Its server ends, its folder is removed, its status is a shell's."""
    with Copy() as copy, tempfile.TemporaryDirectory() as folder:
        copy.replace("concurrency/geocode_sync", 'echo "$LIBCONC_SERVER"\nkill -INT $PPID\n')
        process = subprocess.run(["sh", run_script, "--build", copy.folder, "geocode_sync"], stdout=subprocess.PIPE,
                                 timeout=runner.HANGS, env=dict(os.environ, TMPDIR=folder), encoding="utf-8")
        assert process.returncode == 130, process
        assert not os.listdir(folder)
        client = os.path.join(examples, "concurrency", "geocode_sync")
        runner.Run([client, "--server", process.stdout.strip(), "Berlin"]).fails("refused")


if __name__ == "__main__":
    for proxy in "http_proxy", "https_proxy", "all_proxy":
        os.environ.pop(proxy, None)
        os.environ.pop(proxy.upper(), None)
    sys.exit(runner.main(dict(globals()), wanted))
