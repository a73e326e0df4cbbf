#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`sensors` in each mode, into SQLite; servers and databases that don't do what they should.

test_sensors.py SENSORS DEMO_SERVER [TEST ...]     the two programs
"""
import datetime
import os
import sys

import runner
from servers import MODES, PATH, Server, Started, demo_server, expected, nobody, says, server_of, silent_server
from sqlite_file import File

SENSORS, DEMO_SERVER = sys.argv[1:3]
NOTHING = "nothing was written"


def run(*args, **kwargs):
    return runner.Run([SENSORS] + [str(a) for a in args], **kwargs)


def demo(*options):
    return demo_server(DEMO_SERVER, *options)


# ---- The command line ----

def test_help_tells_what_failures_do():
    said = run("--help").succeeds()
    said.check(said.out.startswith("usage: sensors [OPTION ...] SERVER ..."), "how to use it")
    said.check("exit with 0, if some servers fail" in said.out, "what --tolerate-failures does")


def test_bad_arguments_are_refused():
    for arguments, words in ((["--mode", "magic"], "--mode"), (["--timeout", "0"], "--timeout"),
                             (["--workers", "0"], "--workers"), (["--nonsense"], "--nonsense"),
                             (["--db", "sqlite:"], "no file"), (["--db", "x.db"], "sqlite:FILE or postgresql://"),
                             (["--db", "mysql://me:secret@host/db"], "sqlite:FILE or postgresql://")):
        said = run(*arguments, nobody()).fails(words, status=2).prints("")
        said.check("secret" not in said.err, "a URL with a password in it is not shown")
    run().fails("no server", status=2).prints("")


def test_keys_and_addresses_that_cannot_be_are_refused():
    for arguments in (["--api-key", "a\r\nHost: b"], ["--api-key", "k" * 1000], ["http://h/" + "x" * 5000]):
        with File() as file:
            run("--db", file.url, *arguments, nobody()).fails().prints("")
            assert not os.path.exists(file.path)
    for address, words in (("nonsense", "not a URL"), ("https://127.0.0.1", "only http://"), ("", "not a URL")):
        for mode in "nonblocking", "tasks":
            with File() as file:
                says(run("--mode", mode, "--db", file.url, address), 1, words, NOTHING)


def test_output_that_cannot_be_written_is_an_error():
    with demo() as url, File() as file, open("/dev/full", "w") as full:
        run("--db", file.url, url, stdout=full).fails("cannot write the output")


# ---- What is collected ----

def test_every_mode_writes_the_same_rows():
    with demo("--api-key", "secret") as one, demo("--api-key", "secret", "--latency", "30") as two:
        for mode in MODES:
            with File() as file:
                said = run("--mode", mode, "--api-key", "secret", "--db", file.url, one, two + "/").succeeds()
                said.prints("Collected 10 data points from 2 of 2 servers\n")
                said.check(file.rows() == expected(one, two), "these rows: %r" % file.rows())


def test_time_is_utc_in_the_form_of_sqlalchemy():
    with demo() as url, File() as file:
        before = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        run("--db", file.url, url).succeeds().prints("Collected 5 data points from 1 of 1 server\n")
        after = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        for (text,) in file.query("SELECT collected_at FROM sensor_values"):
            assert before <= datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f") <= after, text


def test_runs_append():
    with demo() as url, File() as file:
        run("--db", file.url, url).succeeds()
        run("--db", file.url, url, "--mode", "sequential").succeeds()
        assert file.rows() == expected(url, url)


def test_runs_at_once_append():
    with demo() as url, File() as file:
        started = [Started([SENSORS, "--mode", mode, "--timeout", "50", "--db", file.url] + [url] * 5)
                   for mode in MODES]
        for program in started:
            program.end().succeeds()
        assert file.rows() == expected(*[url] * 5 * len(MODES))


def test_fifty_servers_with_fewer_workers():
    with demo("--latency", "5") as url:
        for mode in MODES:
            with File() as file:
                run("--mode", mode, "--workers", 4, "--db", file.url, *[url] * 50).succeeds()
                assert file.rows() == expected(*[url] * 50), mode


def test_values_of_each_kind_arrive_as_they_are():
    values = [None, True, False, 0, -1, 2 ** 53 + 1, 0.1, 1e300, -2.5e-7, 1 / 3, "", "21.5 °C", 'a "quote"\n', [], {},
              [[[1]]], {"a": {"b": [None, "c"]}}]
    sensors = [{"id": "s%d" % i, "value": value} for i, value in enumerate(values)]
    with server_of({"sensors": sensors}) as server:
        for mode in MODES:
            with File() as file:
                run("--mode", mode, "--db", file.url, server.url).succeeds()
                assert file.rows() == [(s["id"], server.url, s["value"]) for s in sensors], file.rows()
                assert file.query("SELECT data FROM sensor_values WHERE sensor_name = 's6'") == [("0.1",)]


def test_a_server_without_sensors_is_no_failure():
    with server_of({"sensors": []}) as server, File() as file:
        run("--db", file.url, server.url).succeeds().prints("Collected 0 data points from 1 of 1 server\n")
        assert file.rows() == []


def test_all_addresses_of_a_name_are_tried():
    with demo() as url:  # on 127.0.0.1 only, while localhost may be ::1 first
        named = url.replace("127.0.0.1", "localhost")
        for mode in MODES:
            with File() as file:
                run("--mode", mode, "--db", file.url, named).succeeds()
                assert file.rows() == expected(named), mode


def test_the_request():
    for mode in MODES:
        with server_of({"sensors": []}) as server, File() as file:
            run("--mode", mode, "--api-key", "a key", "--db", file.url, server.url + "/at/home").succeeds()
            run("--mode", mode, "--db", file.url, server.url).succeeds()
            with_key, without = [request.split("\r\n") for request in server.requests]
            assert with_key[0] == "GET /at/home%s HTTP/1.1" % PATH, with_key
            assert with_key.count("X-API-KEY: a key") == 1 and with_key[-2:] == ["", ""], with_key
            assert without[0] == "GET %s HTTP/1.1" % PATH and "X-API-KEY" not in "".join(without), without


# ---- Servers that fail ----

def test_wrong_key_is_named_for_each_server():
    with demo("--api-key", "secret") as one, demo("--api-key", "other") as two:
        for mode in MODES:
            for key in ["--api-key", "wrong"], []:
                with File() as file:
                    says(run("--mode", mode, *key, "--db", file.url, one, two), 1,
                         (one + PATH, "403 Forbidden (Supply API key in X-API-KEY header)"),
                         (two + PATH, "403 Forbidden (Supply API key in X-API-KEY header)"),
                         ("2 of 2 servers", NOTHING)).prints("")
                    assert not os.path.exists(file.path)


def test_one_failure_keeps_all_from_being_written():
    with demo() as url, demo("--fail-rate", "1") as failing:
        for mode in MODES:
            with File() as file:
                file.make_table()
                dead = nobody()
                says(run("--mode", mode, "--db", file.url, url, dead, failing, url), 1,
                     (dead + PATH, "Connection refused"), (failing + PATH, "500"),
                     ("2 of 4 servers", NOTHING)).prints("")
                assert file.is_as_made(), file.rows()


def test_tolerated_failures_are_told_and_the_rest_is_written():
    with demo() as url, demo("--fail-rate", "1") as failing:
        for mode in MODES:
            with File() as file:
                dead = nobody()
                said = run("--mode", mode, "--tolerate-failures", "--db", file.url, url, dead, failing, url)
                says(said, 0, (dead + PATH, "Connection refused"), (failing + PATH, "500"))
                said.prints("Collected 10 data points from 2 of 4 servers\n")
                assert file.rows() == expected(url, url), file.rows()


def test_not_even_tolerance_writes_what_nobody_said():
    for mode in MODES:
        with File() as file:
            says(run("--mode", mode, "--tolerate-failures", "--db", file.url, nobody(), nobody()), 1,
                 "refused", "refused", ("2 of 2 servers", NOTHING)).prints("")
            assert not os.path.exists(file.path)


def test_malformed_answers():
    deep = '{"sensors": [{"id": "a", "value": %s}]}' % ("[" * 2000 + "]" * 2000)
    bad = [("[{", "malformed JSON"), ("", "malformed JSON"), ("\0", "malformed JSON"), ("[" * 9000, "malformed JSON"),
           (b'{"sensors": [{"id": "\xff", "value": 1}]}', "malformed JSON"), ("{}", "no list of sensors"),
           ("[1]", "no list of sensors"), ('{"sensors": 5}', "no list of sensors"),
           ('{"sensors": [5]}', "without an id"), ('{"sensors": [{"id": 5, "value": 1}]}', "without an id"),
           ('{"sensors": [{"id": "a"}]}', "without a value"), (deep, "too long a value"),
           ('{"sensors": [{"id": "%s", "value": 1}]}' % ("x" * 500), "too long a sensor's name"),
           ('{"sensors": [{"id": "a", "value": "%s"}]}' % ("x" * 5000), "too long a value")]
    for body, words in bad:
        with server_of(body) as server:
            for mode in "nonblocking", "threads", "processes", "tasks":
                with File() as file:
                    says(run("--mode", mode, "--db", file.url, server.url), 1, (server.url + PATH, words), NOTHING)
                    assert not os.path.exists(file.path)


def test_what_is_no_answer():
    for data, words in ((b"", "closed without an answer"), (b"no HTTP at all\r\n\r\n", "not HTTP"),
                        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "closed in the middle"),
                        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200000, "too long")):
        with Server(lambda request, what=data: what) as server:
            for mode in MODES:
                with File() as file:
                    says(run("--mode", mode, "--db", file.url, server.url), 1, (server.url + PATH, words), NOTHING)


def test_answers_in_pieces():
    chunked = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"6\r\n{\"sens\r\n9\r\nors\": []}\r\n0\r\n\r\n")
    for data in chunked, b"HTTP/1.0 200 OK\r\n\r\n{\"sensors\": []}":
        with Server(lambda request, what=data: what) as server:
            for mode in MODES:
                with File() as file:
                    run("--mode", mode, "--db", file.url, server.url).succeeds()


def test_server_that_never_answers_is_given_up():
    with silent_server() as silent, demo() as url:
        for mode in MODES:
            with File() as file:
                said = run("--mode", mode, "--timeout", "3", "--tolerate-failures", "--db", file.url, silent.url, url)
                says(said, 0, (silent.url + PATH, "no answer in time"))
                assert file.rows() == expected(url), mode


def test_few_descriptors_end_it_with_clear_lines():
    with demo() as url:
        for mode in MODES:
            for limit in 4, 6, 9, 12:
                with File() as file:
                    said = runner.Run(["sh", "-c", 'ulimit -n %d; exec "$0" "$@"' % limit, SENSORS, "--mode", mode,
                                       "--db", file.url] + [url] * 20)
                    if said.status == 0:
                        assert file.rows() == expected(*[url] * 20)
                        continue
                    said.check(said.status == 1 and said.err, "it should fail, and say why")
                    for line in said.err.splitlines():
                        said.check(line.startswith("sensors: "), "a line of the program's own: %r" % line)
                    said.check(not os.path.exists(file.path) or file.query("SELECT name FROM sqlite_master") == [],
                               "nothing is written")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
