#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the worked ports of the porting guide print the same in both languages, and what the guide says?

test_ports.py PORTS BUILT [TEST ...]     PORTS: NAME.py, NAME.c, NAME.out ...; BUILT: the programs NAME

An older Python than 3.11 lacks some of what the programs use: then only the C side runs.
"""
import os
import subprocess
import sys

import runner

PORTS, BUILT = sys.argv[1:3]
NAMES = sorted(name[:-3] for name in os.listdir(PORTS) if name.endswith(".py"))

# CPython's gh-102780, in 3.11.0 to 3.11.2 (Debian 12 has 3.11.2): a task that has left a TaskGroup by an error still
# counts as asked to cancel, and a timeout in it that runs out raises CancelledError instead of TimeoutError.
TIMEOUT_AFTER_GROUP = """
import asyncio

async def fail():
    raise OSError

async def main():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600))
            group.create_task(fail())
    except* OSError:
        pass
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(3600)
    except TimeoutError:
        return
    except asyncio.CancelledError:
        print("CancelledError", flush=True)
        raise

asyncio.run(main())
"""


def python_has_the_fault():
    probe = subprocess.run([sys.executable, "-c", TIMEOUT_AFTER_GROUP], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, timeout=runner.HANGS)
    return probe.stdout == b"CancelledError\n"


def expected(name):
    with open(os.path.join(PORTS, name + ".out")) as f:
        return f.read()


def make(name, command):
    return lambda: runner.Run(command).succeeds().prints(expected(name))


def in_python(name):
    def test():
        if name == "group_timeout" and python_has_the_fault():
            raise runner.Skip("Python %s itself is at fault: gh-102780" % sys.version.split()[0])
        make(name, [sys.executable, os.path.join(PORTS, name + ".py")])()
    return test


def test_each_port_has_its_three_files():
    for name in sorted(os.listdir(PORTS)):
        if name.split(".")[0] not in NAMES or not name.endswith((".py", ".c", ".out")):
            raise AssertionError("%s is no file of a port" % name)


for port in NAMES:
    globals()["test_%s_in_c" % port] = make(port, [os.path.join(BUILT, port)])
    if sys.version_info >= (3, 11):
        globals()["test_%s_in_python" % port] = in_python(port)

if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[3:]))
