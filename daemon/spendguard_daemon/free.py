"""Questions to a provider that cost nothing: its count endpoint, its list of models.

They go through the same door as calls, once, with the operator's key; the whole answer is read, within bounds
of time and size. Knows no budget: who asks must have been let in before.
"""

import asyncio
from dataclasses import dataclass, field

from spendguard_daemon.ports import NotSentError, Upstream, UpstreamLostError, UpstreamRequest

ANSWER_BYTES_MAX = 1024 * 1024


class UnansweredError(Exception):
    """A free question got no answer that could be used; says why, for a person. `sent`: bytes may be out."""

    def __init__(self, why: str, *, sent: bool, late: bool = False):
        super().__init__(why)
        self.sent = sent
        self.late = late


@dataclass(frozen=True, slots=True)
class FreeAnswer:
    """A whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def post(provider: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> UpstreamRequest:
    """Return a question with a JSON body."""
    ours = (
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
    )
    return UpstreamRequest(provider=provider, method="POST", path=path, headers=(*ours, *headers), body=body)


async def ask(upstream: Upstream, request: UpstreamRequest, seconds: float) -> FreeAnswer:
    """Send a free question, return its answer; raise UnansweredError within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            response = await upstream.send(request)
            try:
                body = bytearray()
                async for chunk in response.chunks():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise UnansweredError("the answer has no end", sent=True)
            finally:
                await response.close()
    except NotSentError as error:
        raise UnansweredError(str(error), sent=False) from error
    except UpstreamLostError as error:
        raise UnansweredError(str(error), sent=True) from error
    except TimeoutError:
        why = f"{request.provider} did not answer within {seconds:g} s"
        raise UnansweredError(why, sent=True, late=True) from None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return FreeAnswer(response.status, headers, bytes(body))
