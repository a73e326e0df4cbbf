# SPDX-License-Identifier: MIT
import threading
from concurrent.futures import ThreadPoolExecutor, TimeoutError, as_completed, wait

gate = threading.Event()


def quick(n):
    return n


def slow(n):
    gate.wait()
    return n


with ThreadPoolExecutor(4) as pool:
    futures = [pool.submit(quick, 1), pool.submit(slow, 2), pool.submit(quick, 3)]
    wait([futures[0], futures[2]])  # or a busy machine might be late with these

    done = set()
    try:
        for future in as_completed(futures, timeout=0.1):
            done.add(future)
    except TimeoutError:
        print("timed out")
    for i, future in enumerate(futures):
        print(f"{i}:", future.result() if future in done else "not done")

    gate.set()
    print("sum:", sum(future.result() for future in futures))
