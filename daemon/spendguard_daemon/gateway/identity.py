"""For whom a request is: agent keys, path, header and admin token, which must all say the same (design 5.1).

Decides on memory alone. What it writes is the adoption of a key that was minted offline, at its first call.
Invariants: an agent key is never ignored, wherever it stands; a chain that was verified once is taken again
only under the same root key, so that a rotation or revocation counts at once; no key is ever repeated.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multidict import CIMultiDictProxy

from spendguard_daemon import agent_keys
from spendguard_daemon.agent_keys import Link, Presented
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, Fact, MalformedError, SpendGuardError
from spendguard_daemon.gateway import access
from spendguard_daemon.gateway.plans import plan_of
from spendguard_daemon.gateway.routes import OWN_READS, Route
from spendguard_daemon.ledger.agent_keys import KEYS_MAX
from spendguard_daemon.ledger.commands import AddKey
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.ledger.state import AgentKey
from spendguard_daemon.pace import Pace
from spendguard_daemon.ports import Clock
from spendguard_daemon.settings import Settings

AGENT_HEADER = "x-cynsta-agent-id"
RUN_HEADER = "x-cynsta-run-id"
SESSION_HEADER = "x-claude-code-session-id"
"""A client's own session, which groups its calls for free (design 4)."""

CHAINS_MAX = 1024
"""How many verified chains are remembered: their signatures take a hundred times as long to check."""

ADOPTIONS_PER_SECOND = 1.0
"""Of minted keys of one agent, beside as many at once as it may have: each is a record of the journal, and
who holds a key mints others for nothing."""

_NS_PER_DAY = 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a request is: an agent's id, the run if one is named, and the key's lineage, root first.

    `models` are the lists of the lineage that narrow what may be called; `root_public` is what the root was
    proven against, for it may be rotated before the call gets its money.
    """

    agent_id: str
    run_id: str | None
    keys: tuple[str, ...] = ()
    models: tuple[Sequence[str], ...] = ()
    root_public: str = ""


@dataclass(frozen=True, slots=True)
class _Held:
    """An agent key that is good: whose it is, its lineage, the run that it was made for, and what it minted.

    `links` are those of the lineage that the ledger does not know yet, each with its parent's id.
    """

    agent_id: str
    keys: tuple[str, ...]
    run_id: str | None
    models: tuple[Sequence[str], ...]
    root_public: str
    links: tuple[tuple[Link, str], ...]


class Identifier:
    """Tells who is asking. One per daemon; `token` is the admin token."""

    def __init__(self, *, ledger: Ledger, settings: Settings, token: str, clock: Clock):
        self._ledger = ledger
        self._settings = settings
        self._token = token
        self._clock = clock
        self._chains: dict[bytes, tuple[Presented, str]] = {}
        self._adoptions = Pace(per_second=ADOPTIONS_PER_SECOND, burst=KEYS_MAX, clock=clock)

    def of_call(self, headers: CIMultiDictProxy[str], route: Route, *, keys_only: bool = False) -> Identity:
        """Return for whom a request to a model route is; with `keys_only` an agent key alone will do.

        Raises MISSING_AGENT, IDENTITY_CONFLICT, KEY_UNKNOWN, KEY_EXPIRED, KEY_REQUIRED, SUBSCRIPTION_TOKEN,
        MALFORMED_REQUEST for a run id, and what adopting a key raises (KEYS_TOO_MANY, RATE_LIMITED).
        """
        slots = _slots(headers, route)
        held = self._held(slots)
        plan = None if held else plan_of(headers, slots)
        if plan is not None:
            raise plan.refusal()
        agent_id = _one_agent([*_named(headers), route.agent_id], held)
        if held is None and (keys_only or not access.is_admin(slots, self._token)):
            self._check_bare(agent_id, keys_only=keys_only)
        if agent_id is None:
            raise _missing(route)
        run_id = _run(headers, route, held)
        if held is None:
            return Identity(agent_id, run_id)
        if route.name == "call":
            self._adopt(held)
        return Identity(agent_id, run_id, held.keys, held.models, held.root_public)

    def check_reader(self, headers: CIMultiDictProxy[str], route: Route, *, keys_only: bool = False) -> str:
        """Let an agent read of itself, by its key or, where it has none, by the header; refuse all else.

        For control requests that come without the admin token; returns the agent. Raises UNAUTHORIZED,
        CALL_NOT_FOUND, and what `of_call` raises of identities.
        """
        slots = _slots(headers, route)
        if route.name not in OWN_READS:
            raise access.unauthorized(slots)
        held = self._held(slots)
        agent_id = _one_agent(_named(headers), held)
        if held is None:
            account = self._ledger.state.accounts.get(agent_id or "")
            if account is None or route.agent_id.lower() not in ("", account.agent_id):
                raise access.unauthorized(slots)
            self._check_bare(account.agent_id, keys_only=keys_only)
        _one_agent([route.agent_id], held)
        call_id = route.params.get("call")
        if call_id is not None:
            call = self._ledger.history.call(call_id)
            if call is None or call.agent_id != agent_id:
                raise SpendGuardError(Code.CALL_NOT_FOUND, "Call not found")
        return agent_id or ""

    def _check_bare(self, agent_id: str | None, *, keys_only: bool) -> None:
        """Raise KEY_REQUIRED where an id alone is not enough."""
        account = self._ledger.state.accounts.get(agent_id or "")
        own = account is not None and account.needs_key
        if keys_only or own or self._settings.bare_header == "refuse":
            facts: dict[str, Fact] = {} if agent_id is None else {"agent_id": agent_id}
            raise SpendGuardError(Code.KEY_REQUIRED, TABLE[Code.KEY_REQUIRED].title, facts=facts)

    # -- keys -----------------------------------------------------------------------------------------

    def _held(self, slots: Sequence[str]) -> _Held | None:
        """Return the agent key that was sent, None where none was.

        Raises IDENTITY_CONFLICT for two, KEY_UNKNOWN or KEY_EXPIRED for one that is good for nothing.
        """
        tokens = {slot for slot in slots if access.is_agent_key(slot)}
        if not tokens:
            return None
        if len(tokens) > 1:
            raise SpendGuardError(
                Code.IDENTITY_CONFLICT, "Conflicting identities: more than one agent key was sent"
            )
        presented, root = self._verified(tokens.pop())
        self._check_time(root.key_id, root.expires_ns)
        keys, new = [root.key_id], list[tuple[Link, str]]()
        for link in presented.links:
            self._check_time(link.key_id, link.caveats.expires_ns)
            known = self._ledger.state.agent_keys.get(link.key_id)
            if known is None:
                new.append((link, keys[-1]))
            else:
                _check_known(known, link, root.agent_id, keys[-1])
            keys.append(link.key_id)
        lists = (root.models, *(link.caveats.models for link in presented.links))
        models = tuple(models for models in lists if models is not None)
        return _Held(root.agent_id, tuple(keys), root.run_id, models, root.public, tuple(new))

    def _verified(self, token: str) -> tuple[Presented, AgentKey]:
        """Return what a token says, proven by its root key, and that key as the ledger has it now."""
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        presented, public = self._chains.get(digest) or (agent_keys.parse(token), "")
        root = self._ledger.state.agent_keys.get(presented.root_id)
        # A child is no root: without its chain it would leave the limits above it behind.
        if root is None or root.parent_id is not None or root.revoked:
            raise _unknown()
        if not hmac.compare_digest(public, root.public):
            agent_keys.verify(presented, bytes.fromhex(root.public))
            if len(self._chains) >= CHAINS_MAX:
                del self._chains[next(iter(self._chains))]
            self._chains[digest] = (presented, root.public)
        return presented, root

    def _check_time(self, key_id: str, expires_ns: int | None) -> None:
        if expires_ns is not None and self._clock.wall_ns() >= expires_ns:
            raise SpendGuardError(Code.KEY_EXPIRED, TABLE[Code.KEY_EXPIRED].title, facts={"key_id": key_id})

    def _adopt(self, held: _Held) -> None:
        """Enter keys that their holders minted; the hold that follows them in the journal names them."""
        last_ns = self._clock.wall_ns() + agent_keys.CHILD_DAYS_MAX * _NS_PER_DAY
        if any((link.caveats.expires_ns or 0) > last_ns for link, _ in held.links):
            raise _unknown(f": it was minted for more than {agent_keys.CHILD_DAYS_MAX} days")
        for link, parent_id in held.links:
            caveats = link.caveats
            self._adoptions.check(held.agent_id)
            self._ledger.post(
                AddKey(
                    agent_id=held.agent_id,
                    key_id=link.key_id,
                    public=link.public.hex(),
                    kind="child",
                    actor="agent",
                    parent_id=parent_id,
                    limit_nusd=caveats.limit_nusd,
                    expires_ns=caveats.expires_ns,
                    models=caveats.models,
                    label=caveats.label,
                )
            )


def _check_known(known: AgentKey, link: Link, agent_id: str, parent_id: str) -> None:
    """Raise KEY_UNKNOWN for an adopted key that has ended, or is shown with other caveats than before."""
    same = (known.agent_id, known.parent_id, known.limit_nusd) == (
        agent_id,
        parent_id,
        link.caveats.limit_nusd,
    )
    models = None if known.models is None else tuple(known.models)
    same = same and models == link.caveats.models and hmac.compare_digest(known.public, link.public.hex())
    if known.revoked or not same:
        raise _unknown()


def _unknown(why: str = "") -> SpendGuardError:
    return SpendGuardError(Code.KEY_UNKNOWN, f"{TABLE[Code.KEY_UNKNOWN].title}{why}")


# -- names ----------------------------------------------------------------------------------------------


def _slots(headers: CIMultiDictProxy[str], route: Route) -> list[str]:
    """Return what stands wherever an SDK may send a key."""
    keys = [value for name in access.KEY_HEADERS for value in headers.getall(name, [])]
    return access.key_slots(headers.getall("authorization", []), [*keys, *route.keys])


def _named(headers: CIMultiDictProxy[str]) -> list[str]:
    """Return the agents that headers name: one sent several times is one list (RFC 9110 5.3)."""
    return [agent for value in headers.getall(AGENT_HEADER, []) for agent in value.split(",")]


def _one_agent(named: Iterable[str], held: _Held | None) -> str | None:
    """Return the one agent that is named, None for nobody; raise IDENTITY_CONFLICT."""
    agents = {agent.strip().lower() for agent in named if agent.strip()}
    if held is not None:
        agents.add(held.agent_id)
    if len(agents) > 1:
        raise SpendGuardError(
            Code.IDENTITY_CONFLICT, "Conflicting identities: path, header and key do not name the same agent"
        )
    return agents.pop() if agents else None


def _run(headers: CIMultiDictProxy[str], route: Route, held: _Held | None) -> str | None:
    """Return the run that is named, else the key's own, the client's session, or the key's id."""
    explicit = {run.strip() for run in (*headers.getall(RUN_HEADER, []), route.run_id) if run.strip()}
    if len(explicit) > 1:
        raise SpendGuardError(
            Code.IDENTITY_CONFLICT, "Conflicting identities: path and header name other runs"
        )
    run = explicit.pop() if explicit else None
    if run is None and held is not None:
        run = held.run_id
    if run is None:
        sessions = headers.getall(SESSION_HEADER, [])
        run = next((session.strip() for session in sessions if session.strip()), None)
    if run is None and held is not None:
        run = held.keys[0]
    if run is not None and not access.is_run_id(run):
        raise MalformedError("run id", access.RUN_ID_FORM)
    return run


def _missing(route: Route) -> SpendGuardError:
    remedy = (
        "Send your agent key where the SDK puts its key, or x-cynsta-agent-id, or use the base URL "
        f"/v1/agents/<agent_id>/runs/<run_id>/{route.speaker}; spendguard agent list shows the ids."
    )
    facts: dict[str, Fact] = {
        "path": "x-cynsta-agent-id",
        "expected": "an agent key where the API key goes, or the id of an agent",
        "remedy": remedy,
    }
    return SpendGuardError(Code.MISSING_AGENT, "Missing x-cynsta-agent-id header", facts=facts)
