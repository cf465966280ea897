"""One answer on its way from the provider to the client: what was passed on, what the reader has learnt.

It decides nothing about money: `seen()` is the evidence from which `outcome` does.
"""

import asyncio

from spendguard_daemon.aside import aside
from spendguard_daemon.call import Client, ClientGoneError, Plan
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.ledger.events import Hold
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.money import format_usd
from spendguard_daemon.outcome import Seen
from spendguard_daemon.ports import Clock, UpstreamRequest, UpstreamResponse
from spendguard_daemon.providers import AnswerReader, Outgoing

ANSWER_BYTES_HELD_BACK = 8 * 1024 * 1024
"""A plain answer up to this size is settled before its headers leave, so that they can name the cost."""

BYTES_READ_AT_ONCE = 32 * 1024
"""Read in one go of what arrives faster; in between others get their turn."""

STREAM_EVENT = b"data: {"
"""How the events of all providers' streams begin that bring something."""

PASSED_ON = ("user-agent",)
"""The client's headers that reach the provider. Not among them: any key, cookie, project or encoding."""

BETA_HEADERS = ("openai-beta", "anthropic-beta")
"""Headers that may switch on what no bound covers: only what a format knows of them passes (5.2)."""

STRIPPED_CHARACTERS_MAX = 1_000
ANSWER_ID_CHARACTERS_MAX = 200

KEY_REJECTED = frozenset({401, 403})
"""Answers about the operator's key, which they may repeat: not a byte of them is passed on (design 6).

So is a 400 of which its reader says the same (`AnswerReader.key_rejected`)."""


class Relay:
    """The answer to one held call.

    The guard sets `left` once bytes may be out, and `problem` when the transport or the clock ends the call.
    `cut_by` is what its record says where it is cut: by whom, where a person did it.
    `heard_ns` (monotonic) is when the provider was last heard of, else when the request went out. `ends_ns`
    (wall) is when the call is cut at the latest; before it is on its way, when the hold reaches no further.
    """

    def __init__(self, plan: Plan, hold: Hold, client: Client, clock: Clock):
        self.plan = plan
        self.hold = hold
        self.status: int | None = None
        self.left = False
        self.started = False
        self.client_gone = False
        self.problem = ""
        self.cut_by = "aborted"
        self.body = bytearray()
        self.heard_ns = clock.monotonic_ns()
        self.ends_ns = plan.hold.deadline_ns
        self._clock = clock
        self._ended = False
        self._client = client
        self._headers: dict[str, str] = {}
        self._reader: AnswerReader | None = None
        self._held_back = True
        self._outgoing: Outgoing | None = None
        self._path = ""
        self._hides_usage = False
        self._taken_bytes = self._stream_events = 0

    def prepare(self, outgoing: Outgoing) -> tuple[str, ...]:
        """Take what is to go out in place of the client's own text; return what differs from that."""
        self._path = self.plan.format.path(self.plan.request)
        self.plan = self.plan.without_text()
        self._outgoing, self._hides_usage = outgoing, outgoing.hides_usage
        return outgoing.changed

    def may_last(self, seconds: int) -> int:
        """Note that the call is cut in so many seconds, and return them."""
        self.ends_ns = self._clock.wall_ns() + seconds * NS_PER_SECOND
        return seconds

    def request(self) -> UpstreamRequest:
        """Return the request to the provider, once: its body must not live as long as the call."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing is None:
            raise RuntimeError("a call is sent once, after it was prepared")
        self.heard_ns = self._clock.monotonic_ns()
        return UpstreamRequest(
            provider=self.plan.provider,
            method="POST",
            path=self._path,
            headers=request_headers(self.plan),
            body=outgoing.body,
        )

    def begin(self, response: UpstreamResponse) -> None:
        """Note the head of the answer. Streams flow on at once; plain answers and errors are kept back."""
        self.status, self.heard_ns = response.status, self._clock.monotonic_ns()
        headers = {name.lower(): value for name, value in response.headers.items()}
        seen = self.plan.format.brought_back
        prefixes = tuple(name for name in seen if name.endswith("-"))
        self._headers = {
            name: value for name, value in headers.items() if name in seen or name.startswith(prefixes)
        }
        self._held_back = not (self.plan.request.stream and 200 <= response.status < 300)
        self._reader = self.plan.format.reader(
            self.plan.request,
            hides_usage=self._hides_usage,
            status=response.status,
            encoding=headers.get("content-encoding", ""),
        )

    async def take(self, chunk: bytes) -> None:
        """Let the reader see a chunk, then pass on what the client is to see of it."""
        self.heard_ns = self._clock.monotonic_ns()
        if self._reader is None:
            return
        self._taken_bytes += len(chunk)
        self._stream_events += chunk.count(STREAM_EVENT)
        await self._pass_on(self._reader.feed(chunk[:BYTES_READ_AT_ONCE]))
        for at in range(BYTES_READ_AT_ONCE, len(chunk), BYTES_READ_AT_ONCE):
            await asyncio.sleep(0)
            await self._pass_on(self._reader.feed(chunk[at : at + BYTES_READ_AT_ONCE]))

    async def finish(self) -> None:
        """Note that the transport brought the answer to its end."""
        if self._reader is not None:
            await self._pass_on(await aside(self._reader.end, self._taken_bytes))
            self._ended = True

    @property
    def so_far(self) -> tuple[int, int]:
        """The bytes of the answer so far, and at least so many output tokens: one for each event of a stream.

        An event cut in two by the network is not counted: it is a number for people, no bill rests on it.
        """
        return self._taken_bytes, self._stream_events

    @property
    def whole(self) -> bool:
        """Whether the answer came to its own end, not merely the connection."""
        return self._ended and self._reader is not None and self._reader.complete

    @property
    def rejects_key(self) -> bool:
        """Whether the answer is about the operator's key; known for sure once it has ended."""
        return self.status in KEY_REJECTED or (self._reader is not None and self._reader.key_rejected)

    @property
    def answered_by(self) -> str | None:
        """The model that the answer names."""
        return self._reader.model if self._reader is not None else None

    @property
    def answer_id(self) -> str | None:
        """The id from which a later request may go on, as far as the answer has named it; fit for records."""
        found = self._reader.answer_id if self._reader is not None else None
        fit = found is not None and found.isascii() and found.isprintable()
        return found if fit and found and len(found) <= ANSWER_ID_CHARACTERS_MAX else None

    def seen(self) -> Seen:
        """Return all that is known of the answer, for the outcome table."""
        reader = self._reader
        if reader is None or self.status is None:
            return Seen(None, whole=False, usage=None, documented_error=False, problem=self.problem)
        if reader.complete and not self._ended:
            # A stream's own last event has come: how the connection ended after it changes nothing.
            reader.end()
            self._ended = True
        return Seen(
            status=self.status,
            whole=self.whole,
            usage=reader.usage,
            documented_error=reader.documented_error,
            problem=("" if self.whole else self.problem) or reader.problem or "",
        )

    def facts(self) -> dict[str, Fact]:
        """Return whose call this is and where it went, for an error of ours in place of an answer."""
        hold = self.hold
        held_usd = format_usd(hold.amount_nusd)
        return {
            "agent_id": hold.agent_id,
            "run_id": hold.run_id,
            "provider": hold.provider,
            "hold_usd": held_usd,
        }

    def key_rejected(self, charged_nusd: int) -> SpendGuardError:
        """Return the error that stands for an answer that rejects the key: not a word is the provider's."""
        provider, charged_usd = self.hold.provider, format_usd(charged_nusd)
        charged = (
            f"the call was charged its hold of {charged_usd} USD" if charged_nusd else "nothing was charged"
        )
        return SpendGuardError(
            Code.PROVIDER_KEY_REJECTED,
            f"The provider rejected the sidecar's key: {provider} answered {self.status}; {charged}",
            facts={**self.facts(), "provider_status": self.status, "charged_usd": charged_usd},
        )

    def whole_body(self) -> bytes:
        """Return the body of an answer kept back whole; an error that repeats our key has it blotted out."""
        body, key = bytes(self.body), self.plan.key.encode()
        return body.replace(key, b"[redacted]") if key and (self.status or 0) >= 400 else body

    def headers(self) -> dict[str, str]:
        """Return the headers that the client gets: an allow-list of the provider's, and ours."""
        asked, sent = self.plan.request.asked_output_tokens, self.hold.output_tokens
        ours = {
            "x-spendguard-call-id": self.hold.call_id,
            "x-spendguard-source": "provider",
            "x-spendguard-held-usd": format_usd(self.hold.amount_nusd),
        }
        stripped = stripped_from(self.plan)
        if stripped:
            ours["x-spendguard-stripped"] = stripped
        if asked != sent and not self.plan.request.capless:
            ours["x-spendguard-max-tokens"] = f"asked={'none' if asked is None else asked}; sent={sent}"
        return {**self._headers, **ours}

    async def _pass_on(self, data: bytes) -> None:
        if self.status in KEY_REJECTED:
            return
        if self._held_back:
            self.body += data
            if len(self.body) <= ANSWER_BYTES_HELD_BACK:
                return
            data, self.body, self._held_back = bytes(self.body), bytearray(), False
        if self.client_gone or self.status is None:
            return
        try:
            if not self.started:
                self.started = True
                await self._client.start(self.status, self.headers())
            if data:
                await self._client.write(data)
        except ClientGoneError:
            self.client_gone = True


def stripped_from(plan: Plan) -> str:
    """Return what of the client's request does not go out, features and headers, as one header's value."""
    kept = {name for name, _ in plan.request.headers}
    stripped = list(plan.request.stripped)
    if not any("beta" in name for name in stripped):  # where some are named, no header is named beside them
        stripped += [
            f"header:{name}" for name in BETA_HEADERS if name in plan.asked.headers and name not in kept
        ]
    text = ", ".join(stripped)[:STRIPPED_CHARACTERS_MAX]
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)


def request_headers(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Build the headers for the provider anew: nothing of the client's passes but what is listed."""
    headers = plan.asked.headers
    passed = [(name, headers[name]) for name in PASSED_ON if name in headers]
    accept = "text/event-stream" if plan.request.stream else "application/json"
    ours = [("content-type", "application/json"), ("accept-encoding", "identity")]
    if not any(name == "accept" for name, _ in plan.request.headers):
        ours.append(("accept", accept))
    return (*ours, *passed, *plan.request.headers, *(plan.format.auth(plan.key) if plan.key else ()))
