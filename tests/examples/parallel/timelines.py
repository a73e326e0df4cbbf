# SPDX-License-Identifier: MIT
"""For test_timelines.py: a chart and its steps, read back from what was printed; and servers that answer as a test
wants them to."""
import contextlib
import itertools
import json
import re
import socket
import threading

import runner

TITLES = {"1": "one after another", "2": "tasks wait at the same time, one of them parses", "3": "threads",
          "7": "main, fetch and parse of Listing 7-5"}
PAGES = ["MatthewWilkes/apd.%s/commits%s" % (repository, "?page=%d" % page if page > 1 else "")
         for repository, pages in (("sensors", 3), ("aggregation", 4)) for page in range(1, pages + 1)]
BASE = "/of-this-test"


# ---- Reading what is printed ----

class Step:
    def __init__(self, line):
        found = re.fullmatch(r"  (\S.*?) +(does|waits for) +(\d+\.\d{3}) +(\d+\.\d{3})  ([^:]+)(?:: (.*))?", line)
        assert found, "not a step: %r" % line
        self.lane, self.kind, begin, end, self.name, self.about = found.groups()
        self.begin, self.end, self.waits = float(begin), float(end), self.kind == "waits for"

    def overlaps(self, other):
        return self.begin < other.end and other.begin < self.end


class Figure:
    """A chart: {lane: its columns}, and the steps listed below it."""

    def __init__(self, text):
        lines = text.splitlines()
        title = re.fullmatch(r"Figure 7-(\d), (.*): (\d+\.\d) ms", lines[0])
        assert title and TITLES[title.group(1)] == title.group(2), lines[0]
        self.number, self.total = title.group(1), float(title.group(3))
        count = sum("|" in line for line in lines)
        chart = [re.fullmatch(r"  (\S.*?) +\|([A-Z. ]+)\|", line) for line in lines[1:count + 1]]
        assert all(chart), text
        self.lanes = dict(line.groups() for line in chart)
        assert list(self.lanes) == [line.group(1) for line in chart], "each context has one line"
        assert len(set(map(len, lines[1:count + 1]))) == 1, "the lines are of one length"
        self.scale(lines[count + 1], lines[1].index("|") + 1)
        legend = re.split(" {3}", lines[count + 2].strip())
        self.legend = {word: letter for letter, word in (item.split(" ", 1) for item in legend)}
        self.steps = [Step(line) for line in lines[count + 3:]]
        assert [step.begin for step in self.steps] == sorted(step.begin for step in self.steps), "in their order"

    def scale(self, line, first):
        """Numbers that grow, from zero, the first under the first column."""
        numbers = [float(number) for number in re.findall(r"'(\d+(?:\.\d)?)", line)]
        assert line.endswith(" ms") and line.index("'") == first and numbers[0] == 0, line
        assert numbers == sorted(numbers) and numbers[-1] <= self.total + 0.51, line

    def of(self, lane):
        return [step for step in self.steps if step.lane == lane]

    def columns(self, lane):
        """The letters of a lane's line, each once for a stretch of columns."""
        return "".join(letter for letter, _ in itertools.groupby(self.lanes[lane].replace(" ", "")))

    def check(self, lanes):
        """What is so in every figure."""
        assert list(self.lanes) == lanes, self.lanes
        assert len(set(self.legend.values())) == len(self.legend), "a letter is one thing only"
        for lane in lanes:
            steps = self.of(lane)
            for one, next_one in zip(steps, steps[1:]):
                assert one.end <= next_one.begin, "a context is in one step at a time"
            letters = [self.legend["waiting" if step.waits else step.name] for step in steps]
            letters = "".join(letter for letter, _ in itertools.groupby(letters))
            assert self.columns(lane) == letters, (lane, letters, self.lanes[lane])
        begin, end = min(step.begin for step in self.steps), max(step.end for step in self.steps)
        assert begin == 0 and abs(end - self.total) <= 0.06, "the whole time"
        return self


# ---- Servers ----

SENSORS = {"sensors": [{"id": "CPULoad", "value": 0.17}]}


def answer_with(body, status="200 OK", headers=""):
    body = body if isinstance(body, str) else json.dumps(body)
    return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s"
            % (status, len(body), headers, body)).encode()


class Server:
    """Sends what answer(path) returns: bytes; None: nothing, until the end. Each request has a thread, so that an
    answer may wait for other requests. Counts how many are there at the same time at most. The URL has a path, and what
    does not begin with it is not counted: a test that runs beside this one may ask at a port where it believes nobody
    to be."""

    def __init__(self, answer):
        self.answer, self.lock, self.now, self.most, self.paths = answer, threading.Lock(), 0, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d%s" % (self.listener.getsockname()[1], BASE)
        self.over = threading.Event()
        self.answered = lambda: None  # called by a request's thread when the other end has closed
        self.give_up = lambda: None  # nobody waits for others any more
        self.threads = [threading.Thread(target=self.accept, daemon=True)]

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self.serve, args=(connection,), daemon=True))
                self.threads[-1].start()

    def count(self, change):
        with self.lock:
            self.now += change
            self.most = max(self.most, self.now)

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            path = request.split(b" ")[1].decode()
            if not path.startswith(BASE):
                return
            path = path[len(BASE):]
            self.paths.append(path)
            self.count(1)
            what = self.answer(path)
            self.count(-1)  # before it can be known at the other end
            if what is None:
                self.over.wait(runner.HANGS)
            else:
                connection.sendall(what)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
                self.answered()

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.give_up()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(runner.HANGS)


def sensors_server(at_once=1):
    """Answers as soon as so many requests are there: so none is answered before the others are made."""
    barrier = threading.Barrier(at_once)

    def answer(path):
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(runner.HANGS)
        return answer_with(SENSORS)

    server = Server(answer)
    server.give_up = barrier.abort
    return server


def backwards_server():
    """Answers when three requests are there, the last one first, and each when the one before has got its answer."""
    server, mine = sensors_server(at_once=3), threading.local()
    tickets, turns = itertools.count(), [threading.Event() for _ in range(4)]
    turns[3].set()
    wait_for_all = server.answer

    def answer(path):
        with server.lock:
            mine.ticket = next(tickets)
        what = wait_for_all(path)
        turns[mine.ticket + 1].wait(runner.HANGS)
        return what

    def give_up(barrier_gives_up=server.give_up):
        barrier_gives_up()
        for turn in turns:
            turn.set()

    server.answer, server.give_up, server.answered = answer, give_up, lambda: turns[mine.ticket].set()
    return server


def commits_server():
    """As the demo server: 3 and 4 pages, each with a link to the next."""
    server = Server(lambda path: None)

    def answer(path):
        page = PAGES.index(path[len("/repos/"):])
        more = page not in (2, len(PAGES) - 1)
        link = 'Link: <%s/repos/%s>; rel="next"\r\n' % (server.url, PAGES[page + 1]) if more else ""
        return answer_with([{"sha": "%040x" % page}], headers=link)

    server.answer = answer
    return server


@contextlib.contextmanager
def nobody():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield "http://127.0.0.1:%d" % s.getsockname()[1]
