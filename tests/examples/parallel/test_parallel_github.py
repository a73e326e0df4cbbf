#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Listings 7-5 and 7-1 against the demo server, and against servers that misbehave.

test_parallel_github.py DIRECTORY DEMO_SERVER [TEST ...]     DIRECTORY: where the programs are
"""
import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import runner

programs = runner.Programs(sys.argv[1])
PROGRAM = "listing07_05_github_commits"


@contextlib.contextmanager
def demo_server(*options):
    process = subprocess.Popen([sys.argv[2], "--port", "0"] + list(options), stdout=subprocess.PIPE,
                               universal_newlines=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.stdout.close()
        if process.wait(runner.HANGS) != 0:
            raise AssertionError("the demo server ended with %d" % process.returncode)


@contextlib.contextmanager
def server_of(answer):
    """A server that reads a request and sends the bytes answer(path) returns; None: it says nothing until the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    break
                request += data
            what = answer(request.split(b" ")[1].decode()) if b" " in request else b""
            if what is None:
                kept.append(connection)
            else:
                with contextlib.suppress(OSError):
                    connection.sendall(what)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(runner.HANGS)
        for connection in kept:
            connection.close()


@contextlib.contextmanager
def nobody():
    """A URL where nobody listens, and nobody else will: the port is taken."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield "http://127.0.0.1:%d" % s.getsockname()[1]


def answer_with(body, status="200 OK", headers=""):
    return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s"
            % (status, len(body), headers, body)).encode()


def columns(run):
    """What each of the two columns says, the lines of a message put together."""
    left, right = [], []
    for line in run.out.splitlines()[:-1]:
        column, text = (right, line[50:]) if line.startswith(" " * 50) else (left, line)
        run.check(text == text.strip() and 0 < len(text) <= 45, "a line of 45 characters at most: %r" % line)
        column.append(text)
    starts = r"(?=Getting |Storing |Got |Waiting |Starting |Discovered |Sending )"
    return [re.split(starts, "".join(column))[1:] for column in (left, right)]


# ---- A server that behaves ----

def test_two_repositories_all_pages():
    with demo_server() as url:
        run = programs.run(PROGRAM, "--server", url).succeeds()
    run.check(run.out.endswith("\n158 commits found\n"), "all commits of both repositories")
    left, right = columns(run)
    urls = ["%s/repos/MatthewWilkes/%s/commits%s" % (url, repository, page)
            for repository, pages in (("apd.sensors", 3), ("apd.aggregation", 4))
            for page in [""] + ["?page=%d" % i for i in range(2, pages + 1)]]
    got = [m[len("Getting "):] for m in left if m.startswith("Getting ")]
    run.check(sorted(got) == sorted(urls), "each page once")
    stored = [re.sub(r".* ?from ?", "", m) for m in left if m.startswith("Storing ")]
    run.check(stored == got, "each stored after it was got")
    found = [m[len("Discovered new url: "):] for m in right if m.startswith("Discovered ")]
    run.check(sorted(found) == sorted(u for u in urls if "?page=" in u), "each next page was found in the page before")
    run.check(sum(m.startswith("Starting processing") for m in right) == len(urls), "each was parsed")
    run.check(right[0] == "Waiting for url fetch thread", "the parser waits at first")
    run.check(right[-1] == "Sending instruction to finish" and left[-1] == "Got instruction to finish", "the end marker")


def test_other_repositories_can_be_named():
    with demo_server() as url:
        run = programs.run(PROGRAM, "--server", url, "somebody/something").succeeds()
    run.check(re.search(r"^[1-9]\d* commits found$", run.out, flags=re.M), "it has commits")
    run.check("MatthewWilkes" not in run.out, "only what was named")


def test_server_from_the_environment():
    with demo_server() as url:
        run = runner.Run(["env", "LIBCONC_SERVER=" + url, programs.path(PROGRAM)]).succeeds()
    run.check(run.out.endswith("158 commits found\n"), "it should find the server")


def test_what_the_columns_say_happens_in_this_order():
    with demo_server() as url:
        run = programs.run(PROGRAM, "--server", url, "somebody/much", "MatthewWilkes/apd.sensors").succeeds()
    done = []  # what was said, across both columns: the lines of a message follow one another
    for line in run.out.splitlines()[:-1]:
        text = line.strip()
        if re.match(r"(Getting|Storing|Got|Waiting|Starting|Discovered|Sending) ", text):
            done.append(text)
        else:
            done[-1] += text
    for page in 2, 3:
        url_of_page = "/repos/MatthewWilkes/apd.sensors/commits?page=%d" % page
        said = [re.split("[: ]", line)[0] for line in done if line.endswith(url_of_page)]
        run.check(said == ["Discovered", "Getting", "Storing"], "page %d is found before it is fetched" % page)
    fetched = [i for i, line in enumerate(done) if line.startswith("Storing ")]
    parsed = [i for i, line in enumerate(done) if line.startswith("Starting ")]
    run.check(len(fetched) == len(parsed) and all(f < p for f, p in zip(fetched, parsed)), "stored before it is parsed")
    sent, got = (done.index(word + " instruction to finish") for word in ("Sending", "Got"))
    run.check(max(parsed) < sent < got, "the end")


def test_links_relative_to_their_page():
    bodies = {"/repos/a/b/commits": ("[{\"sha\": \"1\"}]", "</repos/a/b/other?x=1>; rel=next"),
              "/repos/a/b/other?x=1": ("[{\"sha\": \"2\"}]", "<?x=2>; rel=\"prev next\""),
              "/repos/a/b/other?x=2": ("[{\"sha\": \"3\"}]", "<../c>; rel=\"prev\", <./last>; rel=\"next\""),
              "/repos/a/b/last": ("[{\"sha\": \"4\"}]", "<first>; rel=\"first\"")}

    def answer(path):
        if path not in bodies:
            return answer_with("{}", "404 Not Found")
        return answer_with(bodies[path][0], headers="Link: %s\r\n" % bodies[path][1])
    with server_of(answer) as url:
        run = programs.run(PROGRAM, "--server", url, "a/b").succeeds()
    run.check(run.out.endswith("\n4 commits found\n"), "all four pages")


# ---- Servers that don't ----

def test_no_server_is_one_clear_line():
    with nobody() as url:
        programs.run(PROGRAM, "--server", url).fails(url + "/", "Connection refused")


def test_not_a_url_is_one_clear_line():
    programs.run(PROGRAM, "--server", "nonsense://x").fails("nonsense://x")
    programs.run(PROGRAM, "--server", "http://127.0.0.1:1", "x" * 5000).fails("too long an address")


def test_error_500_on_every_answer():
    with demo_server("--fail-rate", "1") as url:
        run = programs.run(PROGRAM, "--server", url).fails("500")
    run.check("commits found" not in run.out, "nothing was found")


def test_error_404():
    with server_of(lambda path: answer_with("{}", "404 Not Found")) as url:
        programs.run(PROGRAM, "--server", url).fails("404")


def test_an_error_on_a_later_page():
    def answer(path):
        if "page=2" in path:
            return answer_with("broken", "500 Internal Server Error")
        return answer_with('[{"sha": "1"}]', headers='Link: <%s%s?page=2>; rel="next"\r\n' % (url, path))
    with server_of(answer) as url:
        programs.run(PROGRAM, "--server", url).fails("page=2", "500")


def test_pages_in_a_circle_come_to_an_end():
    link = 'Link: <?page=%d>; rel="next"\r\n'
    with server_of(lambda path: answer_with("[]", headers=link % (1 + path.endswith("1")))) as url:
        programs.run(PROGRAM, "--server", url, "a/b").fails(url, "more than 1000 pages")


def test_links_to_nowhere():
    for link in "<http://>", "<http://[>", "<nonsense://x>":
        with server_of(lambda path: answer_with("[]", headers="Link: %s; rel=next\r\n" % link)) as url:
            run = programs.run(PROGRAM, "--server", url, "a/b").fails()
            run.check("not a URL" in run.err or "nonsense" in run.err, "it should name the mistake")


def test_malformed_json():
    for body in "[{", "", "\0\0", '"text"', "{}", "[1]", '[{"sha": 5}]', '[{"id": "x"}]', "[" * 5000:
        with server_of(lambda path: answer_with(body)) as url:
            programs.run(PROGRAM, "--server", url).fails(url)


def test_commits_without_messages_count():
    body = '[{"sha": "%s", "commit": {}}, {"sha": ""}, {"sha": "1", "commit": {"message": "%s"}}]' % ("a" * 99, "b" * 999)
    with server_of(lambda path: answer_with(body)) as url:
        run = programs.run(PROGRAM, "--server", url, "a/b").succeeds()
    run.check(run.out.endswith("3 commits found\n"), "three commits")


def test_server_that_closes_early():
    for data in b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", b"no HTTP at all\r\n\r\n":
        with server_of(lambda path: data) as url:
            programs.run(PROGRAM, "--server", url).fails(url)


def test_server_that_never_answers():
    with server_of(lambda path: None) as url:
        start = time.monotonic()
        programs.run(PROGRAM, "--server", url, "--timeout", "0.3").fails(url)
        assert time.monotonic() - start < 60, "it should give up in time"


# ---- Listing 7-1 ----

NONBLOCKING = "listing07_01_nonblocking"
PATHS = ["/posts?userId=%d" % user for user in (1, 5, 8)]


def check_nonblocking(run, url, sizes):
    """The lines of a run that has got answers of these sizes, in some order."""
    lines = run.out.splitlines()
    run.check(lines[:3] == ["Making request to " + url + path for path in PATHS], "three requests first")
    ready = got = 0
    for line in lines[3:]:
        if line == "Reading from socket":
            ready -= 1
            got = 0
        elif line.endswith(" socket(s) ready"):
            run.check(ready == 0, "all that are ready are read")
            ready = int(line.split()[0])
            run.check(1 <= ready <= 3, "so many")
        else:
            run.check(re.match(r"^Got \d+ bytes$", line) and not got, "the chapter's format: %r" % line)
            sizes.remove(int(line.split()[1]))
            got = 1
    run.check(ready == 0 and sizes == [], "all three")


def test_nonblocking_three_answers():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for options in [], ["--latency", "50"]:
        with demo_server(*options) as url:
            sizes = [len(opener.open(url + path).read()) for path in PATHS]
            check_nonblocking(programs.run(NONBLOCKING, "--server", url).succeeds(), url, sizes)


def test_nonblocking_answers_of_each_form():
    for data in (answer_with("hello"), b"HTTP/1.0 200 OK\r\n\r\nhello",
                 b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"):
        with server_of(lambda path: data) as url:
            check_nonblocking(programs.run(NONBLOCKING, "--server", url).succeeds(), url, [5, 5, 5])


def test_nonblocking_answers_that_are_none():
    for data, words in ((b"", "closed without an answer"), (b"no HTTP at all\r\n\r\n", "not HTTP"),
                        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "closed in the middle"),
                        (answer_with("{}", "404 Not Found"), "404 Not Found"),
                        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200000, "too long")):
        with server_of(lambda path: data) as url:
            programs.run(NONBLOCKING, "--server", url).fails(url + "/posts", words)


def test_nonblocking_one_server_that_never_answers():
    with server_of(lambda path: None if path.endswith("5") else answer_with("hello")) as url:
        run = programs.run(NONBLOCKING, "--server", url, "--timeout", "0.3").fails(PATHS[1], "no answer in time")
        run.check(run.out.count("Got 5 bytes") == 2, "the others' answers should be there")


def test_nonblocking_no_server():
    with nobody() as url:
        programs.run(NONBLOCKING, "--server", url).fails("Connection refused")
    programs.run(NONBLOCKING, "--server", "https://127.0.0.1").fails("only http:// is spoken here")
    programs.run(NONBLOCKING, "--server", "nonsense").fails("not a URL")
    programs.run(NONBLOCKING, "--server", "http://127.0.0.1:1/" + "x" * 5000).fails("too long an address")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
