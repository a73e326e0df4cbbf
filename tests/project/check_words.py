#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does scripts/check show what failed tests have said, and count right? A meson of this test's own has run them.

check_words.py SOURCE
"""
import json
import os
import subprocess
import sys
import tempfile

RAN = [
    {"name": "good", "result": "OK", "returncode": 0, "stdout": "ok 1 - first\nok 2 - second # SKIP no disk\n1..2\n"},
    {"name": "tap", "result": "FAIL", "returncode": 1, "stderr": "on stderr\n",
     "stdout": "1..2\nok 1 - fine\nnot ok 2 - broken\n# 1 != 2\nplain words\n"},
    {"name": "plain", "result": "FAIL", "returncode": 3, "stdout": "header.h: caf\u00e9\n"},
    {"name": "died", "result": "ERROR", "returncode": -11, "stdout": "1..2\nok 1 - fine\n"},
    {"name": "slow", "result": "TIMEOUT", "returncode": -15, "stdout": ""},
    {"name": "long", "result": "FAIL", "returncode": 1, "stdout": "".join("line %d.\n" % i for i in range(1000))},
    {"name": "no", "result": "SKIP", "returncode": 77, "stdout": "not here\n"},
]
SHOWN = ["---- tap: fail, exit status 1", "not ok 2 - broken", "# 1 != 2", "plain words", "on stderr",
         "---- plain: fail, exit status 3", "---- died: error, exit status -11",
         "---- slow: timeout, exit status -15", "line 0.", "line 99.", "line 900.", "line 999.", "3 passed, 5 failed, 2 skipped"]
NOT_SHOWN = ["ok 1 - fine", "not here", "line 500.", "---- good: ok, exit status 0"]


def run_check(source, ran, status):
    """(exit status, printed lines) of scripts/check where meson test ends so."""
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "testlog.json")
        with open(log, "w") as f:
            f.write("".join(json.dumps(test) + "\n" for test in ran))
        meson = os.path.join(folder, "meson")
        with open(meson, "w") as f:
            f.write('#!/bin/sh\nmkdir -p "$3/meson-logs" && cp "%s" "$3/meson-logs"\nexit %d\n' % (log, status))
        os.chmod(meson, 0o755)
        env = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], PYTHONIOENCODING="ascii")
        done = subprocess.run([sys.executable, os.path.join(source, "scripts/check"), os.path.join(folder, "build")],
                              stdout=subprocess.PIPE, universal_newlines=True, env=env)
    return done.returncode, done.stdout.splitlines()


def main(source):
    wrong = []
    status, lines = run_check(source, RAN, 5)
    wrong += ["not shown: " + line for line in SHOWN if line not in lines]
    wrong += ["shown: " + line for line in NOT_SHOWN if line in lines]
    if status == 0:
        wrong.append("exit status 0 although tests failed")
    status, lines = run_check(source, RAN[:1], 0)
    if (status, lines) != (0, ["1 passed, 0 failed, 1 skipped"]):
        wrong.append("where all is well: exit status %d, %s" % (status, lines))
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
