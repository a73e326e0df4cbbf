# SPDX-License-Identifier: MIT
from concurrent.futures import ThreadPoolExecutor


def half(n):
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


numbers = [4, 7, 10, 13]
with ThreadPoolExecutor(4) as pool:
    futures = [pool.submit(half, n) for n in numbers]
    for n, future in zip(numbers, futures):
        try:
            print(f"half of {n}: {future.result()}")
        except ValueError as error:
            print(f"half of {n}: {error}")

    try:
        for answer in pool.map(half, numbers):
            pass
    except ValueError as error:
        print(f"map: {error}")
