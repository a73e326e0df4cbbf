#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Converters that behave, and some that do not: they hang, fail, print without end, or are not there.

test_indexer_converters.py PROGRAM [TEST ...]

Those of the system are used in one test, where they are there.
"""
import gzip
import os
import re
import shutil
import signal
import sys

import runner
from indexing import (NORMAL, check_sound, counts, finished, has_ended, index, names, read_fifo, room, rows, same,
                      search, set_converters, start, wait_until, write)


# ---- Converters ----

def test_converters_run_at_the_same_time():
    # Each waits until the other has begun: one after another they would wait for ever.
    with room(replaced={"pdftotext": 'echo x >"$LOG.fifo"; cat "$4"', "gzip": 'read x <"$LOG.fifo"; echo done'},
              a_pdf="word", b_gz="") as d:
        os.mkfifo(d + "/log.fifo")
        counts(index(d, "--timeout", "50").succeeds(), indexed=2)
        same(names(d, "done"), ["b.gz"])


def test_converter_that_fails_is_named_and_the_rest_indexed():
    scripts = {"pdftotext": "echo part; exit 3", "gzip": "kill -SEGV $$"}
    with room(replaced=scripts, a_pdf="", b_gz="", c_txt="word") as d:
        run = counts(index(d), indexed=3, failed=2)
        run.check(run.status == 1 and run.err.count("\n") == 2, "two lines")
        run.check("indexer: %s/in/a.pdf: pdftotext ended with status 3\n" % d in run.err, "the first")
        run.check("indexer: %s/in/b.gz: gzip was ended by signal 11 (Segmentation fault" % d in run.err, "the second")
        same(names(d, "word"), ["c.txt"])
        same([names(d, "part"), names(d, "pdf"), names(d, "gz")], [[], ["a.pdf"], ["b.gz"]])
        set_converters(d, {"pdftotext": "echo whole"})
        counts(index(d), indexed=2, unchanged=1, failed=1)  # what has failed is tried again
        same(names(d, "whole"), ["a.pdf"])


def test_converter_that_hangs_is_killed_with_its_children():
    with room(replaced={"pdftotext": 'sleep 1000 & echo $! $$ >"$LOG.pids"; wait'}, a_pdf="", b_txt="word") as d:
        run = index(d, "--timeout", "0.7").fails(d + "/in/a.pdf: pdftotext has not ended within 0.7 s")
        counts(run, indexed=2, failed=1)
        with open(d + "/log.pids") as f:
            pids = [int(pid) for pid in f.read().split()]
        run.check(len(pids) == 2, "it had begun")
        for pid in pids:
            wait_until(lambda: has_ended(pid), "they should be gone")
        same(names(d, "word"), ["b.txt"])


def test_converter_that_closes_its_output_and_hangs():
    with room(replaced={"gzip": "echo begun; exec >&- sleep 1000"}, a_gz="") as d:
        counts(index(d, "--timeout", "0.7").fails("has not ended"), indexed=1, failed=1)
        same(names(d, "begun"), [])


def test_converter_that_ends_but_leaves_a_child_with_its_output():
    with room(replaced={"gzip": 'sleep 1000 & echo $! >"$LOG.pids"; exit 0'}, a_gz="") as d:
        counts(index(d, "--timeout", "0.7").fails("has not ended"), indexed=1, failed=1)
        with open(d + "/log.pids") as f:
            pid = int(f.read())
        wait_until(lambda: has_ended(pid), "it should be gone")


def test_converter_that_prints_without_end_is_cut_off():
    with room(replaced={"pdftotext": 'echo "beginning $$" | tee "$LOG.pid"; exec yes more'}, a_pdf="") as d:
        counts(index(d, "--max-text", "64").succeeds(), indexed=1)
        same(names(d, "beginning more"), ["a.pdf"])
        same(rows(d, "SELECT length(text) FROM contents"), [(65536,)])
        with open(d + "/log.pid") as f:
            pid = int(f.read().split()[1])
        wait_until(lambda: has_ended(pid), "it should be gone")
        counts(index(d).succeeds(), unchanged=1)


def test_large_text_is_cut_off():
    with room() as d:
        write(d + "/in/large.txt", b"begin " + b"x " * 100000 + b"end")
        index(d, "--max-text", "1").succeeds()
        same([names(d, "begin"), names(d, "end")], [["large.txt"], []])
        os.remove(d + "/db")
        index(d).succeeds()
        same(names(d, "begin end"), ["large.txt"])


def test_converter_that_is_not_there_is_told_once():
    with room(replaced={"pdftotext": None}, path="/nonexistent", a_pdf="", b_pdf="", c_txt="word") as d:
        # The scripts need no PATH but for cat; only `file` runs, which has built-in commands enough.
        run = counts(index(d).succeeds(err="indexer: cannot run pdftotext: No such file or directory: "
                                           "PDF files are found by their names only\n"), indexed=3)
        run.check("PDF " in run.out, "they are counted")
        same([names(d, "pdf"), names(d, "word")], [["a.pdf", "b.pdf"], ["c.txt"]])
        set_converters(d, {"pdftotext": "echo found now"})
        counts(index(d).succeeds(), indexed=2, unchanged=1)  # it is there: they are done again
        same(names(d, "now"), ["a.pdf", "b.pdf"])


def test_file_that_is_not_there_types_are_guessed():
    with room(replaced={"file": None}, path="/nonexistent", a_pdf="", b_gz="", c_txt="word", d_dat="\0\1") as d:
        set_converters(d, {"pdftotext": "echo page", "gzip": "echo packed"})
        run = counts(index(d), indexed=4)
        run.check(run.status == 0 and run.err == "indexer: cannot run file: No such file or directory: "
                  "types are guessed by the files' names\n", "one line")
        same([names(d, w) for w in ("page", "packed", "word", "dat")], [["a.pdf"], ["b.gz"], ["c.txt"], ["d.dat"]])
        same(rows(d, "SELECT type FROM files WHERE CAST(path AS TEXT) LIKE '%.dat'"), [("application/octet-stream",)])


def test_file_that_answers_nonsense_or_never():
    for script, words in (("seq 4", "file gave 4 types of "), ("yes", "file gave "),
                          ("exit 1", "file ended with status 1"),
                          ("exec sleep 1000", "file has not ended within 0.7 s"), ("", "file gave 0 types of ")):
        with room(replaced={"file": script}, a_pdf="page", b_txt="word", c_txt="word") as d:
            run = counts(index(d, "--timeout", "0.7"), indexed=3)
            run.check(run.status == 0 and "indexer: " + words in run.err, "it should say %r" % words)
            for line in run.err.splitlines():
                run.check(line.endswith("types are guessed by the files' names"), "what follows")
            same([names(d, "page"), names(d, "word")], [["a.pdf"], ["b.txt", "c.txt"]])


def minimal_pdf(text):
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
               b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
               None, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    stream = b"BT /F 12 Tf 10 50 Td (%s) Tj ET" % text
    objects[3] = b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream)
    pdf, places = b"%PDF-1.4\n", []
    for number, data in enumerate(objects, 1):
        places.append(len(pdf))
        pdf += b"%d 0 obj%s endobj\n" % (number, data)
    xref = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(pdf)
    return pdf + b"xref\n0 6\n0000000000 65535 f \n" + xref + end


def test_the_real_converters():
    with room({name: None for name in NORMAL}, path=os.environ["PATH"], a_txt="some plain words") as d:
        for name in "file", "pdftotext", "gzip":
            if shutil.which(name) is None:
                print("# left out: there is no " + name)
                return
        write(d + "/in/packed.gz", gzip.compress(b"x" * 12345))
        write(d + "/in/- odd 'name'.gz", gzip.compress(b"y" * 54321))
        write(d + "/in/page.pdf", minimal_pdf(b"portable pages"))
        write(d + "/in/broken.pdf", b"%PDF-1.4\nnothing more")
        write(d + "/in/program", b"\x7fELF\2\1\1" + b"\0" * 200)
        run = counts(index(d).fails(d + "/in/broken.pdf: pdftotext ended with status"), indexed=6, failed=1)
        same([names(d, w) for w in ("plain", "portable", "12345", "54321", "program")],
             [["a.txt"], ["page.pdf"], ["packed.gz"], ["- odd 'name'.gz"], ["program"]])
        run.check(re.search(r"^PDF +2 files +\d+\.\d\d s$", run.out, re.M), "the times")


def test_ctrl_c_leaves_what_is_done_and_no_converter():
    script = 'echo $$ >"$LOG.fifo"; exec sleep 1000'
    with room(replaced={"pdftotext": script}, a_pdf="", b_txt="word", c_txt="word") as d:
        os.mkfifo(d + "/log.fifo")
        process = start(d, "--timeout", "1000")
        pid = int(read_fifo(d + "/log.fifo"))
        wait_until(lambda: len(search(d, "word")) == 2, "the others go on meanwhile")
        process.send_signal(signal.SIGINT)
        run = counts(finished(process).fails("cancelled", status=130), indexed=2)
        wait_until(lambda: has_ended(pid), "the converter should be gone")
        check_sound(d)
        set_converters(d, NORMAL)
        counts(index(d).succeeds(), indexed=1, unchanged=2)
        run.check(names(d, "pdf") == ["a.pdf"], "the rest comes the next time")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
