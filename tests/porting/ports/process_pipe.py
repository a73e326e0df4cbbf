# SPDX-License-Identifier: MIT
from multiprocessing import Pipe, Process


def repeat(connection):
    while (question := connection.recv()) is not None:
        word, times = question
        connection.send(word * times)


if __name__ == "__main__":
    ours, theirs = Pipe()
    process = Process(target=repeat, args=(theirs,), name="repeat")
    process.start()
    for question in [("ab", 3), ("x", 5), ("-", 10)]:
        ours.send(question)
        print(ours.recv())
    ours.send(None)  # the end: closing is none, for a forked child has both ends
    process.join()
    print(process.name, "has ended:", process.exitcode)
