# SPDX-License-Identifier: MIT
"""A file for an SQLite database, and what `sensors` has written to it."""
import contextlib
import json
import os
import shutil
import sqlite3
import tempfile

import runner


class File:
    """An SQLite file in a directory of its own."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp()
        self.path = os.path.join(self.directory, "a file.db")
        self.url = "sqlite:" + self.path
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.directory)

    def connect(self):
        return contextlib.closing(sqlite3.connect(self.path, timeout=runner.HANGS, isolation_level=None))

    def query(self, text):
        with self.connect() as connection:
            return connection.execute(text).fetchall()

    def rows(self):
        return [(name, server, json.loads(data)) for name, server, data in
                self.query("SELECT sensor_name, server, data FROM sensor_values ORDER BY id")]

    def make_table(self, more=""):
        with self.connect() as connection:
            connection.executescript(
                "CREATE TABLE sensor_values (id INTEGER PRIMARY KEY, sensor_name VARCHAR, collected_at TIMESTAMP, "
                "server VARCHAR, data TEXT); INSERT INTO sensor_values VALUES (1, 'old', '', '', '0'); " + more)

    def is_as_made(self):
        return self.rows() == [("old", "", 0)]
