#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the worked ports of the porting guide print the same in both languages, and what the guide says?

test_ports.py PORTS BUILT [TEST ...]     PORTS: NAME.py, NAME.c, NAME.out ...; BUILT: the programs NAME

An older Python than 3.11 lacks some of what the programs use: then only the C side runs.
"""
import os
import sys

import runner

PORTS, BUILT = sys.argv[1:3]
NAMES = sorted(name[:-3] for name in os.listdir(PORTS) if name.endswith(".py"))


def expected(name):
    with open(os.path.join(PORTS, name + ".out")) as f:
        return f.read()


def make(name, command):
    return lambda: runner.Run(command).succeeds().prints(expected(name))


def test_each_port_has_its_three_files():
    for name in sorted(os.listdir(PORTS)):
        if name.split(".")[0] not in NAMES or not name.endswith((".py", ".c", ".out")):
            raise AssertionError("%s is no file of a port" % name)


for port in NAMES:
    globals()["test_%s_in_c" % port] = make(port, [os.path.join(BUILT, port)])
    if sys.version_info >= (3, 11):
        globals()["test_%s_in_python" % port] = make(port, [sys.executable, os.path.join(PORTS, port + ".py")])

if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
