"""Which models a key may call: those that every list of its lineage lets pass. Pure."""

from collections.abc import Mapping, Sequence

from spendguard_daemon.agent_keys import allows
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact, SpendGuardError
from spendguard_daemon.ledger.state import AgentKey
from spendguard_daemon.pricing.ratecard import RateCard


def may_call(models: Sequence[str] | None, card: RateCard) -> bool:
    """Tell whether a list of patterns lets the model of a card pass, by any of the names that the card has.

    What is called, and what it costs, is the same under each of them. None lets every model pass.
    """
    return any(allows(models, card.provider, name) for name in (card.model, *card.aliases))


def check_scope(keys: Sequence[str], card: RateCard, known: Mapping[str, AgentKey]) -> None:
    """Raise KEY_SCOPE (facts: key_id, model, allowed) unless each of `keys` may call the model of a card."""
    for key_id in keys:
        key = known.get(key_id)
        if key is None:
            raise SpendGuardError(Code.KEY_UNKNOWN, TABLE[Code.KEY_UNKNOWN].title, facts={"key_id": key_id})
        if not may_call(key.models, card):
            raise _refusal(card, key.models, {"key_id": key_id})


def check_lists(lists: Sequence[Sequence[str]], card: RateCard) -> None:
    """Raise KEY_SCOPE (facts: model, allowed) unless each of these lists lets the model of a card pass.

    For what is free, where a key need not be known to the ledger yet.
    """
    for models in lists:
        if not may_call(models, card):
            raise _refusal(card, models, {})


def _refusal(card: RateCard, models: Sequence[str] | None, facts: dict[str, Fact]) -> SpendGuardError:
    model = f"{card.provider}/{card.model}"
    return SpendGuardError(
        Code.KEY_SCOPE,
        f"{TABLE[Code.KEY_SCOPE].title}: {model} is none of its models",
        facts={**facts, "model": model, "allowed": list(models or ())},
    )
