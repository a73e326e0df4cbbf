# SPDX-License-Identifier: MIT
"""Servers for the tests of `sensors`: the demo server, and ones that misbehave; and the program in the background."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import runner

MODES = ["sequential", "nonblocking", "threads", "pool", "processes", "tasks"]
PATH = "/v/2.0/sensors/"

# ThreadSanitizer keeps a signal for itself until the thread that it came to makes a call that it knows; one that
# waits for the others, in futex(2), makes none.
WITH_TSAN = bool(os.environ.get("WITH_TSAN"))
MODES_THAT_HEAR = ["sequential", "nonblocking"] if WITH_TSAN else MODES

# What the demo server says, as the database should have it.
POINTS = [("CPULoad", 0.17), ("RAMAvailable", 2147483648), ("ACStatus", True),
          ("Temperature", {"magnitude": 21.5, "unit": "degC"}), ("RelativeHumidity", 45.5)]


def expected(*urls):
    """The rows of demo servers."""
    return [(name, url, data) for url in urls for name, data in POINTS]


@contextlib.contextmanager
def demo_server(program, *options):
    process = subprocess.Popen([program, "--port", "0", "--with-parent", str(os.getpid())] + list(options),
                               stdout=subprocess.PIPE, universal_newlines=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.stdout.close()
        if process.wait(runner.HANGS) != 0:
            raise AssertionError("the demo server ended with %d" % process.returncode)


class Server:
    """It reads requests and sends the bytes answer(path) returns; None: it says nothing until the end."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.requests = []  # whole ones, as text
        self.connections = []
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            with contextlib.suppress(OSError):
                self.handle(connection)

    def handle(self, connection):
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return
            request += data
        self.requests.append(request.decode())
        what = self.answer(self.requests[-1])
        if what is not None:
            connection.sendall(what)
            connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(runner.HANGS)
        for connection in self.connections:
            connection.close()


def answer_with(body, status="200 OK"):
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    body = body if isinstance(body, bytes) else body.encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


def server_of(body, status="200 OK"):
    return Server(lambda request: answer_with(body, status))


def silent_server():
    return Server(lambda request: None)


def nobody():
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return "http://127.0.0.1:%d" % s.getsockname()[1]


def wait_until(condition, what):
    end = time.monotonic() + runner.HANGS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class Started:
    """A program that runs, in a process group of its own, as a shell would start it."""

    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, universal_newlines=True, start_new_session=True)
        self.pid = self.process.pid

    def ctrl_c(self):
        """As a terminal: to all processes of the group."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self):
        """Its end, as a runner.Run."""
        try:
            out, err = self.process.communicate(timeout=runner.HANGS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        run = runner.Run.__new__(runner.Run)
        run.command, run.status, run.out, run.err = self.command, self.process.returncode, out, err
        return run

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.communicate()


def others_of_group(group):
    """The processes of a group, but the one that it is named after."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(ProcessLookupError):
            if pid != group and os.getpgid(pid) == group:
                found.append(pid)
    return found


def group_is_gone(pid):
    try:
        os.killpg(pid, 0)
        return False
    except ProcessLookupError:
        return True


def says(run, status, *lines):
    """The exit status, and on stderr just these lines: each a tuple of words that it has."""
    run.check(run.status == status, "the exit status should be %d" % status)
    said = run.err.splitlines()
    run.check(len(said) == len(lines), "%d lines on stderr" % len(lines))
    for line, words in zip(said, lines):
        run.check(line.startswith("sensors: "), "a line begins with the program's name")
        for word in [words] if isinstance(words, str) else words:
            run.check(word in line, "the line should say %r: %r" % (word, line))
    return run
