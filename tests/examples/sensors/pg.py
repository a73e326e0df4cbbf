# SPDX-License-Identifier: MIT
"""A PostgreSQL server of the test's own: in a temporary directory, on a Unix socket that is there too."""
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import runner
from servers import wait_until


def find_programs():
    """The newest version's folder, or None."""
    folders = glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/usr/pgsql-*/bin") + ["/usr/local/pgsql/bin"]
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(os.path.dirname(os.path.realpath(on_path)))
    found = [folder for folder in folders
             if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres", "psql"))]
    return max(found, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder)], default=None)


def unprivileged():
    """The arguments with which a program runs as somebody else, if we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return [], None
    for name in "postgres", "nobody":
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"], user
    raise AssertionError("there is no user to run PostgreSQL as")


class Cluster:
    """with Cluster() as cluster: ..."""

    def __init__(self):
        self.programs = find_programs()
        who, self.user = unprivileged()
        # It ends with us, whatever happens: an interrupt is a fast shutdown.
        self.prefix = ["setpriv"] + who + ["--pdeathsig", "INT"]
        self.server = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # a socket's name has to be short
        try:
            if self.user:
                os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
            os.chmod(self.directory, 0o711)
            self.call("initdb", "-D", self.directory + "/data", "-U", "tester", "--auth=trust", "--no-sync",
                      "--encoding=UTF8", "--locale=C")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        self.stop("INT")
        shutil.rmtree(self.directory, ignore_errors=True)

    def call(self, name, *args):
        with tempfile.TemporaryFile() as log:
            done = subprocess.run(self.prefix + ["--", os.path.join(self.programs, name)] + list(args),
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", timeout=3 * runner.HANGS)
            log.seek(0)
            assert done.returncode == 0, "%s: %s" % (name, log.read().decode())

    def start(self):
        with open(self.directory + "/log", "wb") as log:
            self.server = subprocess.Popen(
                self.prefix + ["--", os.path.join(self.programs, "postgres"), "-D", self.directory + "/data",
                               "-c", "listen_addresses=", "-c", "unix_socket_directories=" + self.directory,
                               "-c", "fsync=off", "-c", "shared_buffers=8MB", "-c", "max_connections=40"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.wait_until_ready()

    def wait_until_ready(self):
        def is_ready():
            assert self.server.poll() is None, "PostgreSQL has ended: " + open(self.directory + "/log").read()
            return subprocess.run(self.psql("-c", "SELECT 1"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL).returncode == 0
        wait_until(is_ready, "PostgreSQL should be ready")

    def stop(self, how):
        """By a signal: INT is a fast shutdown, QUIT an immediate one, as a crash."""
        if self.server is None:
            return
        self.server.send_signal(getattr(signal, "SIG" + how))
        try:
            self.server.wait(runner.HANGS)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
            print("# PostgreSQL had to be killed", file=sys.stderr)
        self.server = None

    # ---- Talking to it ----

    def url(self, database="test", **options):
        more = "".join("&%s=%s" % option for option in options.items())
        return "postgresql:///%s?host=%s%s%s" % (database, self.directory, "" if "user" in options else "&user=tester",
                                               more)

    def psql(self, *args, database="postgres"):
        return [os.path.join(self.programs, "psql"), "-h", self.directory, "-U", "tester", "-d", database, "-XqAt",
                "-v", "ON_ERROR_STOP=1"] + list(args)

    def query(self, statement, database="test"):
        done = subprocess.run(self.psql("-c", statement, database=database), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
                              timeout=runner.HANGS)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def fresh(self):
        """An empty database, called test."""
        self.query("DROP DATABASE IF EXISTS test WITH (FORCE)", "postgres")
        self.query("CREATE DATABASE test", "postgres")
