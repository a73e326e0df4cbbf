# SPDX-License-Identifier: MIT
import threading

condition = threading.Condition()
turn = "ping"


def player(me, other):
    global turn
    for n in range(3):
        with condition:
            if not condition.wait_for(lambda: turn == me, timeout=60):
                raise TimeoutError(f"{me} waits in vain")
            print(me, n)
            turn = other
            condition.notify_all()


threads = [threading.Thread(target=player, args=args) for args in [("pong", "ping"), ("ping", "pong")]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
