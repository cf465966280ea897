"""Which models a key may call: those that every list of its lineage lets pass. Pure."""

from collections.abc import Mapping, Sequence

from spendguard_daemon.agent_keys import allows
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
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
            raise SpendGuardError(
                Code.KEY_SCOPE,
                f"{TABLE[Code.KEY_SCOPE].title}: {card.provider}/{card.model} is none of its models",
                facts={
                    "key_id": key_id,
                    "model": f"{card.provider}/{card.model}",
                    "allowed": list(key.models or ()),
                },
            )
