"""Which connections may stay, and which must go to make room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendguard_daemon.gateway import crowd
from spendguard_daemon.gateway.crowd import LATE_MAX, RESTING_SECONDS, Crowd

HEADER_SECONDS, ANSWER_SECONDS = 10.0, 300.0


def full_of(guests: str, *, connections_max: int) -> Crowd[str]:
    """Return a crowd of these, come in at 0, 1, 2..."""
    made = Crowd[str](connections_max, HEADER_SECONDS, ANSWER_SECONDS)
    for second, guest in enumerate(guests):
        assert made.enter(guest, second) is None
    return made


def test_who_has_been_idle_longest_goes_first_and_nobody_at_work() -> None:
    made = full_of("abcd", connections_max=4)
    for guest, second in (("b", 5), ("a", 6)):
        assert made.ask(guest)
        made.rest(guest, second)
    made.ask("c")
    assert [made.enter(guest, 7) for guest in "xyz"] == ["d", "b", "a"]
    made.ask("x")
    made.ask("z")
    assert [made.enter(guest, 8) for guest in "qr"] == ["y", "q"]


def test_the_first_byte_of_a_head_is_a_new_beginning() -> None:
    made = full_of("ab", connections_max=2)
    made.begin("a", 5)
    assert made.enter("c", 6) == "b"
    assert made.due(14.9) == []
    assert made.due(15) == ["a"]
    assert made.due(16) == ["a", "c"]


def test_where_all_are_at_work_a_few_are_let_in_to_be_told_so() -> None:
    made = full_of("ab", connections_max=2)
    assert made.ask("a") and made.ask("b")
    assert made.enter("c", 3) is None
    made.begin("c", 4)
    assert made.ask("c") is False
    made.leave("a")
    assert made.ask("c") is True  # there is room again by the time it asks
    made.leave("b")
    made.leave("c")
    assert len(made) == 0


def test_those_who_came_too_late_are_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "LATE_MAX", 2)
    made = full_of("a", connections_max=1)
    made.ask("a")
    assert [made.enter(guest, 1) for guest in "bcde"] == [None, None, "b", "c"]
    assert made.due(11) == ["d", "e"]


def test_resting_has_an_end_too_and_work_has_none() -> None:
    made = full_of("ab", connections_max=2)
    made.ask("a")
    made.ask("b")
    made.rest("a", 3)
    made.rest("a", 50)  # said twice, it still rests since then
    assert made.due(3 + RESTING_SECONDS - 0.1) == []
    assert made.due(10_000) == ["a"]


def test_an_answer_is_waited_for_with_only_so_long() -> None:
    made = full_of("ab", connections_max=2)
    assert made.ask("a") and made.ask("b")
    made.answer("a", 1_000)
    made.answer("b", 1_001)
    made.answered("b")
    assert made.due(1_299) == []
    assert made.due(1_300) == ["a"]
    assert made.enter("c", 1_400) is None  # still at work until it is closed
    made.leave("a")
    assert made.due(10_000) == ["c"]


STEPS = st.tuples(st.sampled_from(["enter", "begin", "ask", "rest", "leave"]), st.integers(0, 9))


@given(st.lists(STEPS, max_size=200), st.integers(1, 4))
def test_never_more_than_there_is_room_for_and_none_at_work_is_closed(
    steps: list[tuple[str, int]], connections_max: int
) -> None:
    made = Crowd[int](connections_max, HEADER_SECONDS, ANSWER_SECONDS)
    inside, busy, number = dict[int, int](), set[int](), 0
    for second, (step, which) in enumerate(steps):
        if step == "enter":
            number += 1
            inside[number] = number
            leaving = made.enter(number, second)
            assert leaving not in busy
            inside.pop(leaving or 0, None)
        elif inside:
            guest = list(inside)[which % len(inside)]
            if step == "begin" and guest not in busy:
                made.begin(guest, second)
            elif step == "ask" and made.ask(guest):
                busy.add(guest)
            elif step == "rest":
                made.rest(guest, second)
                busy.discard(guest)
            elif step == "leave":
                made.leave(guest)
                busy.discard(guest)
                del inside[guest]
        assert len(made) == len(inside) <= connections_max + LATE_MAX
        assert len(busy) <= connections_max
