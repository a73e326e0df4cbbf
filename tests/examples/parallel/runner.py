# SPDX-License-Identifier: MIT
"""Run the example programs and say in TAP whether they did what they should.

A test is a function whose name begins with test_; it fails by an exception, and is skipped by the exception Skip, with
the reason. With names as arguments only those run.
"""
import os
import subprocess
import sys
import traceback

# Far beyond what any of the programs needs, under a sanitizer on a busy machine too: what takes longer hangs.
HANGS = 60


class Skip(Exception):
    pass


class Run:
    """A program that has ended: its exit status, and what it printed."""

    def __init__(self, command, stdout=subprocess.PIPE):
        self.command = command
        process = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                                 timeout=HANGS, universal_newlines=True)
        self.status, self.out, self.err = process.returncode, process.stdout or "", process.stderr

    def __str__(self):
        return "%s: exit status %d\n--- stdout\n%s--- stderr\n%s" % (
            " ".join(self.command), self.status, self.out, self.err)

    def check(self, condition, what):
        if not condition:
            raise AssertionError("%s\n%s" % (what, self))

    def succeeds(self, err=""):
        """Exit status 0, and just this on stderr."""
        self.check(self.status == 0, "it should succeed")
        self.check(self.err == err, "stderr should be %r" % err)
        return self

    def fails(self, *words, status=1):
        """This exit status, and one line on stderr: the program's name, a colon, and all of the words."""
        name = os.path.basename(self.command[0])
        self.check(self.status == status, "the exit status should be %d" % status)
        self.check(self.err.count("\n") == 1 and self.err.endswith("\n"), "stderr should be one line")
        self.check(self.err.startswith(name + ": "), "the line should begin with the program's name")
        for word in words:
            self.check(word in self.err, "stderr should say %r" % word)
        return self

    def prints(self, out):
        self.check(self.out == out, "stdout should be %r" % out)
        return self


class Programs:
    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, name, *args, **kwargs):
        return Run([self.path(name)] + [str(a) for a in args], **kwargs)


def main(tests, wanted):
    """Run the functions in the dictionary `tests` whose names begin with test_."""
    names = [n for n in tests if n.startswith("test_") and (not wanted or n in wanted)]
    print("1..%d" % len(names))
    failed = 0
    for number, name in enumerate(names, 1):
        try:
            tests[name]()
            print("ok %d - %s" % (number, name))
        except Skip as reason:
            print("ok %d - %s # SKIP %s" % (number, name, reason))
        except Exception as e:
            failed += 1
            print("not ok %d - %s" % (number, name))
            # The line of the test, and what was wrong; not how we came there.
            where = [f for f in traceback.extract_tb(e.__traceback__) if f.name == name][-1:]
            for line in "".join(traceback.format_list(where) + [str(e) or repr(e)]).splitlines():
                print("# " + line)
        sys.stdout.flush()
    return 1 if failed else 0
