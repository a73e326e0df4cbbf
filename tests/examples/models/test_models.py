#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each model of `models` does the chapter's two jobs, with the same results; and what it says when it cannot.

test_models.py DIRECTORY [TEST ...]     DIRECTORY: the examples
"""
import contextlib
import ctypes
import os
import re
import sys
import threading
import time
import urllib.request

import runner
from servers import answer_with, demo_server, nobody, server_of

programs = runner.Programs(sys.argv[1])

PROGRAM = "models/models"
MODELS = ["sequential", "threads", "processes", "tasks", "loop"]
PATHS = ["/page/16", "/page/64", "/page/32", "/page/128"]
PRIME = 4294967291  # the largest below 2 ** 32


def models(*args):
    return programs.run(PROGRAM, *args)


def check_seconds(run, line):
    run.check(re.match(r"^\d[\d.]*(e[-+]\d+)? sec$", line), "the chapter's format: %r" % line)


def cpu_line(power, times):
    number = 7777 ** power
    digits = 1
    while 10 ** digits <= number:  # str() refuses long ones
        digits += 1
    return "cpu_bound, each of %d times: %d digits, checksum %d" % (times, digits, number % PRIME)


def io_line(pages, times):
    data = b"".join(pages)
    return "io_bound, each of %d times: %d bytes, checksum %d" % (times, len(data), int.from_bytes(data, "big") % PRIME)


def get_pages(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return [opener.open(url + path).read() for path in PATHS]


# ---- The results ----

def test_each_model_has_the_same_results():
    with demo_server(programs) as url:
        pages = get_pages(url)
        for model in MODELS:
            run = models("--model", model, "--times", 3, "--power", 500, "--server", url).succeeds()
            lines = run.out.splitlines()
            run.check(len(lines) == 4, "a time and a result for each of the two jobs")
            check_seconds(run, lines[0])
            check_seconds(run, lines[2])
            run.check(lines[1] == cpu_line(500, 3), "the number is the same as Python's")
            run.check(lines[3] == io_line(pages, 3), "the pages are the server's")


def test_each_model_alone_can_be_asked_for_one_kind():
    with demo_server(programs) as url:
        pages = get_pages(url)
        for model in MODELS:
            for kind, line in ("cpu", cpu_line(77, 2)), ("io", io_line(pages, 2)):
                run = models("--model", model, "--kind", kind, "--times", 2, "--power", 77, "--server", url).succeeds()
                run.check(run.out.splitlines()[1:] == [line], "just this job's result")


def test_digits_and_checksum_of_numbers_of_every_size():
    for power in 1, 2, 3, 8, 64, 1000, 3333:
        run = models("--kind", "cpu", "--power", power, "--times", 1).succeeds()
        run.check(run.out.splitlines()[1] == cpu_line(power, 1), "7777 ** %d" % power)


def test_sequential_and_both_kinds_are_the_default():
    with demo_server(programs) as url:
        line = io_line(get_pages(url), 10)
        run = runner.Run(["env", "LIBCONC_SERVER=" + url, programs.path(PROGRAM), "--power", "10"]).succeeds()
    run.check(run.out.splitlines()[1::2] == [cpu_line(10, 10), line], "both, ten times")


def test_own_urls():
    pages = {"/a": b"", "/b?c=d": b"\0\xff" * 1000, "/e": b"text"}
    with server_of(lambda path: answer_with(pages[path])) as url:
        for model in MODELS:
            run = models("--kind", "io", "--times", 2, "--model", model, *[url + path for path in pages]).succeeds()
            run.check(run.out.splitlines()[1] == io_line(pages.values(), 2), "these pages, in this order")


# ---- Side by side, or in turn ----

def meeting(parties):
    """An answer that comes when so many ask at the same time."""
    barrier = threading.Barrier(parties)

    def answer(path):
        try:
            barrier.wait(runner.HANGS)
        except threading.BrokenBarrierError:
            return None
        return answer_with(b"met")
    return answer, barrier


def test_io_jobs_wait_at_the_same_time():
    for model in MODELS[1:]:
        answer, _ = meeting(7)
        with server_of(answer) as url:
            run = models("--model", model, "--kind", "io", "--times", 7, "--timeout", 50, url + "/1", url + "/2")
        run.succeeds().check(run.out.splitlines()[1] == io_line([b"met", b"met"], 7), "the answers")


def test_sequential_io_jobs_wait_one_after_another():
    answer, barrier = meeting(2)
    with server_of(answer) as url:
        models("--kind", "io", "--times", 2, "--timeout", 0.3, url + "/1").fails(url, "no answer in time")
        barrier.abort()


def share_held(model):
    """What share of the time something has held the loop for over a millisecond, while ten numbers were computed."""
    run = runner.Run(["env", "CONC_DEBUG=1", programs.path(PROGRAM), "--model", model, "--kind", "cpu",
                      "--power", "1000000"])
    run.check(run.status == 0, "it should succeed")
    held = [float(s) for s in re.findall(r"has held the loop for ([0-9.]+) s", run.err)]
    return sum(held) / float(re.match(r"([0-9.]+) sec", run.out).group(1))


def test_computing_holds_the_loop_up_unless_an_executor_does_it():
    assert share_held("tasks") > 0.5, "the green threads compute in the loop"
    assert share_held("loop") < 0.5, "the loop's tasks only wait"


# ---- Bad arguments ----

def test_help():
    run = models("--help").succeeds()
    run.check(run.out.startswith("usage: models [OPTION ...] [URL ...]\n"), "how to use it")
    for word in MODELS + ["--kind", "--times", "--power", "--server", "--compare", "--picture", "--latency"]:
        run.check(word in run.out, "it should tell of %s" % word)


def test_bad_arguments_are_refused():
    server = ["--server", nobody()]
    for args, word in ((["--no-such-option"], "--no-such-option"), (["--model", "gevent"], "'gevent'"),
                       (["--model", ""], "--model"), (["--kind", "memory"], "'memory'"), (["--times", "0"], "--times"),
                       (["--times", "1001"], "--times"), (["--times", "two"], "'two'"), (["--power", "0"], "--power"),
                       (["--power", "1e9"], "--power"), (["--power", "1.5"], "'1.5'"),
                       (["--timeout", "0"], "--timeout"),
                       (["--picture", "x"], "--picture"), (["--latency", "1"], "--latency"), (["--model"], "--model"),
                       (["--compare", "--latency", "1"] + server, "--latency"),
                       (["--compare", "--latency", "-1"], "--latency")):
        models(*args).fails(word, status=2).prints("")


def test_urls_that_are_none():
    models("--kind", "io", "nonsense").fails("nonsense")
    models("--kind", "io", "https://127.0.0.1:1/").fails("https://127.0.0.1:1/")
    models("--kind", "io", "--server", "http://127.0.0.1:1/" + "x" * 5000).fails("too long an address")
    models("--kind", "io", *["http://127.0.0.1:1/"] * 9).fails("more than 8 URLs")


# ---- What goes wrong ----

def test_no_server_is_one_clear_line():
    url = nobody()
    for model in MODELS:
        run = models("--model", model, "--kind", "io", "--times", 3, "--server", url)
        run.fails(url, "Connection refused").prints("")


def test_answers_that_are_none():
    for data, word in ((b"", "closed"), (b"no HTTP at all\r\n\r\n", "not HTTP"),
                       (answer_with(b"{}", "404 Not Found"), "404"),
                       (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", "closed in the middle"),
                       (answer_with(b"", "500 Internal Server Error"), "500")):
        with server_of(lambda path: data) as url:
            for model in MODELS:
                models("--model", model, "--kind", "io", "--times", 2, url + "/x").fails(url + "/x", word).prints("")


def test_a_server_that_never_answers():
    with server_of(lambda path: None) as url:
        for model in MODELS:
            run = models("--model", model, "--kind", "io", "--times", 2, "--timeout", 0.2, url).fails(url)
            run.check(re.search("no answer in time|cancelled", run.err), "it should say why")


def test_pages_that_change_are_noticed():
    numbers, lock = iter(range(1000)), threading.Lock()

    def answer(path):
        with lock:
            return answer_with(b"page %d" % next(numbers))
    for model in MODELS:
        with server_of(answer) as url:
            models("--model", model, "--kind", "io", "--times", 2, url).fails("job 2 found something else").prints("")


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        programs.run(PROGRAM, "--kind", "cpu", "--power", 10, stdout=full).fails("cannot write the output")


def test_a_lack_of_descriptors_is_told():
    with server_of(lambda path: None) as url:
        # What a program needs to start; and so many that some jobs have theirs.
        for model, limits in {"threads": [4, 20], "processes": [4], "tasks": [4, 20], "loop": [4, 20]}.items():
            for limit in limits:
                run = runner.Run(["sh", "-c", 'ulimit -n %d; exec "$@"' % limit, "sh", programs.path(PROGRAM),
                                  "--model", model, "--kind", "io", "--times", "40", "--timeout", "20", url])
                run.command = run.command[4:]
                run.fails("Too many open files")


# ---- What is left ----

def adopt():
    """Whatever a program leaves behind becomes a child of ours."""
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER


def has_no_children():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True


def test_no_process_is_left():
    adopt()
    url = nobody()
    for kind, status in ("cpu", 0), ("io", 1):
        run = models("--model", "processes", "--power", 10, "--kind", kind, "--server", url)
        run.check(run.status == status, "the exit status should be %d" % status)
        end = time.monotonic() + runner.HANGS
        while not has_no_children():
            run.check(time.monotonic() < end, "it has left a process")
            time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
