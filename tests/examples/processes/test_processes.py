#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the programs that start processes print, and that no process is left of any.

test_processes.py DIRECTORY [TEST ...]     DIRECTORY: the examples
"""
import collections
import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import runner

programs = runner.Programs(sys.argv[1])

# Program: arguments that make it quick.
ALL = {
    "concurrency/os_fork": [],
    "concurrency/process": [],
    "concurrency/process_pipe": [],
    "concurrency/process_shared": [],
    "parallel/process_pool_state": [],
}


# ---- The command line ----

def test_help_on_every_program_prints_usage():
    for name in ALL:
        run = programs.run(name, "--help").succeeds()
        run.check(run.out.startswith("usage: " + name.split("/")[1]), "it should tell how to use it")


def test_unknown_option_on_every_program_is_refused():
    for name in ALL:
        programs.run(name, "--no-such-option").fails("--no-such-option", status=2).prints("")


def test_operand_where_none_belongs_is_refused():
    for name in ALL:
        programs.run(name, "operand").fails("operand", status=2).prints("")


def test_output_that_cannot_be_written_is_an_error():
    for name, arguments in ALL.items():
        with open("/dev/full", "w") as full:
            programs.run(name, *arguments, stdout=full).fails("cannot write the output")


# ---- What is left ----

PR_SET_CHILD_SUBREAPER = 36


def adopt():
    """Whatever a program leaves behind becomes a child of ours."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def wait_until(condition, what):
    end = time.monotonic() + runner.HANGS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def has_no_children():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    except ChildProcessError:
        return True


def test_no_process_is_left():
    adopt()
    nobody = ["--server", "http://127.0.0.1:1"]
    runs = [(name, arguments, 0) for name, arguments in ALL.items()]
    runs += [("asyncio/example6_primes_processes", ["157"], 0),
             ("concurrency/geocode_process_pool", nobody, 1),
             ("concurrency/geocode_either", nobody, 1)]
    for name, arguments, status in runs:
        run = programs.run(name, *arguments)
        run.check(run.status == status, "the exit status should be %d" % status)
        wait_until(has_no_children, "%s has left a process" % name)


# ---- One by one ----

def test_os_fork_parent_and_child_know_their_own_pids():
    run = programs.run("concurrency/os_fork").succeeds()
    lines = sorted(line for line in run.out.splitlines() if line)
    run.check(len(lines) == 5, "five lines")
    known = [re.match(r"^(CHLD|PRNT): all the pids I know \[(\d+), (\d+)\]$", line) for line in (lines[0], lines[2])]
    run.check(all(known), "the chapter's format")
    (_, first, child), (_, parent, second) = known[0].groups(), known[1].groups()
    run.check(lines == ["CHLD: all the pids I know [%s, %s]" % (first, child),
                        "CHLD: hey, I am the child process",
                        "PRNT: all the pids I know [%s, %s]" % (parent, second),
                        "PRNT: hey, I am the parent process",
                        "PRNT: the child is pid %s" % child], "the chapter's lines")
    run.check(first == parent == second != child, "the child has the parent's pid, and its own")


def test_process_five_say_their_numbers_and_pids():
    run = programs.run("concurrency/process").succeeds()
    said = [re.match(r"^Hey, I am the process (\d), pid: (\d+)$", line) for line in run.out.splitlines()]
    run.check(all(said) and len(said) == 5, "five lines")
    run.check(sorted(match.group(1) for match in said) == list("01234"), "each number once")
    run.check(len({match.group(2) for match in said}) == 5, "five pids")


def test_process_pipe_each_item_arrives_as_it_was_sent():
    run = programs.run("concurrency/process_pipe").succeeds()
    items = ["42", "some string", "{'one': 1}", "None"]
    run.prints("".join("PRNT: send: %s\n" % item for item in items) +
               "".join("CHLD: recv: %s\n" % item for item in items) + "PRNT: recv: 3 items came\n")


def test_process_shared_the_parent_sees_what_the_child_has_changed():
    numbers = range(10)
    programs.run("concurrency/process_shared").succeeds().prints(
        "Before:\nnum   = 0.0000000\narr   = %s\nother = 0.0000000\n" % list(numbers) +
        "After:\nnum   = 3.1415927\narr   = %s\nother = 0.0000000\n" % [-n for n in numbers])


def test_process_pool_state_changes_stay_in_the_process():
    run = programs.run("parallel/process_pool_state").succeeds()
    # Where a sanitizer has a thread of its own, a process has the state of before main().
    run.check(run.out in (pool_state(42), pool_state(1)), "each counts for itself")


def pool_state(first):
    line = "  a job finds %3d and leaves %3d; the parent has %3d\n"
    return ("A pool of one process:\n" + line % (first, first + 1, 100) + line % (first + 1, first + 2, 100) +
            "A pool of one thread:\n" + line % (100, 101, 101) + line % (101, 102, 102))


def test_a_lack_of_descriptors_is_told():
    for name in "concurrency/process", "concurrency/process_pipe", "concurrency/process_shared":
        run = runner.Run(["sh", "-c", 'ulimit -n 5; exec "$0"', programs.path(name)])
        run.check(run.status == 1 and run.err.endswith(": Too many open files\n"), "it should say why")
        run.check(run.err.count("\n") == 1 and run.err.startswith(name.split("/")[1] + ": "), "in one line")


# ---- The demo server as several processes ----

def children_of(parent):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/stat" % entry) as stat:
                state, ppid = stat.read().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(int(entry))
    return found


class Server:
    def __init__(self, *options):
        command = [programs.path("support/demo_server"), "--model", "processes", "--port", "0", "--stop-after", "600",
                   "--with-parent", str(os.getpid())] + list(options)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        universal_newlines=True)
        self.url = self.process.stdout.readline().strip()

    def workers(self):
        """They are children of the fork server."""
        return [pid for child in children_of(self.process.pid) for pid in children_of(child)]

    def get(self, path):
        """The status, and the body in `body`; 0: nobody answers."""
        status, self.body = self.fetch(path)
        return status

    def status(self, path):
        """For threads."""
        return self.fetch(path)[0]

    def fetch(self, path):
        try:
            with proxyless.open(self.url + path, timeout=runner.HANGS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code, ""
        except (OSError, http.client.HTTPException):  # a URLError, a reset, an answer that breaks off
            return 0, ""

    def keep(self):
        """A connection that has had an answer, and stays."""
        end = time.monotonic() + runner.HANGS
        while True:
            connection = http.client.HTTPConnection(self.url[len("http://"):], timeout=runner.HANGS)
            connection.request("GET", "/status/200")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return connection
            connection.close()
            # A client that has just had an answer may be counted for a moment still.
            assert answer.status == 503 and time.monotonic() < end, answer.status

    def stat(self, name):
        assert self.get("/stats") == 200
        return json.loads(self.body)[name]

    def now(self, name):
        """The same; None if there was no such answer."""
        return json.loads(self.body)[name] if self.get("/stats") == 200 else None

    def stop(self):
        """What it has said on stderr."""
        self.process.terminate()
        said = self.process.communicate(timeout=runner.HANGS)[1]
        assert self.process.returncode == 0, "exit status %d: %s" % (self.process.returncode, said)
        return said


proxyless = urllib.request.build_opener(urllib.request.ProxyHandler({}))


# Each of the three ways in which the processes can serve.
INSIDE = {
    "tasks": [],
    "threads": ["--inside", "threads"],
    "pool": ["--inside", "pool", "--threads", "3"],
}


def test_demo_server_limit_and_counts_are_of_all_workers():
    for options in INSIDE.values():
        server = Server("--workers", "3", "--limit", "0.01", "--burst", "5", *options)
        assert len(server.workers()) == 3
        statuses = [server.get("/geocode?address=Berlin") for _ in range(30)]
        assert statuses == [200] * 5 + [429] * 25, statuses
        assert server.stat("answers") == {"200": 5, "429": 25}, server.body
        assert server.stat("connections") == 32, server.body
        assert server.stop() == ""


def test_demo_server_options_reach_the_workers():
    server = Server("--workers", "2", "--api-key", "secret")
    assert server.get("/v/2.0/sensors/") == 403
    request = urllib.request.Request(server.url + "/v/2.0/sensors/", headers={"X-API-KEY": "secret"})
    with proxyless.open(request, timeout=runner.HANGS) as answer:
        assert answer.status == 200
    assert server.stop() == ""
    run = programs.run("support/demo_server", "--model", "processes", "--port", 0, "--api-key", "x" * 300)
    run.fails("the API key is too long").prints("")


def threads_of(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def test_demo_server_inside_threads_each_connection_has_its_thread():
    """And inside tasks they share a few."""
    for inside, least, most in ("threads", 40, None), ("tasks", 0, 10):
        server = Server("--workers", "2", *INSIDE[inside])
        clients = [server.keep() for _ in range(40)]
        def more():
            """Than the main threads, which alone stay for sure: others of the beginning may end meanwhile."""
            return sum(threads_of(worker) - 1 for worker in server.workers())

        wait_until(lambda: more() >= least, "there are too few threads")
        assert most is None or more() <= most, "%s: %d more threads" % (inside, more())
        for client in clients:
            client.close()
        assert server.stop() == ""


def test_demo_server_inside_pool_each_worker_answers_as_many_at_once_as_it_has_threads():
    server = Server("--workers", "2", "--latency", "50", *INSIDE["pool"])
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        statuses = list(pool.map(server.status, ["/geocode?address=Berlin"] * 96))
    assert statuses == [200] * 96, statuses
    assert 2 <= server.stat("busy_most") <= 2 * 3, server.body
    assert server.stop() == ""


def test_demo_server_max_connections_are_those_of_all_workers():
    for options in INSIDE.values():
        server = Server("--workers", "3", "--max-connections", "4", *options)
        clients = [server.keep() for _ in range(4)]
        assert [server.get("/stats") for _ in range(5)] == [503] * 5
        clients.pop().close()
        wait_until(lambda: server.get("/stats") == 200, "there is room for one again")
        # What the killed ones had is gone with them, though nobody has counted it down.
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.now("open") == 1, "those of the dead are gone")
        others = [server.keep() for _ in range(4)]
        assert server.get("/stats") == 503
        for client in clients + others:
            client.close()
        assert server.stop().count("was killed by signal 9 (Killed)\n") == 3


def test_demo_server_killed_workers_are_replaced():
    for options in INSIDE.values():
        server = Server("--workers", "2", *options)
        assert server.get("/geocode?address=Berlin") == 200
        before = server.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(server.workers()) - set(before)) == 2, "no others have come")
        wait_until(lambda: server.get("/geocode?address=Berlin") == 200, "the others should serve")
        assert server.stat("answers")["200"] >= 2, "what the killed ones have counted is there"
        said = server.stop()
        assert said.count("was killed by signal 9 (Killed)\n") == said.count("\n") == 2, said


@contextlib.contextmanager
def load(server, n):
    """So many clients ask on and on; gives the counts of the statuses that they get."""
    over, statuses = threading.Event(), collections.Counter()

    def client():
        while not over.is_set():
            statuses[server.status("/geocode?address=Berlin")] += 1

    clients = [threading.Thread(target=client) for _ in range(n)]
    for thread in clients:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in clients:
            thread.join()


def test_demo_server_killed_workers_under_load_lose_what_they_had_and_no_more():
    for options in INSIDE.values():
        server = Server("--workers", "3", "--latency", "5", *options)
        killed = 0
        with load(server, 8) as statuses:
            while killed < 6:
                # Not before others have been at work: so they are killed in the middle of something.
                answered = statuses[200]
                wait_until(lambda: statuses[200] > answered + 20, "the others should serve")
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(server.workers()[killed % 2], signal.SIGKILL)
                    killed += 1
            wait_until(lambda: len(server.workers()) == 3, "not all are replaced")
        assert set(statuses) <= {0, 200}, statuses
        wait_until(lambda: server.now("open") == server.now("busy") == 1, "what is left is the question")
        said = server.stop()
        assert said.count("was killed by signal 9 (Killed)\n") == said.count("\n") == killed, said


def test_demo_server_killed_leaves_nobody():
    adopt()
    server = Server("--workers", "2")
    server.process.kill()
    server.process.communicate(timeout=runner.HANGS)
    wait_until(has_no_children, "a process is left")
    assert server.get("/") == 0


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
