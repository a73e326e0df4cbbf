# SPDX-License-Identifier: MIT
from multiprocessing import Pool


def collatz(n):
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def twice(word):
    return word + word


if __name__ == "__main__":
    with Pool(2) as pool:
        print(*pool.map(collatz, [7, 27, 97, 871]))
        print(*sorted(pool.imap_unordered(collatz, range(1, 11))))
        for word in pool.imap(twice, ["bon", "tar", "so"]):
            print(word)
