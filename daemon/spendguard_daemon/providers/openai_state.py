"""What a responses request goes on from: earlier answers, which lie at the provider. Pure.

Owns how a request names them and what may come back of them. Knows no tools and no limits; whose answers
they are and how large, `earlier` finds out.
"""

from spendguard_daemon.errors import MalformedError
from spendguard_daemon.providers.json_text import Document
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import SERVER_STATE_WINDOW, unbounded


def state_ids(document: Document, policy: Policy) -> tuple[str, ...]:
    """Return the earlier answer that the request goes on from, if the policy takes such."""
    previous = document.value("previous_response_id")
    if previous is None:
        return ()
    if policy.server_state == "refuse":
        raise unbounded("previous_response_id", "an earlier answer", setting=SERVER_STATE_WINDOW)
    if document.value("conversation") is not None:
        raise MalformedError("conversation", "only one of conversation and previous_response_id")
    return (previous,)


def leaves_out(document: Document) -> bool:
    """Tell whether this call may leave out what a later one, by the model's default, reads again.

    [sdk] shared_params/reasoning.py: the default is to read the reasoning of all turns for some models.
    """
    context = (document.value("reasoning") or {}).get("context")
    return document.value("truncation") == "auto" or context not in (None, "auto", "all_turns")


def may_outgrow(document: Document) -> bool:
    """Tell whether earlier turns may come back larger than they were read and written.

    That is where an earlier call may have dropped some of them, or the reasoning in them, to fit its window.
    """
    if document.value("previous_response_id") is None:
        return False
    context = (document.value("reasoning") or {}).get("context")
    return document.value("truncation") == "auto" or context == "all_turns"
