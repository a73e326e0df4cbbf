# SPDX-License-Identifier: MIT
import asyncio
from contextvars import ContextVar

user = ContextVar("user", default="nobody")


def describe(where):
    return f"{where} of {user.get()}"


async def child():
    line = describe("child")
    user.set("somebody else")  # seen by this task only
    return line


async def handler(name):
    user.set(name)
    await asyncio.sleep(0)  # the other handler sets its own
    task = asyncio.create_task(child())
    lines = [describe("handler"), await task, await asyncio.to_thread(describe, "thread"), describe("handler")]
    return ", ".join(lines)


async def main():
    for line in await asyncio.gather(handler("alice"), handler("bob")):
        print(line)
    print(describe("main"))


asyncio.run(main())
