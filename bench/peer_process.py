#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The peer of bench_process: CPython's ProcessPoolExecutor does the same jobs.

Started by bench_process. It reads lines "MEASURE COUNT" and answers each with the seconds taken.
"""
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor

LARGE = 1 << 20
IN_FLIGHT = 8
CPU_JOBS = 8
large = b"x" * LARGE


def add_one(n):
    return n + 1


def give_large():
    return large


def take_large(data):
    return len(data)


def spin(turns):
    for _ in range(turns):
        pass


def check(right):
    if not right:
        raise RuntimeError("a job's result is wrong")


def round_trip(pools, count):
    for i in range(count):
        check(pools[2].submit(add_one, i).result() == i + 1)


def fan_out(pools, count):
    futures = [pools[2].submit(add_one, i) for i in range(count)]
    for i, future in enumerate(futures):
        check(future.result() == i + 1)


def result(pools, count):
    for _ in range(count):
        check(len(pools[2].submit(give_large).result()) == LARGE)


def results(pools, count):
    flight = [pools[2].submit(give_large) for _ in range(min(count, IN_FLIGHT))]
    for i in range(count):
        check(len(flight[i % IN_FLIGHT].result()) == LARGE)
        flight[i % IN_FLIGHT] = pools[2].submit(give_large) if i + IN_FLIGHT < count else None


def argument(pools, count):
    for _ in range(count):
        check(pools[2].submit(take_large, large).result() == LARGE)


def cpu(pool, turns):
    for future in [pool.submit(spin, turns) for _ in range(CPU_JOBS)]:
        future.result()


def cpu_one(pools, turns):
    cpu(pools[1], turns)


def cpu_two(pools, turns):
    cpu(pools[2], turns)


MEASURES = {f.__name__: f for f in (round_trip, fan_out, result, results, argument, cpu_one, cpu_two)}


def main():
    with ProcessPoolExecutor(1) as one, ProcessPoolExecutor(2) as two:
        pools = {1: one, 2: two}
        for pool in (one, two):  # its workers are there
            cpu(pool, 1000)
        print("ready", platform.python_version(), flush=True)
        for line in sys.stdin:
            name, count = line.split()
            start = time.perf_counter()
            MEASURES[name](pools, int(count))
            print(f"{time.perf_counter() - start:.9f}", flush=True)


if __name__ == "__main__":
    main()
