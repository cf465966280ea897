"""The control API of agent keys: make, show, rotate, revoke (design 6).

Chance comes in here and nowhere deeper: the secret of a key is made, shown once in the answer, and forgotten;
the ledger gets its public half.
"""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from spendguard_daemon import agent_keys, wire
from spendguard_daemon.agent_keys import Caveats
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access, bodies, views
from spendguard_daemon.gateway.asked import Asked
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.budgets import live_account
from spendguard_daemon.ledger.events import KeyAdd, KeyKind
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.state import AgentKey
from spendguard_daemon.ledger.times import NS_PER_SECOND
from spendguard_daemon.ports import Clock, Rng

LIFETIME_SECONDS_MAX = 10 * 366 * 86_400
KEY_ID_BYTES = 8


class KeyControl:
    """Serves the routes under `/v1/agents/{agent}/keys`."""

    def __init__(self, *, ledger: Ledger, clock: Clock, rng: Rng):
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self.routes: Mapping[str, Callable[[Asked], Awaitable[msgspec.Struct]]] = {
            "list_keys": self._list,
            "create_key": self._create,
            "get_key": self._get,
            "revoke_key": self._revoke,
            "rotate_key": self._rotate,
        }

    async def _list(self, asked: Asked) -> wire.AgentKeys:
        live_account(self._ledger.state, asked.agent_id)
        now_ns = self._clock.wall_ns()
        keys = self._ledger.state.keys_of(asked.agent_id)
        return wire.AgentKeys([views.agent_key(key, now_ns) for key in keys])

    async def _get(self, asked: Asked) -> wire.AgentKey:
        return views.agent_key(self._key(asked), self._clock.wall_ns())

    async def _create(self, asked: Asked) -> wire.KeyMade:
        new = bodies.decode(asked.body, wire.NewKey)
        caveats, kind, run_id = self._caveats(new), _kind(new.kind), _run_id(new.run_id)
        live_account(self._ledger.state, asked.agent_id)
        key_id = self._rng.token(KEY_ID_BYTES).hex()
        token, public = agent_keys.new_key(key_id, self._rng.token(agent_keys.SEED_BYTES))
        events = await self._ledger.submit(
            cmd.AddKey(
                agent_id=asked.agent_id,
                key_id=key_id,
                public=public.hex(),
                kind=kind,
                actor=asked.actor,
                limit_nusd=caveats.limit_nusd,
                expires_ns=caveats.expires_ns,
                models=caveats.models,
                label=caveats.label,
                run_id=run_id,
                idempotency=asked.idempotency,
            )
        )
        made = next((event.key_id for event in events if isinstance(event, KeyAdd)), None)
        if made != key_id:  # sent again under its Idempotency-Key: that secret was shown, and is not kept
            raise SpendGuardError(
                Code.IDEMPOTENCY_DONE,
                f"{TABLE[Code.IDEMPOTENCY_DONE].title}: it made the key {made}, and secrets are shown once",
                facts={"agent_id": asked.agent_id, "key_id": made},
            )
        return self._shown_once(key_id, token)

    async def _rotate(self, asked: Asked) -> wire.KeyMade:
        key = self._key(asked)
        if key.parent_id is not None:
            raise MalformedError("key", "one that an operator made; what was minted can only be revoked")
        if not key.live(self._clock.wall_ns()):
            title = TABLE[Code.KEY_NOT_FOUND].title
            raise SpendGuardError(Code.KEY_NOT_FOUND, f"{title}: it has ended", facts={"key_id": key.key_id})
        token, public = agent_keys.new_key(key.key_id, self._rng.token(agent_keys.SEED_BYTES))
        await self._ledger.submit(cmd.RotateKey(asked.agent_id, key.key_id, public.hex(), asked.actor))
        return self._shown_once(key.key_id, token)

    async def _revoke(self, asked: Asked) -> wire.AgentKey:
        key = self._key(asked)
        await self._ledger.submit(cmd.RevokeKey(asked.agent_id, key.key_id, asked.actor))
        return views.agent_key(key, self._clock.wall_ns())

    def _key(self, asked: Asked) -> AgentKey:
        live_account(self._ledger.state, asked.agent_id)
        key = self._ledger.state.agent_keys.get(asked.route.params["key"])
        if key is None or key.agent_id != asked.agent_id:
            raise SpendGuardError(
                Code.KEY_NOT_FOUND, TABLE[Code.KEY_NOT_FOUND].title, facts={"agent_id": asked.agent_id}
            )
        return key

    def _shown_once(self, key_id: str, token: str) -> wire.KeyMade:
        shown = views.agent_key(self._ledger.state.agent_keys[key_id], self._clock.wall_ns())
        return wire.KeyMade(**msgspec.structs.asdict(shown), key=token)

    def _caveats(self, new: wire.NewKey) -> Caveats:
        """Return how narrow a new key is to be; raise MALFORMED_REQUEST, naming the field."""
        limit_nusd = None if new.limit_cents is None else bodies.cents(new.limit_cents, "limit_cents")
        expires_ns, seconds = None, new.expires_in_seconds
        if seconds is not None:
            if not 1 <= seconds <= LIFETIME_SECONDS_MAX:
                raise MalformedError("expires_in_seconds", f"a whole number from 1 to {LIFETIME_SECONDS_MAX}")
            expires_ns = (self._clock.wall_ns() // NS_PER_SECOND + seconds) * NS_PER_SECOND
        models = None if new.models is None else tuple(new.models)
        caveats = Caveats(limit_nusd, expires_ns, models, new.label or "")
        agent_keys.check(caveats)
        return caveats


def _kind(text: str | None) -> KeyKind:
    match text:
        case None | "agent":
            return "agent"
        case "exec":
            return "exec"
        case _:
            raise MalformedError("kind", "agent or exec")


def _run_id(text: str | None) -> str | None:
    if text is not None and not access.RUN_ID.fullmatch(text):
        raise MalformedError("run_id", "1 to 128 of A-Z a-z 0-9 . _ : -")
    return text
