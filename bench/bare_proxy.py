"""The yardstick: the least that a Python proxy can do. `bare_proxy.py <upstream port>` prints its own port.

aiohttp's low-level server and client on uvloop, bodies streamed both ways, nothing read, checked or kept.
"""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

_PASSED_ON = ("content-type", "content-length", "authorization")
_BROUGHT_BACK = ("content-type", "content-length", "x-request-id")


async def main(upstream_port: int) -> None:
    """Serve until killed."""
    base = f"http://127.0.0.1:{upstream_port}"
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    )

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = base + request.path_qs
        async with session.request(request.method, url, data=request.content, headers=headers) as answer:
            back = {name: answer.headers[name] for name in _BROUGHT_BACK if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=back)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
