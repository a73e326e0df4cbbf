#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What indexer finds, puts into its index and takes out again, and what is found there.

test_indexer.py PROGRAM [TEST ...]
"""
import contextlib
import os
import re
import resource
import shutil
import signal
import sqlite3
import sys

import runner
import trees
from indexing import (FILE, PROGRAM, as_nobody, check_sound, counts, finished, index, names, room, rows, same, search,
                      start, wait_until, without_leak_check, write)


# ---- The command line ----

def test_help_tells_how_to_use_it():
    run = runner.Run([PROGRAM, "--help"]).succeeds()
    run.check(run.out.startswith("usage: indexer [OPTION ...] [FOLDER]\n"), "usage first")


def test_wrong_command_lines_are_one_clear_line():
    for args in ([], ["in"], ["--db", "x"], ["--search", "x"], ["a", "b", "--db", "x"], ["--db"], ["--nonsense"],
                 ["a", "--db", "x", "--timeout", "0"], ["a", "--db", "x", "--max-text", "1.5"],
                 ["--db", "x", "--search", " "]):
        runner.Run([PROGRAM] + args).fails(status=2)
        assert not os.path.exists("x"), "nothing may be made"


def test_folders_and_databases_that_are_none():
    with room(a_txt="word") as d:
        index(d, folder="/nonexistent").fails("cannot read %s/nonexistent: No such file" % d)
        index(d, folder="/in/a.txt").fails("Not a directory")
        assert not os.path.exists(d + "/db"), "no database is made then"
        runner.Run([PROGRAM, "--db", d + "/db", "--search", "x"]).fails(d + "/db", "unable to open")
        write(d + "/db", b"x" * 5000)
        index(d).fails(d + "/db", "not a database")
        os.remove(d + "/db")
        rows(d, "CREATE TABLE precious (a)")
        index(d).fails("not an index of this program")
        runner.Run([PROGRAM, "--db", d + "/db", "--search", "x"]).fails("not an index of this program")
        same(rows(d, "SELECT name FROM sqlite_master"), [("precious",)])
        runner.Run([PROGRAM, d + "/in", "--db", d]).fails("unable to open")
        runner.Run([PROGRAM, d + "/in", "--db", "/dev/full"]).fails("full")


# ---- Searching ----

def test_words_are_found_where_they_are():
    with room(a_txt="the quick brown fox", b_txt="a lazy dog, a brown one", c_pdf="the Fox in a PDF", d_bin="fox") as d:
        counts(index(d).succeeds(), indexed=4)
        same(names(d, "fox"), ["a.txt", "c.pdf"])
        same(names(d, "BROWN"), ["a.txt", "b.txt"])
        same(names(d, "brown dog"), ["b.txt"])
        same(names(d, "qui* fo*"), ["a.txt"])
        same(names(d, "qui"), [])
        same(names(d, "bin"), ["d.bin"])  # by its name
        same(search(d, "lazy"), [(d + "/in/b.txt", "    a [lazy] dog, a brown one")])


def test_words_that_mean_something_to_sqlite_are_words():
    with room(a_txt='"AND" OR NOT ( near name:fox -fox ^fox', b_txt="fox") as d:
        index(d).succeeds()
        for words in ('AND', 'OR NOT', '"', '(', '(fox', 'name:fox', '"fox', 'fox"', "'", '*', 'a:b', 'NEAR(fox',
                      '-fox', '^', '--', '%'):
            search(d, words)  # no error
        same(names(d, "AND fox"), ["a.txt"])
        same(names(d, "(fox"), ["a.txt", "b.txt"])


def test_excerpts_are_around_the_words():
    with room(a_txt="\u00e4" * 500 + " needle \n\n\t hay " + "\u00f6" * 500, b_txt="pin " * 200000) as d:
        index(d).succeeds()
        [(_, excerpt)] = search(d, "needle")
        assert re.match("^    \\.\\.\\.\u00e4+ \\[needle\\] hay \u00f6+\\.\\.\\.$", excerpt), excerpt
        [(_, excerpt)] = search(d, "pin")
        same(excerpt[:20], "    [pin] [pin] [pin")


def test_search_and_index_in_one():
    with room(a_txt="word", b_txt="sword") as d:
        run = index(d, "--search", "word").succeeds()
        run.check(run.out.endswith("failed\n%s/in/a.txt\n    [word]\n" % d), "what is found comes last")
        index(d, "--search", "nonsense").fails("nothing found")


def test_odd_names_are_found_and_printed_on_a_line():
    odd = [b"with space", b"new\nline", b"quo'te\"s\"", b"\xff\xfe", b"-rf", b"\xc3\xa4", b"$(touch x)", b"`x`",
           b"a\\nb", b"x" * 255]
    with room(replaced={"file": FILE.replace("*.pdf", "*/in/*")}) as d:
        folder = os.fsencode(d) + b"/in/fol\nder"
        os.mkdir(folder)
        for number, name in enumerate(odd):
            write(folder + b"/" + name, b"common number%d" % number)
        counts(index(d).succeeds(), indexed=len(odd))
        found = search(d, "common")
        printed = ["with space", "new\\nline", "quo'te\"s\"", "\\xff\\xfe", "-rf", "\xe4", "$(touch x)", "`x`",
                   "a\\\\nb", "x" * 255]
        same(sorted(path for path, _ in found), sorted(d + "/in/fol\\nder/" + name for name in printed))
        for number, name in enumerate(printed):
            same(search(d, "number%d" % number)[0][0], d + "/in/fol\\nder/" + name)
        counts(index(d).succeeds(), unchanged=len(odd))
        os.remove(folder + b"/" + odd[3])
        counts(index(d).succeeds(), unchanged=len(odd) - 1, removed=1)
        same(search(d, "number3"), [])


def test_text_that_is_none_is_cleaned():
    text = r"printf 'one\000two \377\376three \033[31mfour fi\303\251ve \302\233x'"
    with room(replaced={"pdftotext": text}, a_pdf="") as d:
        index(d).succeeds()
        same(names(d, "one two three 31mfour fi\u00e9ve x"), ["a.pdf"])
        same([excerpt for _, excerpt in search(d, "three")], ["    one two [three] [31mfour fi\u00e9ve x"])


# ---- Indexing again ----

def test_index_again_only_what_has_changed():
    with room(a_txt="old words", b_pdf="pages", c_txt="stays", d_txt="goes") as d:
        counts(index(d).succeeds(), indexed=4)
        calls = rows(d, "SELECT count(*) FROM files")
        same(calls, [(4,)])
        counts(index(d).succeeds(), unchanged=4)
        with open(d + "/log") as f:
            same(f.read(), "pdf\n")  # the converter was called once, not twice
        write(d + "/in/a.txt", b"new text, longer")
        os.remove(d + "/in/d.txt")
        os.rename(d + "/in/c.txt", d + "/in/e.txt")
        counts(index(d).succeeds(), indexed=2, unchanged=1, removed=2)
        same([names(d, w) for w in ("old", "new", "stays", "goes", "pages")], [[], ["a.txt"], ["e.txt"], [], ["b.pdf"]])
        st = os.stat(d + "/in/b.pdf")
        write(d + "/in/b.pdf", b"sheet")  # the same size; another time
        os.utime(d + "/in/b.pdf", ns=(st.st_mtime_ns + 1, st.st_mtime_ns + 1))
        counts(index(d).succeeds(), indexed=1, unchanged=2)
        same([names(d, w) for w in ("pages", "sheet")], [[], ["b.pdf"]])
        check_sound(d)


def test_folders_of_one_index_do_not_mix():
    with room() as d:
        for name in "a/b", "a/bc", "a/b0", "a/b/inner":
            os.makedirs(d + "/" + name, exist_ok=True)
            write(d + "/" + name + "/file.txt", b"word")
        counts(index(d, folder="/a").succeeds(), indexed=4)
        counts(index(d, folder="/a/b").succeeds(), unchanged=2)
        os.symlink("a/b", d + "/link")
        counts(index(d, folder="/link/").succeeds(), unchanged=2)
        shutil.rmtree(d + "/a/b/inner")
        os.remove(d + "/a/bc/file.txt")
        counts(index(d, folder="/a/b").succeeds(), unchanged=1, removed=1)
        same(len(search(d, "word")), 3)
        counts(index(d, folder="/a").succeeds(), unchanged=2, removed=1)


def test_database_and_what_is_no_file_are_left_out():
    with room(a_txt="word") as d:
        os.mkfifo(d + "/in/fifo")
        os.symlink("a.txt", d + "/in/link")
        os.symlink("nonexistent", d + "/in/dangling")
        os.symlink(".", d + "/in/circle")
        write(d + "/in/db-shm.txt", b"word")
        for expected in {"indexed": 2}, {"unchanged": 2}:
            counts(runner.Run([PROGRAM, d + "/in", "--db", d + "/in/db"]).succeeds(), **expected)


def test_empty_folder_and_empty_files():
    with room() as d:
        counts(index(d).succeeds())
        write(d + "/in/empty.txt", b"")
        counts(index(d).succeeds(), indexed=1)
        same(names(d, "empty"), ["empty.txt"])


def test_many_files():
    with room() as d:
        for i in range(700):
            end = "pdf" if i % 50 == 1 else "txt" if i % 2 == 0 else "bin"
            write("%s/in/%d.%s" % (d, i, end), b"number n%dn" % i)
        counts(index(d).succeeds(), indexed=700)
        same(names(d, "n698n"), ["698.txt"])
        same(len(names(d, "number")), len(names(d, "txt")) + len(names(d, "pdf")))
        check_sound(d)
        with open(d + "/db", "rb") as f:  # the file change counter: a transaction is one file, or more
            transactions = int.from_bytes(f.read(28)[24:], "big")
        assert transactions <= 705, "%d transactions" % transactions
        counts(index(d).succeeds(), unchanged=700)
        shutil.rmtree(d + "/in")
        os.mkdir(d + "/in")
        counts(index(d).succeeds(), removed=700)
        same(rows(d, "SELECT count(*) FROM files"), [(0,)])


# ---- What is missing ----

def test_what_cannot_be_read_is_named_and_kept():
    who = as_nobody()
    if who is None:
        return
    with room(a_txt="word", b_txt="word") as d:
        os.mkdir(d + "/in/dark")
        write(d + "/in/dark/c.txt", b"word")
        os.chmod(d, 0o777)
        counts(finished(start(d, **who)).succeeds(), indexed=3)
        os.chmod(d + "/in/dark", 0)
        os.chmod(d + "/in/b.txt", 0)
        os.utime(d + "/in/b.txt", ns=(1, 1))
        run = counts(finished(start(d, **who)), unchanged=1, failed=2)
        os.chmod(d + "/in/dark", 0o755)
        run.check(run.status == 1 and run.err.count("\n") == 2, "two lines")
        for name in "dark", "b.txt":
            run.check("cannot read %s/in/%s: Permission denied\n" % (d, name) in run.err, "%s is named" % name)
        same(names(d, "word"), ["a.txt", "b.txt", "dark/c.txt"])


def test_too_few_threads_are_an_error_not_a_hang():
    who = as_nobody()
    if who is None:
        return
    with room(a_txt="word") as d:
        os.chmod(d, 0o777)
        for threads in range(1, 12):
            run = finished(start(d, **who, env=without_leak_check(),
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))))
            run.check(run.status == 1, "the exit status should be 1")
            run.check(re.match("^(indexer: .*Cannot allocate memory\n)+$", run.err), "just that")
        check_sound(d)


# ---- Its end before the end ----

def test_ended_at_random_moments_the_database_is_sound():
    r = trees.seeded()
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * 3:
        with room() as d:
            for i in range(150):
                write("%s/in/%d.%s" % (d, i, r.choice(["txt", "pdf", "bin", "gz"])), b"word " * r.randrange(2000))
            stop_at = r.randrange(1, 40)  # so many calls of converters
            process = start(d)
            wait_until(lambda: os.path.getsize(d + "/log") >= 4 * stop_at or process.poll() is not None,
                       "it should go on")
            process.send_signal(signo)
            run = finished(process)
            run.check(run.status in (0, 128 + signo, -signo), "it should end")
            done = 0
            if os.path.exists(d + "/db") and rows(d, "SELECT name FROM sqlite_master"):
                check_sound(d)
                done = rows(d, "SELECT count(*) FROM files")[0][0]
            counts(index(d).succeeds(), indexed=150 - done, unchanged=done)
            check_sound(d)
            same(rows(d, "SELECT count(*) FROM files WHERE converted"), [(150,)])


def test_another_program_that_writes_is_waited_for():
    with room(a_txt="word") as d:
        index(d).succeeds()
        write(d + "/in/b.txt", b"word")
        with contextlib.closing(sqlite3.connect(d + "/db", isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            process = start(d)
            wait_until(lambda: process.poll() is not None or os.path.exists("/proc/%d/fd" % process.pid) and
                       d + "/db" in open_files(process.pid), "it should open the database")
            assert process.poll() is None, "it should wait"
            db.execute("ROLLBACK")
        counts(finished(process).succeeds(), indexed=1, unchanged=1)


def open_files(pid):
    found = []
    with contextlib.suppress(OSError):
        for fd in os.listdir("/proc/%d/fd" % pid):
            with contextlib.suppress(OSError):
                found.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
    return found


def test_disk_full_is_one_clear_line_and_the_database_sound():
    with room() as d:
        write(d + "/in/a.txt", b"word")
        index(d).succeeds()
        for i in range(50):
            write("%s/in/%d.txt" % (d, i), b"".join(b"w%dx%d " % (i, j) for j in range(2000)))
        size = os.path.getsize(d + "/db") + 200000
        process = start(d, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        finished(process).fails(d + "/db: ")
        check_sound(d)
        same(names(d, "word"), ["a.txt"])
        index(d).succeeds()
        same(names(d, "w7x1999"), ["7.txt"])


def test_output_that_cannot_be_written_is_an_error():
    with room(a_txt="word") as d:
        with open("/dev/full", "w") as full:
            runner.Run([PROGRAM, d + "/in", "--db", d + "/db"], stdout=full).fails("cannot write the output")
            runner.Run([PROGRAM, "--db", d + "/db", "--search", "word"], stdout=full).fails("cannot write the output")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
