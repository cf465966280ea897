"""Earlier answers that a request goes on from: whose they are, and what they add to its input."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from ledger_kit import AGENT, funded_book, hold_call, new_agent, settle
from spendguard_daemon import earlier as module
from spendguard_daemon.earlier import Earlier, earlier
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.book import Book

Tasks = list[asyncio.Task[object]]


def nobody(_agent: str, _ids: Collection[str]) -> Tasks:
    """Say that no call is open."""
    return []


def book_with(**answers: Any) -> Book:
    """Return a book with a settled call for each answer; one of None was charged at worst, without usage."""
    book = funded_book(10**9, concurrency="shared")
    for answer_id, tokens in answers.items():
        end(book, answer_id, tokens)
    return book


async def size(ids: list[str], book: Book) -> int | None:
    """Return what answers of the agent add to an input of the model that gave them."""
    return (await earlier(ids, AGENT, book.history, nobody)).tokens


def end(book: Book, answer_id: str, tokens: tuple[int, int] | None) -> None:
    book.execute(hold_call(f"call of {answer_id}"))
    if tokens is None:
        book.execute(cmd.SettleAtWorst(f"call of {answer_id}", "torn", 200, answer_id))
    else:
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1]}
        ended = cmd.SettleCall(f"call of {answer_id}", 5, usage, [], 200, "reported", answer_id, sum(tokens))
        book.execute(ended)


async def test_what_was_read_and_written_is_added() -> None:
    book = book_with(resp_a=(100, 20), resp_b=(7, 3))
    assert await size(["resp_a"], book) == 120
    assert await size(["resp_a", "resp_b"], book) == 130
    assert await size([], book) == 0


async def test_another_models_tokens_say_nothing() -> None:
    """The same text is more tokens of another tokenizer, and an image many times more."""
    found = await earlier(["resp_a"], AGENT, book_with(resp_a=(100, 20)).history, nobody)
    (known,) = found.models
    assert found.tokens_for(*known) == 120
    assert found.tokens_for(known[0], "another") is None
    assert found.tokens_for("another", known[1]) is None
    assert Earlier().tokens_for("any", "any") == 0


async def test_an_answer_of_no_told_size_has_none() -> None:
    """Usage alone is not enough: the call may have read media, or left earlier turns out."""
    book = funded_book(10**9)
    book.execute(hold_call("c"))
    usage = {"input_tokens": 100, "output_tokens": 20}
    book.execute(cmd.SettleCall("c", 5, usage, [], 200, "reported", "resp_a"))
    assert await size(["resp_a"], book) is None


async def test_an_answer_without_usage_has_no_size() -> None:
    book = book_with(resp_a=(100, 20), resp_torn=None)
    assert await size(["resp_a", "resp_torn"], book) is None


async def test_another_agents_answer_is_foreign() -> None:
    book = book_with(resp_a=(100, 20))
    book.execute(new_agent("agent-2"))
    for agent_id, answer_id in (("agent-2", "resp_a"), (AGENT, "resp_x")):
        with pytest.raises(SpendGuardError) as refused:
            await earlier([answer_id], agent_id, book.history, nobody)
        assert refused.value.code is Code.FOREIGN_STATE
        assert refused.value.facts["id"] == answer_id
        assert answer_id in refused.value.detail
        assert "[policy] server_state" in str(refused.value.facts["setting"])


async def test_a_call_that_is_just_being_booked_is_waited_for() -> None:
    """Its client read the id in the stream, and was faster than the settlement."""
    book = book_with()

    async def settles() -> object:
        await asyncio.sleep(0)
        end(book, "resp_a", (100, 20))
        return None

    def ending(agent_id: str, ids: Collection[str]) -> Tasks:
        assert (agent_id, list(ids)) == (AGENT, ["resp_a"])
        return [asyncio.create_task(settles())]

    assert (await earlier(["resp_a"], AGENT, book.history, ending)).tokens == 120


async def test_a_call_that_goes_on_has_no_size_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDING_SECONDS", 0)
    never = asyncio.create_task(asyncio.Event().wait())
    try:
        found = await earlier(["resp_a"], AGENT, book_with().history, lambda _a, _i: [never])
    finally:
        never.cancel()
    assert found.tokens is None


def test_an_answer_is_forgotten_with_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index holds no more than the calls do."""
    book = book_with()
    history = book.history
    monkeypatch.setattr(history._calls, "_per_agent_max", 2)
    for index in range(4):
        end(book, f"resp_{index}", (1, 1))
    found = [history.answered(AGENT, f"resp_{index}") is not None for index in range(4)]
    assert found == [False, False, True, True]
    assert len(history._calls.by_answer) == 2


def test_a_settlement_without_an_id_is_no_answer_to_go_on_from() -> None:
    book = funded_book(10**9)
    book.execute(hold_call("c"))
    book.execute(settle("c", 5))
    assert book.history._calls.by_answer == {}
