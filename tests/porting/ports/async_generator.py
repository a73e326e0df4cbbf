# SPDX-License-Identifier: MIT
import asyncio
from contextlib import aclosing


async def pages(last):
    try:
        for n in range(1, last + 1):
            await asyncio.sleep(0.01)  # a request
            yield n
    finally:
        print("connection closed")


async def main():
    async for n in pages(2):
        print(f"page {n}")

    async with aclosing(pages(1000)) as book:
        async for n in book:
            print(f"page {n}")
            if n == 3:
                break


asyncio.run(main())
