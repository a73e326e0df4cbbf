#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`sensors` and PostgreSQL: a real server, which is started for this.

test_sensors_postgres.py SENSORS DEMO_SERVER [TEST ...]     the two programs
"""
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys

import runner
from pg import Cluster, find_programs
from servers import MODES, Started, demo_server, expected, group_is_gone, says, server_of, wait_until

SENSORS, DEMO_SERVER = sys.argv[1:3]
NOTHING = "nothing was written"
INTERRUPTED = 128 + signal.SIGINT
cluster = Cluster()


def command(*args):
    return [SENSORS] + [str(a) for a in args]


def run(*args):
    return runner.Run(command(*args))


def demo(*options):
    return demo_server(DEMO_SERVER, *options)


def rows():
    return [(row[0], row[1], row[2]) for row in
            (json.loads(line) for line in cluster.query(
                "SELECT json_build_array(sensor_name, server, data) FROM sensor_values ORDER BY id"))]


def make_table(more=""):
    cluster.fresh()
    cluster.query("CREATE TABLE sensor_values (id SERIAL PRIMARY KEY, sensor_name VARCHAR, collected_at TIMESTAMP, "
                  "server VARCHAR, data JSONB); " + more)


def count():
    return int(cluster.query("SELECT count(*) FROM sensor_values")[0])


@contextlib.contextmanager
def table_locked():
    """By another session, until the block's end."""
    other = subprocess.Popen(cluster.psql(database="test"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             universal_newlines=True)
    try:
        other.stdin.write("BEGIN; LOCK TABLE sensor_values IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n")
        other.stdin.flush()
        assert other.stdout.readline() == "locked\n"
        yield
    finally:
        other.communicate(timeout=runner.HANGS)


def is_waiting():
    """Is a sensors held up by a lock, in its transaction?"""
    return cluster.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'sensors' AND "
                         "wait_event_type = 'Lock'", "postgres") != []


def is_gone():
    return cluster.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'sensors'", "postgres") == []


# ---- What is written ----

def test_every_mode_writes_the_same_rows():
    with demo("--api-key", "secret") as one, demo("--api-key", "secret", "--latency", "30") as two:
        for mode in MODES:
            cluster.fresh()
            said = run("--mode", mode, "--api-key", "secret", "--db", cluster.url(), one, two + "/").succeeds()
            said.prints("Collected 10 data points from 2 of 2 servers\n")
            assert rows() == expected(one, two), mode
            assert cluster.query("SELECT count(*) FROM sensor_values, (SELECT now() AT TIME ZONE 'UTC' AS utc) now "
                                 "WHERE collected_at BETWEEN utc - interval '1 hour' AND utc") == ["10"]


def test_epoll_does_it_too():
    with demo() as url:
        cluster.fresh()
        runner.Run(["env", "CONC_BACKEND=epoll"] + command("--db", cluster.url(), *[url] * 10)).succeeds()
        assert rows() == expected(*[url] * 10)


def test_runs_append():
    with demo() as url:
        cluster.fresh()
        run("--db", cluster.url(), url).succeeds()
        run("--db", cluster.url().replace("postgresql:", "postgres:"), url).succeeds()
        assert rows() == expected(url, url)


def test_runs_at_once_create_one_table():
    with demo() as url:
        for _ in range(3):
            cluster.fresh()
            started = [Started(command("--mode", mode, "--timeout", 50, "--db", cluster.url(), url, url))
                       for mode in MODES]
            for program in started:
                program.end().succeeds()
            assert rows() == expected(*[url, url] * len(MODES))


def test_values_of_each_kind_arrive_as_they_are():
    values = [None, True, 0, -1, 2 ** 53 + 1, 0.1, -2.5e-7, "", "21.5 °C", 'a "quote"\n \\', [[[1]]], {"a": [None]}]
    sensors = [{"id": "s%d" % i, "value": value} for i, value in enumerate(values)]
    with server_of({"sensors": sensors}) as server:
        cluster.fresh()
        run("--db", cluster.url(), server.url).succeeds()
        assert rows() == [(s["id"], server.url, s["value"]) for s in sensors], rows()


def test_rows_by_the_thousand():
    sensors = [{"id": "s%d" % i, "value": "x" * 800} for i in range(2000)]
    with server_of({"sensors": sensors}) as server:
        cluster.fresh()
        run("--timeout", 50, "--db", cluster.url(), server.url).succeeds()
        assert count() == 2000


def test_a_user_who_may_not_create_tables_may_write():
    make_table("DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN; GRANT INSERT ON sensor_values TO writer; "
               "GRANT USAGE ON SEQUENCE sensor_values_id_seq TO writer; REVOKE CREATE ON SCHEMA public FROM public;")
    with demo() as url:
        run("--db", cluster.url(user="writer"), url).succeeds()
        assert count() == 5
        cluster.query("DROP TABLE sensor_values")
        run("--db", cluster.url(user="writer"), url).fails("permission denied").prints("")


def test_one_of_several_hosts_will_do():
    with demo() as url:
        cluster.fresh()
        several = "postgresql:///test?user=tester&host=/no/such/place,%s" % cluster.directory
        for environment in [], ["env", "CONC_BACKEND=epoll"]:
            runner.Run(environment + command("--db", several, url)).succeeds()
        assert count() == 10


# ---- What is not ----

def test_databases_that_are_none():
    with demo() as url:
        for db, words in ((cluster.url("nowhere"), 'database "nowhere" does not exist'),
                          (cluster.url(user="nobody"), 'role "nobody" does not exist'),
                          ("postgresql:///test?host=/no/such/place", "No such file"),
                          ("postgresql://me:secret@127.0.0.1:1/test", "Connection refused"),
                          ("postgresql://me:secret@localhost:1/test", "Connection refused"),
                          ("postgresql://me:secret@h/test?nonsense=1", "the URL: invalid URI query parameter"),
                          ("postgresql://me:secret@[h/test", "the URL: end of string"),
                          ("postgresql://me:secret%zz@h/test", "the URL: invalid percent")):
            for mode in "pool", "tasks":
                said = run("--mode", mode, "--timeout", 20, "--db", db, url).fails("PostgreSQL: ", words).prints("")
                said.check("secret" not in said.err, "a password is not shown")


def test_a_server_that_is_none():
    """It never answers, or closes, or says something else."""
    with demo() as url:
        for answer, words in ((None, "no answer in time"), (b"", ""), (b"HTTP/1.0 400 Bad Request\r\n\r\n", "")):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                db = "postgresql://me@127.0.0.1:%d/test?sslmode=disable&gssencmode=disable" % listener.getsockname()[1]
                for mode in "nonblocking", "tasks":
                    with Started(command("--mode", mode, "--timeout", 3 if answer is None else 50, "--db", db,
                                         url)) as program:
                        connection, _ = listener.accept()
                        with connection:
                            connection.recv(1)
                            if answer is not None:
                                connection.sendall(answer)
                                connection.shutdown(socket.SHUT_WR)
                                while connection.recv(65536):
                                    pass
                            program.end().fails("PostgreSQL: ", words).prints("")


def test_a_row_that_is_refused_takes_the_others_with_it():
    make_table("INSERT INTO sensor_values (sensor_name) VALUES ('old'); "
               "ALTER TABLE sensor_values ADD CHECK (sensor_name <> 'Temperature')")
    with demo() as url:
        for mode in MODES:
            run("--mode", mode, "--db", cluster.url(), url, url).fails("violates check constraint").prints("")
            assert count() == 1, mode


def test_a_failed_server_keeps_all_from_being_written():
    cluster.fresh()
    with demo() as url, demo("--fail-rate", "1") as failing:
        for mode in MODES:
            says(run("--mode", mode, "--db", cluster.url(), url, failing), 1, (failing, "500"), NOTHING).prints("")
        assert cluster.query("SELECT to_regclass('sensor_values') IS NULL") == ["t"]
        says(run("--tolerate-failures", "--db", cluster.url(), url, failing), 0, (failing, "500"))
        assert rows() == expected(url)


def test_a_table_that_stays_locked_is_given_up():
    make_table()
    with demo() as url:
        for mode in "pool", "tasks":
            with table_locked():
                run("--mode", mode, "--timeout", 3, "--db", cluster.url(), url).fails("no answer in time").prints("")
            wait_until(is_gone, "the server should notice")
    assert count() == 0


def test_ctrl_c_in_the_middle_of_the_transaction():
    make_table()
    with demo() as url:
        for mode in MODES:
            with table_locked():
                with Started(command("--mode", mode, "--timeout", 3600, "--db", cluster.url(), url)) as program:
                    wait_until(is_waiting, "it should come to the lock")
                    program.ctrl_c()
                    says(program.end(), INTERRUPTED, ("interrupted", NOTHING)).prints("")
                    wait_until(lambda: group_is_gone(program.pid), "no process should be left")
            wait_until(is_gone, "the server should notice")
            assert count() == 0, mode


def test_a_session_that_is_ended_in_the_middle_of_the_transaction():
    make_table()
    with demo() as url:
        for mode in "threads", "tasks":
            with table_locked():
                with Started(command("--mode", mode, "--timeout", 50, "--db", cluster.url(), url)) as program:
                    wait_until(is_waiting, "it should come to the lock")
                    cluster.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                                  "'sensors'", "postgres")
                    program.end().fails("PostgreSQL: ", "terminating connection").prints("")
            assert count() == 0


def make_table_that_waits(when, deferred=""):
    """A program that adds a row with the name ACStatus has to wait for a lock: at once; or, deferred, when it is committed."""
    make_table("CREATE FUNCTION wait() RETURNS trigger AS $$ BEGIN PERFORM pg_advisory_xact_lock(5); "
               "RETURN new; END $$ LANGUAGE plpgsql; CREATE %s TRIGGER t %s INSERT ON sensor_values %s FOR EACH ROW "
               "WHEN (new.sensor_name = 'ACStatus') EXECUTE FUNCTION wait();" %
               ("CONSTRAINT" if deferred else "", when, deferred))


@contextlib.contextmanager
def held():
    """That lock, by another session, until the block's end."""
    other = subprocess.Popen(cluster.psql(database="test"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, universal_newlines=True)
    try:
        other.stdin.write("SELECT pg_advisory_lock(5), 'locked';\n")
        other.stdin.flush()
        assert "locked" in other.stdout.readline()
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            other.communicate(timeout=runner.HANGS)


def test_a_server_that_dies_in_the_middle_of_the_transaction():
    with demo() as url:
        for mode in "sequential", "tasks":
            make_table_that_waits("BEFORE")
            with held(), Started(command("--mode", mode, "--timeout", 50, "--db", cluster.url(), url)) as program:
                wait_until(is_waiting, "it should come to the lock, with two rows")
                cluster.stop("QUIT")
                program.end().fails("PostgreSQL: ").prints("")
            cluster.start()
            assert count() == 0, mode


# ---- The commit ----

def test_a_commit_that_is_refused():
    make_table("CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE 'not today'; END $$ LANGUAGE plpgsql; "
               "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON sensor_values DEFERRABLE INITIALLY DEFERRED "
               "FOR EACH ROW EXECUTE FUNCTION no()")
    with demo() as url:
        said = run("--db", cluster.url(), url).fails("PostgreSQL: ERROR:  not today").prints("")
        said.check("perhaps" not in said.err, "it is known how it has ended")
    assert count() == 0


def test_a_commit_that_has_been_sent_is_not_interrupted():
    with demo() as url:
        for mode in "threads", "tasks":
            make_table_that_waits("AFTER", "DEFERRABLE INITIALLY DEFERRED")
            with contextlib.ExitStack() as lock:
                lock.enter_context(held())
                with Started(command("--mode", mode, "--timeout", 50, "--db", cluster.url(), url)) as program:
                    wait_until(is_waiting, "it should come to the lock")
                    program.ctrl_c()
                    for _ in range(5):
                        assert is_waiting(), "it should wait for the answer all the same"
                    lock.close()
                    program.end().succeeds().prints("Collected 5 data points from 1 of 1 server\n")
            assert count() == 5


def test_a_commit_whose_end_is_not_known():
    with demo() as url:
        for mode in "threads", "tasks":
            make_table_that_waits("AFTER", "DEFERRABLE INITIALLY DEFERRED")
            with held():
                run("--mode", mode, "--timeout", 3, "--db", cluster.url(), url).fails(
                    "no answer in time", "perhaps all was written, perhaps nothing").prints("")
            wait_until(is_gone, "the server should notice")
            assert count() in (0, 5)


if __name__ == "__main__":
    if not find_programs() or not shutil.which("setpriv"):
        print("1..0 # SKIP PostgreSQL is not installed")
        sys.exit(0)
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))  # so that the server is stopped
    with cluster:
        sys.exit(runner.main(dict(globals()), sys.argv[3:]))
