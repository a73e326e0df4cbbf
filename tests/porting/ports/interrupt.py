# SPDX-License-Identifier: MIT
import asyncio
import os
import signal


async def serve():
    await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C
    try:
        await asyncio.sleep(3600)
    finally:
        print("the service tidies up")


async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(serve())


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
