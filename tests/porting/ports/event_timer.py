# SPDX-License-Identifier: MIT
import threading

rung = threading.Event()
rings = []


def ring(what):
    rings.append(what)
    rung.set()


print("rung yet:", rung.wait(0.01))
bell = threading.Timer(0.05, ring, ["the bell"])
alarm = threading.Timer(3600, ring, ["the alarm"])
bell.start()
alarm.start()

print("rung:", rung.wait(60))
alarm.cancel()
alarm.join()
bell.join()
print("by:", *rings)
