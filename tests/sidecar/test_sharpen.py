"""Finer bounds are made only for a call that nothing but its sum stops, and they never refuse anything."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import signed_prices
from ledger_kit import AGENT, grant, hold_call, make_book, new_agent
from signed_prices import NOW_NS
from sim import SimClock
from spendguard_daemon import sharpen
from spendguard_daemon.call import Plan
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book
from spendguard_daemon.planner import offer
from spendguard_daemon.ports import NotSentError, UpstreamLostError, UpstreamRequest
from spendguard_daemon.pricing import catalogue
from spendguard_daemon.pricing.document import PriceBook, read_document
from spendguard_daemon.providers import Asked, Policy, format_for
from spendguard_daemon.providers.contract import CountQuestion
from spendguard_daemon.sharpen import Sharpener
from spendguard_daemon.usage import InputBound

PRICES = PriceBook(
    read_document(signed_prices.body(providers=catalogue.merge(catalogue.bundled().models, {})), "00" * 32),
    catalogue.MOCK_CARDS,
    self_signed=True,
)
CARD = PRICES.card("openai", "gpt-4o-mini")
INPUT_NUSD, OUTPUT_NUSD = 150, 600
BODY = b'{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"x"}]}'
BYTES, LOCAL, COUNTED = 1_000, 400, 300


class Bounds:
    """A format whose bounds the test chooses; in all else that of OpenAI."""

    def __init__(self, local: int | None = None, counted: int | None = None):
        self.local, self.counted, self.question = local, counted, b'{"q":1}'
        self.seen: list[tuple[int, bytes]] = []
        self.asked: list[Asked] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(format_for("openai", "chat/completions"), name)

    def local_bound(self, asked: Asked, *_: object) -> InputBound | None:
        self.asked.append(asked)
        return None if self.local is None else InputBound("local", self.local)

    def count_question(self, _asked: Asked, _request: object) -> CountQuestion | None:
        return None if self.counted is None else CountQuestion("/count", self.question)

    def count_bound(self, _request: object, status: int, body: bytes) -> InputBound | None:
        self.seen.append((status, body))
        return InputBound("counted", self.counted or 0) if status == 200 else None


@dataclass
class Answer:
    """What the provider says to a count."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"{}"
        if self.error:
            raise self.error

    async def close(self) -> None:
        pass


class Provider:
    """Counts the questions."""

    def __init__(self, answer: Callable[[], Answer] = Answer):
        self.requests: list[UpstreamRequest] = []
        self._answer = answer

    async def send(self, request: UpstreamRequest) -> Answer:
        self.requests.append(request)
        return self._answer()


@dataclass
class Scene:
    """A ledger's state, a format, a provider, and the sharpener between them."""

    book: Book
    form: Bounds
    provider: Provider

    def __post_init__(self) -> None:
        self.clock = SimClock()
        self.sharpener = Sharpener(state=self.book.state, upstreams=lambda _: self.provider, clock=self.clock)

    def plan(self, **changes: Any) -> Plan:
        asked = Asked(BODY)
        request = format_for("openai", "chat/completions").read(asked)
        hold = hold_call(
            "new",
            model="gpt-4o-mini",
            offers=(offer(InputBound("bytes", BYTES), request, CARD, NOW_NS, NOW_NS),),
            output_tokens=100,
            asked_output_tokens=100,
            floor_output_tokens=100,
            deadline_ns=NOW_NS,
        )
        form: Any = self.form
        plan = Plan(Asked(b""), form, request, CARD, PRICES, hold, NOW_NS, "sk-key")
        return replace(plan, hold=replace(hold, **changes))

    async def rungs(self, policy: Policy | None = None, **changes: Any) -> list[str]:
        asked = Asked(BODY, policy=policy or Policy())
        plan = await self.sharpener.sharpen(self.plan(**changes), asked)
        return [each.rung for each in plan.hold.offers]


def scene(tokens: int, *, local: int | None = None, counted: int | None = None, **agent: Any) -> Scene:
    """Return a scene with money for so many input tokens and 100 of output."""
    book = make_book()
    book.execute(new_agent(**agent))
    book.execute(grant(tokens * INPUT_NUSD + 100 * OUTPUT_NUSD))
    return Scene(book, Bounds(local, counted), Provider())


async def test_a_call_that_fits_is_not_counted() -> None:
    given = scene(BYTES, local=LOCAL, counted=COUNTED)
    assert await given.rungs() == ["bytes"]
    assert (given.form.asked, given.provider.requests) == ([], [])


async def test_counting_here_comes_first_and_may_be_enough() -> None:
    given = scene(BYTES - 1, local=LOCAL, counted=COUNTED)
    assert await given.rungs() == ["local", "bytes"]
    assert given.form.asked[0].body == BODY
    assert given.provider.requests == []


async def test_the_provider_is_asked_when_that_is_not_enough() -> None:
    given = scene(LOCAL - 1, local=LOCAL, counted=COUNTED)
    assert await given.rungs() == ["counted", "local", "bytes"]
    (request,) = given.provider.requests
    assert (request.method, request.path, request.body) == ("POST", "/count", b'{"q":1}')
    assert ("authorization", "Bearer sk-key") in request.headers
    assert given.form.seen == [(200, b"{}")]


async def test_a_policy_forbids_the_question() -> None:
    given = scene(COUNTED, counted=COUNTED)
    assert await given.rungs(Policy(exact_count="never")) == ["bytes"]
    assert given.provider.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400),
        Answer(status=500),
        Answer(error=UpstreamLostError("cut")),
    ],
)
async def test_a_bad_answer_is_no_bound_and_no_error(answer: Answer) -> None:
    given = scene(COUNTED, counted=COUNTED)
    given.provider = Provider(lambda: answer)
    assert await given.rungs() == ["bytes"]
    assert len(given.provider.requests) == 1


async def test_an_unreachable_provider_is_no_error() -> None:
    def fails() -> Answer:
        raise NotSentError("refused")

    given = scene(COUNTED, counted=COUNTED)
    given.provider = Provider(fails)
    assert await given.rungs() == ["bytes"]


async def test_a_provider_that_hangs_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(sharpen, "COUNT_SECONDS", 0.01)

    class Hangs(Provider):
        async def send(self, request: UpstreamRequest) -> Answer:
            self.requests.append(request)
            await asyncio.Event().wait()
            return Answer()

    given = scene(COUNTED, counted=COUNTED)
    given.provider = Hangs()
    assert await given.rungs() == ["bytes"]
    assert len(given.provider.requests) == 1


async def test_a_bound_that_was_overrun_is_not_used_again() -> None:
    given = scene(COUNTED, local=LOCAL, counted=COUNTED)
    given.book.state.distrusted |= {("openai", "gpt-4o-mini", "local"), ("openai", "gpt-4o-mini", "counted")}
    assert await given.rungs() == ["bytes"]


async def test_nobody_is_asked_for_a_call_that_something_else_stops() -> None:
    """A stranger, a frozen agent, no budget, another run's lock: the ledger says so, to nobody else."""
    given = scene(COUNTED, local=LOCAL, counted=COUNTED)
    assert await given.rungs(agent_id="nobody") == ["bytes"]
    given.book.execute(new_agent("poor"))
    assert await given.rungs(agent_id="poor") == ["bytes"]
    free = given.plan().hold.offers[0]
    tiny = cmd.Offer("bytes", 1, replace(free.cost, fixed=0, per_token=0))
    given.book.execute(hold_call("first", run_id="other", offers=(tiny,)))
    assert await given.rungs() == ["bytes"]
    given.book.execute(cmd.VoidCall("first", "not sent", None))
    given.book.execute(cmd.Freeze(AGENT, "stop", "test"))
    assert await given.rungs() == ["bytes"]
    assert (given.form.asked, given.provider.requests) == ([], [])


async def test_nobody_is_asked_for_a_call_that_no_bound_could_save() -> None:
    """The output alone does not fit."""
    given = scene(-1, local=LOCAL, counted=COUNTED)
    assert await given.rungs() == ["bytes"]
    assert (given.form.asked, given.provider.requests) == ([], [])


async def test_an_injected_cap_is_cut_rather_than_counted_for() -> None:
    """It is ours; only where the call would be refused is the provider asked."""
    given = scene(BYTES - 1, counted=COUNTED)
    wanted = {"injected": True, "asked_output_tokens": None, "floor_output_tokens": 10}
    assert await given.rungs(**wanted) == ["bytes"]
    assert given.provider.requests == []
    assert await given.rungs(**{**wanted, "floor_output_tokens": 100}) == ["counted", "bytes"]


async def test_an_agent_may_not_make_us_ask_without_end() -> None:
    given = scene(COUNTED - 1, counted=COUNTED)
    for number in range(sharpen.COUNTS_BURST + 5):
        given.form.question = b"%d" % number
        await given.rungs()
    assert len(given.provider.requests) == sharpen.COUNTS_BURST


async def test_what_was_counted_is_known_also_where_nobody_may_be_asked() -> None:
    """A call that is sent again with the cap that its refusal named finds the same bound."""
    given = scene(COUNTED, counted=COUNTED)
    for number in range(sharpen.COUNTS_BURST + 5):
        given.form.question = b"%d" % number
        await given.rungs()
    given.form.question = b"0"
    assert await given.rungs() == ["counted", "bytes"]
    given.form.question = b"new"
    assert await given.rungs() == ["bytes"]
    assert len(given.provider.requests) == sharpen.COUNTS_BURST


async def test_a_bad_answer_is_not_remembered() -> None:
    given = scene(COUNTED, counted=COUNTED)
    given.provider = Provider(lambda: Answer(status=500))
    await given.rungs()
    given.provider = Provider()
    assert await given.rungs() == ["counted", "bytes"]
