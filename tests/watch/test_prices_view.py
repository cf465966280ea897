"""The prices view: whose word the prices are, how long they last, what was wrong, what they price."""

import msgspec
import pytest

from canned import at, hostile, pricing, snapshot
from looks import check_looks
from spendguard_cli.watch.messages import Happened
from spendguard_cli.watch.screens.prices import PricesView
from spendguard_cli.watch.widgets.lines import LineTable
from spendguard_daemon import wire
from spendguard_daemon.feed_wire import Event, Snapshot
from views_kit import opened, text_of


def _with(value: wire.Pricing | None) -> Snapshot:
    """Return the world with other prices."""
    world = snapshot()
    return msgspec.structs.replace(world, status=msgspec.structs.replace(world.status, pricing=value))


async def test_the_document_is_told_whole() -> None:
    """Signer, age, expiry, sequence, source, hash, next look, catalogue, and how many models."""
    async with opened(PricesView(), size=(100, 30)) as (app, _):
        told = text_of(app)
    assert "in 29 d, 2026-12-29 03:12:00Z" in told
    assert "local-1, self-signed: by this machine's own authority" in told
    assert "1 h ago, 2026-11-30 02:12:00Z" in told
    assert "7, schema 2" in told
    assert "in 4 min" in told
    assert "checked on 2026-11-20" in told
    assert "a" * 64 in told
    assert "2 models priced" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires_at": at(300)}, "SOON: in 5 min"),
        ({"expires_at": at(-60)}, "EXPIRED 1 min ago: no call is let through"),
        ({"verified": False}, "NOT VERIFIED: anyone may have written it"),
        ({"self_signed": False}, "local-1, verified"),
        ({"catalogue_is_old": True}, "OLD, prices may have changed since"),
        (
            {"ten_fold": ["openai:gpt-4o input"]},
            "1 price ten times what they were, or a tenth: openai:gpt-4o",
        ),
        ({"warnings": ["look at the clock"]}, "! look at the clock"),
        ({"source": "remote", "url": "https://prices.test/doc"}, "remote https://prices.test/doc"),
        (
            {"last_error": wire.PricingError(code="pricing_signature", detail="bad byte", at=at(-60))},
            "the last look failed 1 min ago: Remote pricing signature verification failed: bad byte",
        ),
    ],
)
async def test_danger_is_told_in_words(change: dict[str, object], said: str) -> None:
    """What is wrong with the prices is written, not only coloured."""
    async with opened(PricesView(), _with(msgspec.structs.replace(pricing(), **change)), size=(120, 30)) as (
        app,
        _,
    ):
        assert said in text_of(app)


async def test_no_prices() -> None:
    """Without prices it says what that means, and what to type."""
    async with opened(PricesView(), _with(None)) as (app, _):
        told = text_of(app)
    assert "NO PRICES ARE IN FORCE: no call is let through" in told
    assert "spendguard doctor signature" in told


async def test_models_are_filtered() -> None:
    """Slash asks for a text, the list follows each letter, Enter keeps it, Escape shows all again."""
    view = PricesView()
    async with opened(view, size=(100, 30)) as (app, pilot):
        await pilot.press("slash", "S", "o", "n")
        await pilot.pause()
        assert list(view.query_one(LineTable).keys) == ["anthropic:claude-sonnet-4-5"]
        assert "1 of them hold 'Son'" in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert view.query_one(LineTable).has_focus
        assert len(view.query_one(LineTable).keys) == 1
        await pilot.press("slash", "escape")
        await pilot.pause()
        assert len(view.query_one(LineTable).keys) == 2
        assert app.screen is view


async def test_new_prices_are_shown() -> None:
    """A document that comes while one looks is the one that is told."""
    async with opened(PricesView(), size=(100, 30)) as (app, pilot):
        world = _with(msgspec.structs.replace(pricing(), sequence=8, models=["mock:mock-small"]))
        app.board.hear(Happened((Event(seq=101, at=at(1), kind="price", status=world.status),)), 0.0)
        app.redraw()
        await pilot.pause()
        told = text_of(app)
    assert "8, schema 2" in told
    assert "mock:mock-small" in told


async def test_hostile_names() -> None:
    """No name steers the terminal or breaks a line."""
    async with opened(PricesView(), hostile(), size=(100, 30)) as (app, _):
        told = text_of(app)
    assert not {"\x1b", "\u202e", "\x07"} & set(told)
    assert "[red]" in told


async def test_looks(request: pytest.FixtureRequest) -> None:
    """It looks as it did, at every size and in both colours."""
    async with opened(PricesView()) as (app, pilot):
        await check_looks(app, pilot, "prices-{0}-{2}", request)


async def test_a_filter_is_seen_while_it_is_typed() -> None:
    """On the smallest screen too the letters stand on a line of their own, which no border takes."""
    async with opened(PricesView(), size=(60, 20)) as (app, pilot):
        await pilot.press("slash", "s", "o", "n")
        await pilot.pause()
        assert "son" in [line.strip() for line in text_of(app).splitlines()]


async def test_what_a_model_costs_is_one_command_away() -> None:
    """Models are names alone here; the one under the cursor stands in the command that tells all."""
    view = PricesView()
    async with opened(view, size=(60, 20)) as (app, pilot):
        first, second = view.query_one(LineTable).keys
        assert f"$ spendguard pricing show {first}" in text_of(app)
        await pilot.press("down")
        await pilot.pause()
        assert f"$ spendguard pricing show {second}" in text_of(app)
        await pilot.press("slash", "n", "o", "n", "e")
        await pilot.pause()
        assert "pricing show" not in text_of(app)
