#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Copies by responsive_copy, whole ones and cancelled ones, compared with what was copied, byte by byte.

test_copy.py PROGRAM [TEST ...]
"""
import contextlib
import fcntl
import os
import pty
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios

import runner
import trees

PROGRAM = os.path.abspath(sys.argv[1])
NOBODY = 65534
LINE = re.compile(r"^ *(\d+)%  [\d.]+ [kMG]?B of [\d.]+ [kMG]?B  [\d.]+ MB/s  "
                  r"(still searching|(\d+|-):[\d-]+(:\d\d)? left)$")


@contextlib.contextmanager
def room():
    """A folder to work in, which others may enter too."""
    path = tempfile.mkdtemp(prefix="copy-")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(os.fsencode(path))


def copy(*args, **kwargs):
    return runner.Run([PROGRAM] + [os.fspath(a) for a in args], **kwargs)


def same(run, source, target):
    different = trees.differences(trees.contents(source), trees.contents(target))
    run.check(not different, "the copy should be the same, but for %r" % different[:5])


def make(path, files):
    """A folder with files of these contents."""
    os.mkdir(path)
    for name, data in files.items():
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        trees.write(os.path.join(path, name), data)


def finished(process, stdout=""):
    """What runner.Run is, of a process that was started by other means."""
    run = runner.Run.__new__(runner.Run)
    run.command = process.args
    try:
        run.out, run.err = process.communicate(timeout=runner.HANGS)
    finally:
        process.kill()
        process.wait()
    run.out = stdout + (run.out or "")
    run.status = process.returncode
    return run


def start(*args, stdout=subprocess.PIPE, **kwargs):
    return subprocess.Popen([PROGRAM] + [os.fspath(a) for a in args], stdin=subprocess.DEVNULL, stdout=stdout,
                            stderr=subprocess.PIPE, universal_newlines=True, **kwargs)


# ---- The command line ----

def test_help_tells_how_to_use_it():
    run = copy("--help").succeeds()
    run.check(run.out.startswith("usage: responsive_copy [OPTION ...] FROM TO\n"), "usage first")


def test_wrong_command_lines_are_one_clear_line():
    for args in [], ["a"], ["a", "b", "c"], ["--limit", "0", "a", "b"], ["--limit", "x", "a", "b"], ["--workers", "65",
                 "a", "b"], ["--nonsense"]:
        copy(*args).fails(status=2)


# ---- What is copied ----

def test_random_trees_are_copied_as_they_are():
    r = trees.seeded()
    for workers in 1, 4, 16:
        with room() as d:
            trees.make_tree(os.fsencode(d) + b"/from", r, 150)
            run = copy("--workers", str(workers), d + "/from", d + "/to").succeeds()
            same(run, d + "/from", d + "/to")
            files = sum(what[0] == "file" for what in trees.contents(d + "/from").values())
            run.check("copied: %d file" % files in "\n" + run.out, "all of the %d files are counted" % files)


def test_empty_folder():
    with room() as d:
        make(d + "/from", {})
        run = copy(d + "/from/", d + "/to/").succeeds()
        run.check("copied: 0 files, 1 folder, 0 links, 0 B" in run.out, "just that")
        same(run, d + "/from", d + "/to")


def test_folder_named_in_odd_ways():
    with room() as d:
        make(d + "/from", {"a/b": b"1", "c": b"2"})
        os.symlink("from", d + "/link")
        for number, name in enumerate((d + "/link", d + "/from//", d + "/from/.", d + "/from/a/..")):
            target = d + "/to%d" % number
            same(copy(name, target).succeeds(), d + "/from", target)


def test_holes_stay_holes():
    with room() as d:
        make(d + "/from", {})
        with open(d + "/from/holes", "wb") as f:
            for at in 0, 5000000, 40000000:
                f.seek(at)
                f.write(b"data")
            f.truncate(64 << 20)
        run = copy(d + "/from", d + "/to").succeeds()
        same(run, d + "/from", d + "/to")
        if os.stat(d + "/from/holes").st_blocks * 512 < 1 << 20:  # it has holes here
            run.check(os.stat(d + "/to/holes").st_blocks * 512 < 4 << 20, "so has the copy")


def test_folders_that_cannot_be_written_are_filled():
    with room() as d:
        make(d + "/from", {"locked/inner/file": b"x"})
        os.chmod(d + "/from/locked/inner", 0o555)
        os.chmod(d + "/from/locked", 0o555)
        same(copy(d + "/from", d + "/to").succeeds(), d + "/from", d + "/to")
        for path in d + "/from/locked", d + "/to/locked":
            os.chmod(path, 0o755)
            os.chmod(path + "/inner", 0o755)


def test_rights_of_the_owner_are_left_out():
    with room() as d:
        make(d + "/from", {"program": b"x"})
        os.chmod(d + "/from/program", 0o6755)
        copy(d + "/from", d + "/to").succeeds()
        assert os.stat(d + "/to/program").st_mode & 0o7777 == 0o755


def test_special_files_are_skipped_and_named():
    with room() as d:
        make(d + "/from", {"file": b"x"})
        os.mkfifo(d + "/from/fifo")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(d + "/from/socket")
        run = copy(d + "/from", d + "/to")
        run.check(run.status == 0, "it should succeed")
        for name in "fifo", "socket":
            run.check("skipped %s/from/%s: " % (d, name) in run.err, "%s is named" % name)
        run.check(run.err.count("\n") == 2 and sorted(os.listdir(d + "/to")) == ["file"], "nothing else")


# ---- What is refused ----

def test_folder_into_itself_is_refused():
    with room() as d:
        make(d + "/from", {"a/b": b"x"})
        os.symlink("from/a", d + "/link")
        os.symlink(d + "/from", d + "/whole")
        before = trees.contents(d)
        for source, target in (("from", "from/new"), ("from", "from/a/new"), ("from", "link/new"),
                               ("from", "link/../new"), ("whole", "from/a/new"), ("from/a/..", "whole/a/new"),
                               (".", "new")):
            copy(os.path.join(d, source), os.path.join(d, target)).fails("into itself")
        assert trees.contents(d) == before, "nothing may have been made"
        copy(d + "/from/a", d + "/from/new").succeeds()  # beside it is not in it


def test_target_that_is_there_is_refused():
    with room() as d:
        make(d + "/from", {"a": b"x"})
        make(d + "/full", {"b": b"y"})
        make(d + "/empty", {})
        os.symlink("nonexistent", d + "/dangling")
        before = trees.contents(d)
        for name in "full", "full/b", "empty", "dangling", "from", ".":
            run = copy(d + "/from", d + "/" + name)
            run.check(run.status == 1 and run.err.count("\n") == 1, "refused in one line")
        copy(d + "/from", d + "/empty").fails("File exists", d + "/empty")
        assert trees.contents(d) == before, "nothing may have changed"


def test_paths_that_lead_nowhere_are_one_clear_line():
    with room() as d:
        make(d + "/from", {"a": b"x"})
        copy(d + "/nonexistent", d + "/to").fails(d + "/nonexistent", "No such file")
        copy(d + "/from/a", d + "/to").fails(d + "/from/a", "not a folder")
        copy(d + "/from", d + "/nonexistent/to").fails(d + "/nonexistent/to", "No such file")
        copy(d + "/from", d + "/from/a/to").fails(d + "/from/a/to", "Not a directory")
        copy("", d + "/to").fails("No such file")
        copy(d + "/from", "").fails("No such file")
        assert os.listdir(d) == ["from"], "nothing may have been made"


# ---- What goes wrong on the way ----

def test_file_too_large_is_named_and_the_rest_copied():
    with room() as d:
        make(d + "/from", {"small%d" % i: b"x" * i for i in range(20)})
        trees.write(d + "/from/large", bytes(range(256)) * 8000)
        os.utime(d + "/from", ns=(10**18, 10**18))
        process = start(d + "/from", d + "/to",
                        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        run = finished(process).fails("cannot write", d + "/to/large", "too large")
        os.remove(d + "/from/large")
        os.utime(d + "/from", ns=(10**18, 10**18))
        same(run, d + "/from", d + "/to")
        run.check("copied: 20 files" in run.out, "the others are counted")


def test_path_too_long_for_the_target_is_named_and_the_rest_copied():
    with room() as d:
        make(d + "/from", {"a": b"x"})
        make(d + "/" + "t" * 200, {})
        depth = (4090 - len(d + "/from")) // 201  # its path is short enough, the copy's is not
        inner = os.open(d + "/from", os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("f" * 200, dir_fd=inner)
            outer, inner = inner, os.open("f" * 200, os.O_RDONLY, dir_fd=inner)
            os.close(outer)
        os.close(inner)
        run = copy(d + "/from", d + "/" + "t" * 200 + "/to").fails("cannot make", "File name too long")
        run.check("f" * 200 + ": File name too long\n" in run.err, "the whole name is told")
        run.check(os.path.exists(d + "/" + "t" * 200 + "/to/a"), "the rest is there")
        run.check("%d folders" % depth in run.out, "with all folders but the last")


def as_nobody():
    """Arguments for Popen() that make a process of somebody who is not root; None: it cannot run the program."""
    if os.getuid() != 0:
        return {}
    with contextlib.suppress(OSError):
        if subprocess.run([PROGRAM, "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          user=NOBODY).returncode == 0:
            return {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    print("# left out: nobody cannot run the program")
    return None


def test_what_cannot_be_read_is_named_and_the_rest_copied():
    who = as_nobody()
    if who is None:
        return
    with room() as d:
        make(d + "/from", {"a": b"x", "secret": b"y", "dark/inner": b"z", "b/c": b"w"})
        os.mkdir(d + "/open")
        os.chmod(d + "/open", 0o777)
        os.chmod(d + "/from/secret", 0)
        os.chmod(d + "/from/dark", 0)
        run = finished(start(d + "/from", d + "/open/to", **who))
        os.chmod(d + "/from/dark", 0o755)
        run.check(run.status == 1, "the exit status should be 1")
        for name in "secret", "dark":
            run.check("cannot read %s/from/%s: Permission denied\n" % (d, name) in run.err, "%s is named" % name)
        run.check(run.err.count("\n") == 2, "nothing else")
        os.chmod(d + "/open/to/dark", 0o755)
        got = trees.contents(d + "/open/to")
        run.check(set(got) == {b".", b"a", b"b", b"b/c", b"dark"}, "the rest is there, and nothing half")


def without_leak_check():
    """AddressSanitizer's look for leaks wants a thread of its own."""
    return {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def test_too_few_threads_are_an_error_not_a_hang():
    who = as_nobody()
    if who is None:
        return
    with room() as d:
        make(d + "/from", {"%d" % i: b"x" * 1000 for i in range(100)})
        source = trees.contents(d + "/from")
        os.mkdir(d + "/open")
        os.chmod(d + "/open", 0o777)
        for threads in range(1, 8):
            run = finished(start(d + "/from", d + "/open/to", **who,
                                 env=without_leak_check(),
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))))
            run.check(run.status == 1, "the exit status should be 1")
            run.check(re.match("^(responsive_copy: .*Cannot allocate memory\n)+$", run.err), "just that")
            check_cancelled(run, d + "/open", source, 1)
            shutil.rmtree(d + "/open/to", ignore_errors=True)


def in_namespace(script, *args):
    """Run a shell script where it may mount; None: it may not here."""
    for options in (["-m"], ["-Urm"]) if shutil.which("unshare") else ():
        command = ["unshare"] + options + ["sh", "-c"]
        if subprocess.run(command + ["mount -t tmpfs none /mnt"], stderr=subprocess.DEVNULL).returncode == 0:
            return runner.Run(command + [script, PROGRAM] + list(args))
    print("# left out: nothing can be mounted here")
    return None


def test_disk_full_ends_the_copy_in_one_line():
    with room() as d:
        make(d + "/from", {"%d/file" % i: os.urandom(100000) for i in range(20)})
        os.mkdir(d + "/disk")
        run = in_namespace('mount -t tmpfs -o size=1m none "$2/disk"; "$0" "$1" "$2/disk/to"; status=$?; '
                           'find "$2/disk/to" -name ".*" -o -type f ! -size 100000c; exit $status', d + "/from", d)
        if run is not None:
            run.check(run.status == 1 and run.err.count("\n") == 1, "one line and exit status 1")
            run.check("responsive_copy: cannot" in run.err and "No space left" in run.err, "which says why")
            run.check("copied until then: " in run.out, "it tells how far it has come")
            run.check(run.out.endswith(" MB/s)\n"), "no half file, no scratch folder")


def test_disk_full_while_making_folders():
    with room() as d:
        make(d + "/from", {"%d/x" % i: b"" for i in range(50)})
        os.mkdir(d + "/disk")
        run = in_namespace('mount -t tmpfs -o nr_inodes=20 none "$2/disk"; "$0" "$1" "$2/disk/to"; status=$?; '
                           'find "$2/disk/to" -name ".*"; exit $status', d + "/from", d)
        if run is not None:
            run.check(run.status == 1 and run.err.count("\n") == 1 and "No space left" in run.err, "one line")


def test_copy_that_finds_itself_by_a_mount_leaves_itself_out():
    with room() as d:
        make(d + "/from", {"a": b"x", "mounted/.keep": b""})
        os.mkdir(d + "/beside")
        run = in_namespace('mount --bind "$1/beside" "$1/from/mounted"; exec "$0" "$1/from" "$1/beside/to"', d)
        if run is not None:
            run.succeeds(err="responsive_copy: skipped %s/from/mounted/to: the copy itself\n" % d)
            run.check(sorted(os.listdir(d + "/beside/to")) == ["a", "mounted"] and
                      os.listdir(d + "/beside/to/mounted") == [], "all else is there")


def test_file_cut_short_meanwhile():
    with room() as d:
        make(d + "/from", {"file": b"x" * 400000})
        process = start("--limit", "0.2", "--interval", "0.05", d + "/from", d + "/to")
        first = process.stdout.readline()
        os.truncate(d + "/from/file", 1000)
        run = finished(process, first).succeeds()
        size = os.stat(d + "/to/file").st_size  # it is copied in pieces of 10,000 bytes at that rate
        run.check(size == 1000 or size % 10000 == 0, "what there was of it")


def test_output_that_cannot_be_written_is_an_error_but_the_copy_is_whole():
    with room() as d:
        make(d + "/from", {"file": b"x" * 1000})
        with open("/dev/full", "w") as full:
            copy(d + "/from", d + "/to", stdout=full).fails("cannot write the output")
        process = start("--limit", "0.001", d + "/from", d + "/to2")
        process.stdout.close()  # nobody reads: no SIGPIPE may end it in the middle
        process.stdout = None
        same(finished(process).fails("cannot write the output"), d + "/from", d + "/to2")


# ---- Progress ----

def test_progress_on_a_pipe_is_plain_lines():
    with room() as d:
        make(d + "/from", {"%d" % i: os.urandom(40000) for i in range(10)})
        run = copy("--limit", "0.5", "--interval", "0.05", d + "/from", d + "/to").succeeds()
        lines = run.out.splitlines()
        run.check(lines and lines[-1].startswith("copied: 10 files, 1 folder, 0 links, 400.0 kB in "), "a summary")
        run.check(len(lines) > 2, "progress before it")  # 400 kB at 0.5 MB/s last over ten times that interval
        percents = []
        for line in lines[:-1]:
            match = LINE.match(line)
            run.check(match is not None, "%r has the form" % line)
            if match.group(2) != "still searching":
                percents.append(int(match.group(1)))
        run.check(percents == sorted(percents) and all(p <= 100 for p in percents), "they grow")


def on_terminal(columns, *args):
    """What the program draws on a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = start(*args, stdout=slave)
    os.close(slave)
    drawn = b""
    with contextlib.suppress(OSError):  # EIO: the program has ended
        while True:
            data = os.read(master, 65536)
            if not data:
                break
            drawn += data
    os.close(master)
    return finished(process, drawn.decode())


def test_progress_on_a_terminal_is_a_bar():
    with room() as d:
        make(d + "/from", {"file": os.urandom(300000)})
        os.mkfifo(d + "/from/fifo")
        run = on_terminal(100, "--limit", "0.5", "--interval", "0.02", d + "/from", d + "/to")
        run.check(run.status == 0, "it should succeed")
        run.check(run.out.count("\n") == 1, "one line in the end, the bar before it has none")
        bars = re.findall(r"\r(\[#*\.*\]) +(\d+)%.*?\x1b\[K", run.out)
        run.check(len(bars) > 2, "many bars")
        for bar, percent in bars:
            run.check(len(bar) == len(bars[0][0]) and bar.count("#") == (len(bar) - 2) * int(percent) // 100,
                      "%s is %s %%" % (bar, percent))
        run.check("\r\x1b[Kcopied: 1 file," in run.out, "the bar is gone before the summary")
        widest = max(len(line) for line in re.split(r"[\r\n]", run.out.replace("\x1b[K", "")))
        run.check(widest < 100, "no line wraps")


def test_progress_on_a_narrow_terminal_is_short():
    with room() as d:
        make(d + "/from", {"file": os.urandom(100000)})
        run = on_terminal(50, "--limit", "0.5", "--interval", "0.02", d + "/from", d + "/to")
        run.check(run.status == 0 and "%" in run.out and "[#" not in run.out and "[." not in run.out, "no bar")


# ---- Its end before the end ----

def check_cancelled(run, d, source, status):
    """What has been copied is whole, and there is nothing else."""
    run.check(run.status == status, "the exit status should be %d" % status)
    if not os.path.lexists(d + "/to"):
        return 0
    got = trees.contents(d + "/to")
    expected = {name: source[name] for name in got if name in source}
    different = trees.differences(expected, got)
    run.check(not different, "what is there should be whole, but for %r" % different[:5])
    return sum(what[0] == "file" for what in got.values())


def test_ctrl_c_at_random_moments_leaves_whole_files_only():
    r = trees.seeded()
    for _ in range(6):
        with room() as d:
            trees.make_tree(os.fsencode(d) + b"/from", r, 80)
            source = trees.contents(d + "/from")
            signo = r.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
            process = start("--workers", str(r.choice([1, 2, 8])), "--limit", "0.3", "--interval", "0.01",
                            d + "/from", d + "/to")
            lines = [process.stdout.readline() for _ in range(r.randrange(1, 40))]
            process.send_signal(signo)
            run = finished(process, "".join(lines))
            if run.status == 0:  # a small tree, and many lines
                same(run, d + "/from", d + "/to")
                continue
            check_cancelled(run, d, source, 128 + signo)
            run.check(re.match(r"^responsive_copy: cancelled: \d+ files? found so far not copied\n$", run.err),
                      "it says so")


def test_ctrl_c_in_the_middle_of_one_large_file_removes_it():
    with room() as d:
        make(d + "/from", {"large": os.urandom(4000000)})
        process = start("--limit", "1", "--interval", "0.02", d + "/from", d + "/to")
        lines = []
        while not re.match(r"^ *[1-9]\d*%", (lines or [""])[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1] != "", "it should not end"
        process.send_signal(signal.SIGINT)
        run = finished(process, "".join(lines)).fails("cancelled: 1 file found so far not copied", status=130)
        run.check(os.listdir(d + "/to") == [], "nothing is left of it")
        run.check("copied until then: 0 files, 1 folder, 0 links, 0 B" in run.out, "nothing counted")


def test_ctrl_c_at_once():
    with room() as d:
        make(d + "/from", {"%d" % i: b"x" * 100 for i in range(300)})
        source = trees.contents(d + "/from")
        for _ in range(5):
            process = start(d + "/from", d + "/to")
            process.send_signal(signal.SIGINT)
            run = finished(process)
            if run.status == 0:
                same(run, d + "/from", d + "/to")
            elif run.status != -signal.SIGINT:  # as it ends if the program had not begun
                check_cancelled(run, d, source, 130)
            shutil.rmtree(d + "/to", ignore_errors=True)


def test_timeout_gives_up():
    with room() as d:
        make(d + "/from", {"%d" % i: b"x" * 10000 for i in range(10)})
        source = trees.contents(d + "/from")
        run = copy("--timeout", "0.3", "--limit", "0.01", d + "/from", d + "/to").fails("gave up after 0.3 s")
        copied = check_cancelled(run, d, source, 1)
        run.check(copied < 10, "not all of them")


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
