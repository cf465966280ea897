"""A world for `watch` where tests need no sidecar: the same agents, always at the same time.

`NOW` is its time. `snapshot()` has an agent of every kind; `crowd(500)` has so many of them, for the
tests of what stays calm. `Tap` is a source that tells what a test says, when it says it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from spendguard_cli.watch.messages import Message, Post, Snapped
from spendguard_daemon import wire
from spendguard_daemon.errors import Fact
from spendguard_daemon.feed_wire import Money, Progress, Snapshot, Standing, Totals

SUM: dict[str, Fact] = {
    "budget": "agent",
    "worst_case_usd": "0.85",
    "input_usd": "0.25",
    "output_usd": "0.6",
    "input_tokens_bound": 1000,
    "asked_output_tokens": 4096,
    "remaining_usd": "0.1",
    "limit_usd": "5",
    "short_usd": "0.75",
}
"""The numbers of a refusal: what a call could cost, and what remained."""

NOW = datetime(2026, 11, 30, 3, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return a time so long before (negative) or after NOW."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def uuid(number: int) -> str:
    """Return the id of the agent, or call, of a number."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"


class Tap:
    """A source that tells what it is told to."""

    def __init__(self, *first: Message) -> None:
        self._first, self._post = first, None

    def start(self, post: Post) -> None:
        """Tell what comes first."""
        self._post = post
        for message in self._first:
            post(message)

    def tell(self, message: Message) -> None:
        """Tell one more."""
        assert self._post is not None
        self._post(message)

    def close(self) -> None:
        """Tell no more."""
        self._post = None


def money(limit: str = "10", settled: str = "2.5", held: str = "0", **more: str | int | None) -> Money:
    """Return an agent's money in dollars; all of its limit was granted."""
    left = float(limit) - float(settled)
    given = {
        "hard_limit_usd": limit,
        "remaining_usd": f"{left:g}",
        "available_usd": f"{left - float(held):g}",
        "funded_usd": limit,
        "held_usd": held,
        "settled_usd": settled,
    }
    return Money(**(given | more))  # type: ignore[arg-type]


def agent(number: int, name: str, **more: object) -> wire.Agent:
    """Return an agent."""
    given = {
        "agent_id": uuid(number),
        "name": name,
        "created_at": at(-86400),
        "concurrency": "exclusive",
        "overflow": "clamp",
        "mock": False,
        "frozen": False,
    }
    return wire.Agent(**(given | more))  # type: ignore[arg-type]


def call(number: int, of: int, state: str, **more: object) -> wire.Call:
    """Return a call of an agent, `number` seconds ago."""
    given = {
        "call_id": uuid(1000 + number),
        "agent_id": uuid(of),
        "run_id": "nightly-7",
        "provider": "openai",
        "endpoint": "chat/completions",
        "model": "gpt-4o-mini",
        "state": state,
        "hold_usd": "0.05",
        "cost_usd": None if state == "held" else "0.0125",
        "usage": None,
        "lines": [],
        "changed": [],
        "document_sha256": "a" * 64,
        "http_status": None,
        "code": None,
        "reason": None,
        "created_at": at(-number),
        "ended_at": None if state == "held" else at(-number + 1),
        "expires_at": at(3600 - number) if state == "held" else None,
    }
    return wire.Call(**(given | more))  # type: ignore[arg-type]


def waiting(
    number: int, of: int, code: str = "insufficient_budget", lacking_cents: int | None = 75
) -> wire.Waiting:
    """Return a call that waits."""
    return wire.Waiting(
        call_id=uuid(2000 + number),
        agent_id=uuid(of),
        run_id="nightly-7",
        model="gpt-4o-mini",
        code=code,
        worst_case_usd="1.5",
        lacking_cents=lacking_cents,
        since=at(-number),
        until=at(300 - number),
    )


def standings() -> list[Standing]:
    """Return an agent of every kind: calm, spending, locked, nearly empty, overdrawn, frozen..."""
    steady = ["0.01"] * 90
    waits = waiting(20, 6)
    return [
        Standing(agent=agent(1, "calm"), money=money()),
        Standing(
            agent=agent(2, "spending", concurrency="shared"),
            money=money("100", "40", "1.25", calls_in_flight=3),
            spent_usd=[*["0.05"] * 45, *["0.2"] * 45],
        ),
        Standing(
            agent=agent(3, "locked", locked_run_id="nightly-7"),
            money=money(
                held="0.05",
                calls_in_flight=1,
                locked_run_id="nightly-7",
                locked_since=at(-75),
                locked_expires_at=at(525),
            ),
            spent_usd=steady,
        ),
        Standing(agent=agent(4, "nearly-empty"), money=money("5", "4.9", refusals=12), spent_usd=steady),
        Standing(
            agent=agent(5, "frozen", frozen=True, frozen_reason="loops at night"),
            money=money("20", "3", refusals=2, frozen_reason="loops at night"),
        ),
        Standing(agent=agent(6, "waiting", waiting=[waits]), money=money("2", "1.25", calls_waiting=1)),
        Standing(agent=agent(7, "overdrawn"), money=money("1", "1.5", refusals=1)),
        Standing(agent=agent(8, "new"), money=Money()),
        Standing(
            agent=agent(9, "名前のとても長いエージェント-with-a-name-that-goes-on"), money=money("3", "1")
        ),
    ]


def unconfirmed() -> list[wire.Unconfirmed]:
    """Return what nobody has confirmed."""
    return [
        wire.Unconfirmed(
            call_id=uuid(1300),
            agent_id=uuid(2),
            agent_name="spending",
            model="gpt-4o-mini",
            cost_usd="0.05",
            reason="the connection was lost",
            ended_at=at(-300),
            provider="openai",
            state="settled_worst",
        )
    ]


def totals(agents: Sequence[Standing]) -> Totals:
    """Return the sums."""
    return Totals(
        state="up",
        agents=len(agents),
        calls_in_flight=sum(one.money.calls_in_flight for one in agents),
        calls_waiting=sum(one.money.calls_waiting for one in agents),
        refusals=sum(one.money.refusals for one in agents),
        cap=wire.DaemonBudget(
            hard_limit_cents=50_000,
            remaining_cents=44_000,
            remaining_usd="440",
            held_usd="1.3",
            settled_usd="60",
        ),
        unconfirmed_usd="0.05",
        unconfirmed_calls=1,
        unconfirmed=unconfirmed(),
    )


def pricing() -> wire.Pricing:
    """Return the prices in force."""
    return wire.Pricing(
        document_sha256="a" * 64,
        sequence=7,
        key_id="local-1",
        self_signed=True,
        issued_at=at(-3600),
        expires_at=at(86400 * 29),
        age_seconds=3600,
        key_ids=["local-1"],
        next_refresh_at=at(240),
        catalogue_checked="2026-11-20",
        models=["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5"],
    )


def strangers() -> list[wire.Stranger]:
    """Return who named no agent."""
    return [
        wire.Stranger(
            code="missing_agent",
            detail="Missing x-cynsta-agent-id header",
            program="curl",
            provider="openai",
            endpoint="chat/completions",
            count=4,
            first_at=at(-600),
            last_at=at(-120),
        )
    ]


HOSTILE = "\x1b[2Jevil\u202e[red]\n[/red]\x07 name"
"""What an agent, a model or a provider may call itself: escapes, bidi controls, markup, a new line."""


def hostile() -> Snapshot:
    """Return a world in which every text from outside is HOSTILE."""
    waits = msgspec.structs.replace(waiting(20, 1, HOSTILE), model=HOSTILE, run_id=HOSTILE)
    evil = {"model": HOSTILE, "run_id": HOSTILE, "provider": HOSTILE, "reason": HOSTILE}
    locked = money(
        "5",
        "4.9",
        "0.05",
        locked_run_id=HOSTILE,
        locked_since=at(-75),
        locked_expires_at=at(525),
        frozen_reason=HOSTILE,
        calls_waiting=1,
        calls_in_flight=1,
    )
    one = agent(1, HOSTILE, waiting=[waits], locked_run_id=HOSTILE, frozen=True, frozen_reason=HOSTILE)
    bare = snapshot([Standing(agent=one, money=locked)])
    facts: dict[str, Fact] = {**SUM, "budget": HOSTILE, "rates": [HOSTILE], "cheaper_model": HOSTILE}
    lines: list[wire.CostLine] = [
        {"name": HOSTILE, "quantity": 1, "unit": HOSTILE, "rate": 1, "cost_nusd": "1"},
    ]
    unknown = [
        msgspec.structs.replace(each, agent_name=HOSTILE, model=HOSTILE, reason=HOSTILE)
        for each in unconfirmed()
    ]
    prices = msgspec.structs.replace(
        pricing(),
        key_id=HOSTILE,
        url=HOSTILE,
        catalogue_checked=HOSTILE,
        models=[HOSTILE],
        ten_fold=[HOSTILE],
        warnings=[HOSTILE],
        last_error=wire.PricingError(code=HOSTILE, detail=HOSTILE, at=HOSTILE),
    )
    evil_strangers = [msgspec.structs.replace(each, program=HOSTILE, detail=HOSTILE) for each in strangers()]
    return msgspec.structs.replace(
        bare,
        calls=[call(75, 1, "held", **evil)],
        ended=[
            call(10, 1, "refused", code="insufficient_budget", facts=facts, cost_usd="0", **evil),
            call(20, 1, "refused", code=HOSTILE, cost_usd="0", **evil),
            call(30, 1, "settled", lines=lines, changed=[HOSTILE], usage={HOSTILE: 1}, **evil),
            call(40, 1, "settled_worst", **evil),
        ],
        totals=msgspec.structs.replace(bare.totals, unconfirmed=unknown),
        status=msgspec.structs.replace(bare.status, pricing=prices, strangers=evil_strangers),
    )


def status(agents: Sequence[Standing]) -> wire.Status:
    """Return the daemon at a glance."""
    sums = totals(agents)
    return wire.Status(
        version="0.3.0",
        pid=4711,
        started_at=at(-7200),
        home="/home/op/.spendguard",
        addresses=["http://127.0.0.1:8787"],
        pricing=pricing(),
        providers=[],
        daemon_budget=sums.cap,
        agents=sums.agents,
        calls_in_flight=sums.calls_in_flight,
        unconfirmed_usd=sums.unconfirmed_usd,
        unconfirmed_calls=sums.unconfirmed_calls,
        settled_at_worst_at_start=0,
        warnings=[],
        unconfirmed=sums.unconfirmed,
        calls_waiting=sums.calls_waiting,
        strangers=strangers(),
    )


def ended() -> list[wire.Call]:
    """Return what has ended, newest first."""
    lines: list[wire.CostLine] = [
        {"name": "input", "quantity": 1000, "unit": "token", "rate": 150000, "cost_nusd": "150000"},
        {"name": "output", "quantity": 500, "unit": "token", "rate": 600000, "cost_nusd": "300000"},
    ]
    usage = {"input_tokens": 1000, "output_tokens": 500}
    return [
        call(
            10,
            4,
            "refused",
            code="insufficient_budget",
            http_status=402,
            reason="Insufficient budget",
            cost_usd="0",
            facts=SUM,
        ),
        call(15, 2, "settled", cost_usd="0.00045", usage=usage, lines=lines, http_status=200),
        call(30, 5, "refused", code="agent_frozen", http_status=402, reason="Agent is frozen", cost_usd="0"),
        call(60, 7, "overrun", cost_usd="0.5", usage=usage, lines=lines, http_status=200),
        call(90, 2, "voided", cost_usd="0", http_status=429, reason="the provider answered 429"),
        call(300, 2, "settled_worst", cost_usd="0.05", reason="the connection was lost"),
    ]


def snapshot(agents: Sequence[Standing] | None = None) -> Snapshot:
    """Return the world."""
    shown = standings() if agents is None else list(agents)
    flights = [
        call(5, 2, "held"),
        call(20, 2, "held", model="gpt-4o"),
        call(40, 2, "held"),
        call(75, 3, "held"),
    ]
    told = Progress(
        call_id=uuid(1075), agent_id=uuid(3), answer_bytes=5120, output_tokens=310, cost_usd="0.0021"
    )
    return Snapshot(
        epoch="canned",
        seq=100,
        at=at(0),
        status=status(shown),
        totals=totals(shown),
        agents=shown,
        calls=flights if agents is None else [],
        progress=[told] if agents is None else [],
        ended=ended() if agents is None else [],
    )


def crowd(agents: int) -> Snapshot:
    """Return a world of many agents."""
    return snapshot(
        [
            Standing(
                agent=agent(n, f"agent-{n:03d}"), money=money("10", f"{n % 10}.5"), spent_usd=["0.01"] * 30
            )
            for n in range(1, agents + 1)
        ]
    )


def world() -> Tap:
    """Return a source that shows the world."""
    return Tap(Snapped(snapshot()))
