# SPDX-License-Identifier: MIT
"""Web servers for the tests of models: the demo server, and one that answers as a test wants it to."""
import contextlib
import os
import socket
import subprocess
import threading

import runner

BASE = "/of-this-test"


@contextlib.contextmanager
def demo_server(programs, *options):
    command = [programs.path("support/demo_server"), "--port", "0", "--with-parent", str(os.getpid())] + list(options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, universal_newlines=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.stdout.close()
        if process.wait(runner.HANGS) != 0:
            raise AssertionError("the demo server ended with %d" % process.returncode)


def answer_with(body, status="200 OK"):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


@contextlib.contextmanager
def server_of(answer):
    """A server that sends what answer(path) returns: bytes; None: nothing, until the end. Each request has a thread, so
    that an answer may wait for another request. The URL has a path, and what does not begin with it is not counted: a
    test that runs beside this one may ask at a port where it believes nobody to be."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    connections, threads = [], []

    def serve(connection):
        request = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            path = request.split(b" ")[1].decode()
            what = answer(path[len(BASE):]) if path.startswith(BASE) else answer_with(b"", "404 Not Found")
            if what is not None:
                connection.sendall(what)
                connection.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield "http://127.0.0.1:%d%s" % (listener.getsockname()[1], BASE)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(runner.HANGS)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(runner.HANGS)
        for connection in connections:
            connection.close()


taken = []


def nobody():
    """A URL where nobody listens: the port is taken as long as the test runs."""
    taken.append(socket.socket())
    taken[-1].bind(("127.0.0.1", 0))
    return "http://127.0.0.1:%d" % taken[-1].getsockname()[1]
