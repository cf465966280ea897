"""Words for money, times, states and failures; columns that fit; groups of failures. No screen."""

import msgspec
import pytest

from canned import HOSTILE, at, call, hostile, money, snapshot, uuid
from spendguard_cli.watch import deeds, explained, failing, priced, telling
from spendguard_cli.watch.sheet import Column, Sheet
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event
from views_kit import board_of

NOW = telling.seconds(at(0))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (8.9, "8 s"), (310, "5 min 10 s"), (7200, "2 h"), (90_061, "1 d 1 h"), (-5, "0 s")],
)
def test_spans(seconds: float, said: str) -> None:
    """Two units at most, never more than it is."""
    assert telling.span(seconds) == said


def test_money_is_exact_and_what_is_asked_for_is_enough() -> None:
    """Amounts stand as the wire has them; what a person is asked to give is rounded up to a cent."""
    assert telling.usd("-0.123456789") == "-$0.123456789"
    assert telling.usd(None) == "-"
    assert telling.least_usd(750_000_001) == "$0.76"
    assert telling.least_usd(750_000_000) == "$0.75"


def test_times_that_cannot_be_read() -> None:
    """No time is a dash, never a guess."""
    assert telling.ago("soon", NOW) == "-"
    assert telling.left(None, NOW) == "-"
    assert telling.until("", NOW) == "-"
    assert telling.left(at(-90), NOW) == "over for 1 min 30 s"
    assert [telling.rest(one, NOW) for one in (None, "soon", at(-1), at(0))] == ["-", "-", "over", "over"]
    assert telling.rest(at(3599), NOW) == "59m59s"


def test_a_sheet_fits_every_width() -> None:
    """Columns yield in their order, one grows; a line is as wide as there is room, whatever is in it."""
    sheet = Sheet(Column("A", 6, grows=True), Column("B", 6, right=True), Column("C", 10, yields=1))
    for width in (20, 40, 200):
        line = sheet.line(["名前のとても長い", "$1", telling.safe(HOSTILE)], width)
        assert line.cell_len <= max(width, 14)
        assert "\n" not in line.plain
    assert "C" not in sheet.head(20).plain
    assert "C" in sheet.head(40).plain
    assert sheet.line(["a", "$1", ""], 20).plain.endswith("$1")


@pytest.mark.parametrize(
    ("state", "more", "kind"),
    [
        ("refused", {"code": "agent_frozen"}, "agent_frozen"),
        ("overrun", {}, "overrun"),
        ("settled", {}, None),
        ("held", {}, None),
        ("settled_worst", {"reason": "aborted"}, "aborted"),
        ("settled_worst", {"reason": "no byte for 300 s"}, "upstream_timeout"),
        ("settled_worst", {"reason": "reset"}, "upstream_failed"),
        ("settled_worst", {"http_status": 500}, "answered 500"),
        ("voided", {"http_status": 401}, "provider_key_rejected"),
        ("voided", {"http_status": 429}, "answered 429"),
        ("voided", {"reason": "refused"}, "upstream_unreachable"),
        ("voided", {"reason": "aborted"}, None),
    ],
)
def test_what_counts_as_a_failure(state: str, more: dict[str, object], kind: str | None) -> None:
    """Each end of a call has one kind, or none where nothing went wrong."""
    assert failing.kind(call(1, 1, state, **more)) == kind


def test_what_a_person_confirmed_is_no_worry_any_more() -> None:
    """A charge at worst that is not among the unconfirmed ones is confirmed; of older ones nobody knows."""
    board = board_of()
    lost = call(300, 2, "settled_worst")
    assert not failing.is_confirmed(board, lost)
    assert failing.is_confirmed(board, call(200, 2, "settled_worst"))
    assert board.totals is not None
    board.totals = msgspec.structs.replace(board.totals, unconfirmed_calls=50)
    assert not failing.is_confirmed(board, call(4000, 2, "settled_worst"))
    assert explained.ways(board, lost)


@pytest.mark.parametrize(
    ("code", "of", "facts", "said"),
    [
        (
            "insufficient_budget",
            4,
            {"worst_case_usd": "9"},
            "above its limit of $5.00; press l to set it to $9.00, then t",
        ),
        ("insufficient_budget", 4, {}, "has $0.1 left; press t to top it up"),
        ("insufficient_budget", 1, {"worst_case_usd": "1"}, "which is enough: send it again"),
        (
            "budget_not_set",
            8,
            {"worst_case_usd": "1.001"},
            "has no budget; press l to give it one of $1.01 or more",
        ),
        ("agent_frozen", 5, {}, "is frozen; press u to unfreeze it"),
        ("agent_frozen", 1, {}, "is not frozen any more"),
        ("budget_locked", 3, {}, "run nightly-7 has held agent locked for 1 min 15 s; press 2"),
        ("budget_locked", 1, {}, "is not locked any more"),
        ("budget_held", 2, {}, "$1.25 is held by 3 calls in flight; wait, or press t"),
        ("budget_held", 1, {}, "what was held is free again"),
        ("insufficient_budget", 99, {}, "this agent is not there any more"),
    ],
)
def test_each_refusal_names_the_key_that_mends_it(
    code: str, of: int, facts: dict[str, str], said: str
) -> None:
    """What is in the way now, and what to press; nothing where it is out of the way."""
    board = board_of()
    refused = call(1, of, "refused", code=code, facts=facts)
    lines = "\n".join(line.plain for line in explained.advice(board, refused, NOW))
    assert said in lines


@pytest.mark.parametrize("state", ["settled_worst", "overrun"])
def test_what_nobody_has_confirmed_says_so(state: str) -> None:
    """A charge at a bound, or above it, names the key that confirms it."""
    told = [line.plain for line in explained.advice(board_of(), call(300, 2, state), NOW)]
    assert "press c to confirm it" in told[0] or "press c to enter it" in told[0]


def test_hostile_explanations() -> None:
    """Whatever a refusal holds, its explanation steers no terminal."""
    board = board_of(hostile())
    for group in failing.by_code(board):
        for one in group:
            said = explained.failed(board, one, NOW).plain
            assert not {"\x1b", "\u202e", "\x07"} & set(said)
    assert board.status is not None
    said = priced.in_force(board.status, NOW).plain
    assert not {"\x1b", "\u202e", "\x07"} & set(said)


def test_deeds_that_were_asked_for() -> None:
    """What each was, by whom, newest first; of a limit what is other, and what it was if that is known."""

    def done(kind: str, **more: str) -> wire.Deed:
        return wire.Deed(at=at(0), kind=kind, actor="me\x1b", **more)

    def budget(limit: str, granted: str = "0", taken: str = "0", ignored: str = "0") -> wire.Deed:
        sums = {"granted_usd": granted, "taken_usd": taken, "ignored_usd": ignored}
        return done("budget", hard_limit_usd=limit, **sums)

    found = [
        (done("made"), "made it"),
        (budget("10", "4"), "set the limit to $10, granted $4"),
        (budget("10", "6", ignored="1"), "granted $6, $1 more did not fit below the limit"),
        (budget("10", ignored="2"), "$2 more did not fit below the limit"),
        (budget("2", taken="8"), "set the limit to $2, it was $10, took back $8"),
        (budget("2"), "granted nothing"),
        (budget("5"), "set the limit to $5, it was $2"),
        (done("frozen", reason="loops\x1b"), "froze it: loops"),
        (done("unfrozen"), "unfroze it"),
        (done("settings"), "changed its settings"),
        (done("restored"), "put it back from a backup: frozen until it is entered what it spent since"),
        (done("confirmed", spent_usd="0.5", reason="bill"), "entered $0.5 as spent since the backup: bill"),
        (done("of tomorrow"), "changed its settings"),
    ]
    whole = wire.Deeds(deeds=[one for one, _ in reversed(found)], whole=True)
    assert deeds.told(whole) == [deeds.Deed(at(0), "me", said) for _, said in reversed(found)]
    cut = deeds.told(wire.Deeds(deeds=[budget("2", "1"), budget("2", "3")], whole=False))
    assert [one.said for one in cut] == [
        "granted $1",
        "the limit is $2, granted $3",
        "this is all since 2026-11-30 03:12:00Z; what was done before is not at hand",
    ]
    by_ledger = wire.Deed(at=at(0), kind="frozen", actor="ledger")
    (one,) = deeds.told(wire.Deeds(deeds=[by_ledger], whole=True))
    assert (one.actor, one.said) == ("the sidecar", "froze it")
    (nothing,) = deeds.told(wire.Deeds(deeds=[], whole=False))
    assert nothing == deeds.older("what was done before is not at hand")


def test_deeds() -> None:
    """What changes an agent's money or leave to spend it is a deed; what its calls do is none."""
    before = money("10", "1")
    spent = Event(seq=1, at=at(0), kind="end", agent_id=uuid(1), money=money("10", "2"))
    assert deeds.deed(before, spent) is None
    renamed = Event(seq=2, at=at(0), kind="agent", agent_id=uuid(1), money=before, actor="cli")
    assert deeds.deed(before, renamed) == deeds.Deed(at(0), "cli", "changed its settings or keys")
    frozen = msgspec.structs.replace(before, frozen_reason=HOSTILE)
    by_ledger = deeds.deed(before, msgspec.structs.replace(spent, money=frozen))
    assert by_ledger is not None
    assert by_ledger.actor == "the sidecar"
    assert "\x1b" not in by_ledger.said
    told: list[deeds.Deed] = []
    for _ in range(deeds.DEEDS_MAX + 5):
        deeds.note(told, before, renamed)
    assert len(told) == deeds.DEEDS_MAX


def test_a_name_that_two_agents_have_is_not_typed() -> None:
    """Commands name an agent by its id where its name could mean another."""
    world = snapshot()
    twins = [
        msgspec.structs.replace(one, agent=msgspec.structs.replace(one.agent, name="twin"))
        for one in world.agents
    ]
    board = board_of(msgspec.structs.replace(world, agents=twins))
    assert telling.ref(board, uuid(4)) == uuid(4)
    assert telling.ref(board_of(), uuid(4)) == "nearly-empty"


def test_strangers_are_explained() -> None:
    """Who named no agent is told with the way to name one."""
    board = board_of()
    assert isinstance(board.status, wire.Status)
    said = explained.stranger(board.status.strangers[0], NOW).plain
    assert "4 requests that named no agent" in said
    assert "spendguard agent" in said
