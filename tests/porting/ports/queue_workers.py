# SPDX-License-Identifier: MIT
import queue
import threading

jobs = queue.Queue(maxsize=4)
results = queue.PriorityQueue()


def worker():
    while True:
        n = jobs.get()
        if n is None:  # with 3.13: except queue.ShutDown
            break
        results.put((n, n * n))
        jobs.task_done()


threads = [threading.Thread(target=worker) for _ in range(3)]
for thread in threads:
    thread.start()
for n in range(10):
    jobs.put(n)
jobs.join()

for _ in threads:  # with 3.13: jobs.shutdown()
    jobs.put(None)
for thread in threads:
    thread.join()
while not results.empty():
    n, square = results.get()
    print(f"{n} * {n} = {square}")
