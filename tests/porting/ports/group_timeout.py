# SPDX-License-Identifier: MIT
import asyncio


async def worker(name, seconds):
    try:
        print(f"{name} begins")
        await asyncio.sleep(seconds)
        print(f"{name} has slept")
        if name == "b":
            raise OSError("b is broken")
    except asyncio.CancelledError:
        print(f"{name} tidies up")
        raise


async def main():
    try:
        async with asyncio.TaskGroup() as group:  # the first error cancels the rest
            group.create_task(worker("a", 3600))
            group.create_task(worker("b", 0.01))
    except* OSError as errors:
        print(f"failed: {errors.exceptions[0]}")

    try:
        async with asyncio.timeout(1):
            async with asyncio.TaskGroup() as group:
                group.create_task(worker("c", 3600))
    except TimeoutError:
        print("out of time")


asyncio.run(main())
