# SPDX-License-Identifier: MIT
import asyncio

now = most = 0


async def fetch(limit, n):
    global now, most
    async with limit:
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
    if n == 5:
        raise LookupError(f"no page {n}")
    return n * 100


async def main():
    limit = asyncio.Semaphore(3)
    answers = await asyncio.gather(*[fetch(limit, n) for n in range(8)], return_exceptions=True)
    for n, answer in enumerate(answers):
        print(f"{n}: {answer}")
    print(f"at most {most} at once")


asyncio.run(main())
