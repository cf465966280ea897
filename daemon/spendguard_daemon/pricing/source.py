"""The one door to the remote price source: one GET over HTTP, bounded in size and time, and nothing followed.

Owns the socket side of fetching (ledger-and-security.md 3.3). Beside `gateway` the only module that knows
aiohttp. Invariants: no proxy of the environment, no cookie, no redirect, no decompression; TLS is verified as
the system does, from version 1.2 on; the time is for all of it together, from the name to the last byte.
"""

import asyncio
import ssl

import aiohttp
from yarl import URL

from spendguard_daemon.pricing.answers import NOT_MODIFIED, Answer, check_head, failed, too_large
from spendguard_daemon.pricing.wire_json import BYTES_MAX

LINE_BYTES_MAX = 8190
HEADERS_MAX = 128
READ_BYTES = 64 * 1024


async def fetch(url: str, *, etag: str, timeout_seconds: float) -> Answer:
    """Ask for a document, once; satisfies `answers.Fetch`."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _get(url, etag)
    except TimeoutError:
        raise failed(f"no whole answer came within {timeout_seconds:.1f} s") from None
    except aiohttp.ClientConnectorDNSError:
        raise failed("the name of its host could not be resolved") from None
    except aiohttp.ClientConnectorCertificateError:
        raise failed("its certificate could not be verified") from None
    except aiohttp.ClientSSLError:
        raise failed("TLS failed") from None
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise failed("the connection was refused or reset") from None
    except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
        raise failed(f"its answer could not be read: {type(error).__name__}") from None


async def _get(url: str, etag: str) -> Answer:
    headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "spendguard"}
    if etag:
        headers["if-none-match"] = etag
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_tls(), force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=LINE_BYTES_MAX,
        max_field_size=LINE_BYTES_MAX,
        max_headers=HEADERS_MAX,
    )
    async with (
        session,
        session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response,
    ):
        found = {name.lower(): value for name, value in response.headers.items()}
        check_head(response.status, found)
        body = b"" if response.status == NOT_MODIFIED else await _body(response)
        return Answer(response.status, found, body)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Read to the end, and stop as soon as it is too much."""
    body = bytearray()
    async for piece in response.content.iter_chunked(READ_BYTES):
        body += piece
        if len(body) > BYTES_MAX:
            raise too_large()
    return bytes(body)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
