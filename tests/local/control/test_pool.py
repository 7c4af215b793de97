"""Connections to servers of models."""

from __future__ import annotations

import asyncio

import pytest

from optml.local.control.endpoints.client import Pool

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "connections"), [(PLAIN, 1), (CHUNKED, 1), (CLOSED, 5)], ids=["plain", "chunked", "closed"]
)
def test_requests_share_a_connection_unless_the_server_closes_it(answer: bytes, connections: int) -> None:
    opened = 0
    ended = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while (await reader.read(4096)).endswith(b"\r\n\r\nbody"):
            writer.write(answer)
            if answer is CLOSED:
                break
        writer.close()
        await writer.wait_closed()
        ended.release()

    async def ask() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        pool = Pool(server.sockets[0].getsockname()[1])
        for _ in range(5):
            reply = await pool.request("POST", "/invocations", [], b"body")
            assert await reply.read() == b"ok"
            pool.release(reply)
        pool.close()
        for _ in range(opened):
            await ended.acquire()
        server.close()
        await server.wait_closed()

    asyncio.run(ask())
    assert opened == connections
