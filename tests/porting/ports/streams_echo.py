# SPDX-License-Identifier: MIT
import asyncio


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for word in ["one", "two", "three"]:
        writer.write(f"{word}\n".encode())
        await writer.drain()
        answer = await asyncio.wait_for(reader.readline(), 60)
        print(f"{word}: {answer.decode().strip()}")
    writer.write_eof()
    print("then:", await reader.read())
    writer.close()
    await writer.wait_closed()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        await client(server.sockets[0].getsockname()[1])


asyncio.run(main())
