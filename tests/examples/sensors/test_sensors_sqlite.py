#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`sensors` and SQLite files that don't take the rows; interruptions: nothing is ever half-written.

test_sensors_sqlite.py SENSORS DEMO_SERVER [TEST ...]     the two programs
"""
import os
import shutil
import signal
import sys
import threading

import runner
from servers import (MODES, MODES_THAT_HEAR, Server, Started, answer_with, demo_server, expected, group_is_gone,
                     others_of_group, says, silent_server, wait_until)
from sqlite_file import File

SENSORS, DEMO_SERVER = sys.argv[1:3]
NOTHING = "nothing was written"
INTERRUPTED = 128 + signal.SIGINT

# A statement that takes minutes, for as long as nobody stops it.
ENDLESS = ("CREATE TRIGGER endless AFTER INSERT ON sensor_values WHEN new.sensor_name = 'ACStatus' BEGIN "
           "SELECT count(*) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000000) "
           "SELECT i FROM n WHERE i < 0); END;")


def command(*args):
    return [SENSORS] + [str(a) for a in args]


def run(*args):
    return runner.Run(command(*args))


def demo(*options):
    return demo_server(DEMO_SERVER, *options)


def has_open(pid, path):
    """Has the process this file open?"""
    try:
        return any(os.readlink("/proc/%d/fd/%s" % (pid, fd)) == path for fd in os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return False


# ---- Files that don't take it ----

def test_a_file_that_is_no_database():
    with demo() as url, File() as file:
        with open(file.path, "w") as text:
            text.write("no database, but long enough to look like one " * 100)
        for mode in MODES:
            run("--mode", mode, "--db", file.url, url).fails(file.path, "not a database").prints("")


def test_a_directory_and_a_place_that_is_none():
    with demo() as url, File() as file:
        for path in file.directory, "/no/such/place/db", "/dev/null/db":
            run("--db", "sqlite:" + path, url).fails(path, "unable to open").prints("")


def test_a_file_that_may_only_be_read():
    with demo() as url, File() as file:
        file.make_table()
        os.chmod(file.path, 0o444)
        as_any_user = []
        if os.geteuid() == 0:  # who may write to all files
            if not shutil.which("setpriv"):
                print("# without setpriv root can't be kept from writing")
                return
            as_any_user = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        for mode in "sequential", "tasks":
            said = runner.Run(as_any_user + command("--mode", mode, "--db", file.url, url))
            says(said, 1, (file.path, "readonly")).prints("")
        assert file.is_as_made()


def test_a_table_of_another_form():
    with demo() as url, File() as file:
        with file.connect() as connection:
            connection.execute("CREATE TABLE sensor_values (id INTEGER)")
        run("--db", file.url, url).fails("no column named").prints("")
        assert file.query("SELECT * FROM sensor_values") == []


def test_a_file_that_has_no_room():
    with demo() as url, File() as file:
        file.make_table()
        room = (os.path.getsize(file.path) + 511) // 512
        said = runner.Run(["sh", "-c", 'trap "" XFSZ; ulimit -f %d; exec "$0" "$@"' % room] +
                          command("--db", file.url, *[url] * 100))
        says(said, 1, file.path).prints("")
        assert file.is_as_made()


def test_a_row_that_is_refused_takes_the_others_with_it():
    with demo() as url, File() as file:
        file.make_table("CREATE TRIGGER no BEFORE INSERT ON sensor_values WHEN new.sensor_name = 'Temperature' "
                        "BEGIN SELECT RAISE(ABORT, 'no such thing here'); END;")
        for mode in MODES:
            run("--mode", mode, "--db", file.url, url, url).fails("no such thing here").prints("")
            assert file.is_as_made(), mode


# ---- Files that are locked ----

def test_locked_for_too_long():
    with demo() as url, File() as file:
        file.make_table()
        with file.connect() as other:
            other.execute("BEGIN EXCLUSIVE")
            for mode in "pool", "tasks":
                said = run("--mode", mode, "--timeout", "3", "--db", file.url, url)
                said.fails(file.path, "locked by another program").prints("")
            other.execute("ROLLBACK")
        assert file.is_as_made()


def test_locked_for_a_while():
    with demo() as url, File() as file:
        for mode in "pool", "tasks":
            with file.connect() as other:
                other.execute("BEGIN EXCLUSIVE")
                with Started(command("--mode", mode, "--timeout", "50", "--db", file.url, url)) as program:
                    wait_until(lambda: has_open(program.pid, file.path), "it should open the file")
                    other.execute("ROLLBACK")
                    program.end().succeeds()
        assert file.rows() == expected(url, url)


def test_a_statement_that_takes_too_long():
    with demo() as url, File() as file:
        file.make_table(ENDLESS)
        run("--timeout", "3", "--db", file.url, url).fails("not done in time").prints("")
        assert file.is_as_made()


# ---- Interruptions ----

def test_ctrl_c_while_servers_are_silent():
    for mode in MODES_THAT_HEAR:
        for count in 1, 5:
            with silent_server() as silent, File() as file:
                # A minute would be too long for the test: that it ends is the interruption's work.
                with Started(command("--mode", mode, "--timeout", 3600, "--tolerate-failures", "--db", file.url,
                                     *[silent.url] * count)) as program:
                    wait_until(lambda: silent.connections, "it should ask")
                    program.ctrl_c()
                    says(program.end(), INTERRUPTED, ("interrupted", NOTHING)).prints("")
                    wait_until(lambda: group_is_gone(program.pid), "no process should be left")
                assert not os.path.exists(file.path)


def test_sigterm_to_the_program_alone():
    for mode in MODES_THAT_HEAR:
        with silent_server() as silent, File() as file:
            with Started(command("--mode", mode, "--timeout", 3600, "--db", file.url, silent.url)) as program:
                wait_until(lambda: silent.connections, "it should ask")
                os.kill(program.pid, signal.SIGTERM)
                says(program.end(), 128 + signal.SIGTERM, ("interrupted", NOTHING)).prints("")
                wait_until(lambda: group_is_gone(program.pid), "no process should be left")


def test_workers_leave_signals_to_their_parent():
    go_on = threading.Event()

    def answer(request):
        go_on.wait(runner.HANGS)
        return answer_with({"sensors": []})

    with Server(answer) as server, File() as file:
        with Started(command("--mode", "processes", "--timeout", 50, "--db", file.url, server.url)) as program:
            wait_until(lambda: server.requests, "it should ask")
            workers = others_of_group(program.pid)
            assert len(workers) >= 2, "the server of processes, and a worker"
            for pid in workers:
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGTERM)
            go_on.set()
            program.end().succeeds()


def test_ctrl_c_while_the_file_is_locked():
    with demo() as url, File() as file:
        file.make_table()
        for mode in MODES:
            with file.connect() as other:
                other.execute("BEGIN EXCLUSIVE")
                with Started(command("--mode", mode, "--timeout", 3600, "--db", file.url, url)) as program:
                    wait_until(lambda: has_open(program.pid, file.path), "it should open the file")
                    program.ctrl_c()
                    says(program.end(), INTERRUPTED, ("interrupted", NOTHING)).prints("")
                other.execute("ROLLBACK")
        assert file.is_as_made()


def test_ctrl_c_and_death_in_the_middle_of_the_transaction():
    with demo() as url, File() as file:
        file.make_table(ENDLESS)
        for mode in MODES:
            for signo in signal.SIGINT, signal.SIGKILL:
                with Started(command("--mode", mode, "--timeout", 3600, "--db", file.url, url)) as program:
                    # Two rows are in the transaction, the third one will never be.
                    journal = file.path + "-journal"  # a dead one's may still be there
                    wait_until(lambda: has_open(program.pid, journal), "it should write")
                    os.killpg(program.pid, signo)
                    said = program.end()
                if signo == signal.SIGKILL:
                    said.check(said.status == -signo, "it should be dead")
                else:
                    says(said, INTERRUPTED, ("interrupted", NOTHING)).prints("")
                assert file.is_as_made(), mode
                assert file.query("PRAGMA integrity_check") == [("ok",)]


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
