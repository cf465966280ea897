"""One control request as it was sent: its route, its body, who acts, and its Idempotency-Key."""

import re
from collections.abc import Mapping

from spendguard_daemon.canonical import sha256_hex
from spendguard_daemon.errors import MalformedError
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.ledger.events import Idempotency

ACTOR_HEADER = "x-spendguard-actor"

ACTOR = re.compile(r"[a-z][a-z0-9-]{0,31}")


class Asked:
    """What an operator asks for. `actor` and, where there is a key, `idempotency` go into the journal."""

    def __init__(self, route: Route, headers: Mapping[str, str], body: bytes, key: str | None):
        """Raise MALFORMED_REQUEST for an actor that is none."""
        self.route = route
        self.body = body
        self.agent_id = route.agent_id.lower()
        self.actor = headers.get(ACTOR_HEADER, "api")
        if not ACTOR.fullmatch(self.actor):
            raise MalformedError(ACTOR_HEADER, "a short word")
        self.idempotency = None if key is None else Idempotency(key, _scope(route), sha256_hex(body)[:32])


def _scope(route: Route) -> str:
    """Return the route's name, with the call that it is about: a key is for one call, not for all of them."""
    call_id = route.params.get("call")
    return f"{route.name}/{call_id}" if call_id else route.name
