"""For whom a request is: by key, path, header, and what is told when they do not agree."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from ledger_kit import grant, new_agent, open_ledger
from sim import SimClock, SimDisk
from spendguard_daemon import agent_keys
from spendguard_daemon.agent_keys import Caveats, mint, new_key
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import identity as identities
from spendguard_daemon.gateway.identity import Identifier, Identity
from spendguard_daemon.gateway.routes import Route
from spendguard_daemon.ledger import commands as cmd
from spendguard_daemon.ledger.agent_keys import KEYS_MAX
from spendguard_daemon.ledger.ledger import Ledger
from spendguard_daemon.settings import Settings

AGENT, OTHER = "4f0e7f9e-8d1a-4a55-9c59-0b8f5a2f7b11", "0c3a0f6e-0000-4a55-9c59-0b8f5a2f7b11"
TOKEN = "sg_admin_" + "0" * 64
NS = 10**9
SEED, CHILD, GRANDCHILD = b"\1" * 32, b"\2" * 32, b"\3" * 32
KEY_ID, OTHER_ID = "0123456789abcdef", "fedcba9876543210"
CALL = Route("call", "chat/completions", "openai")

Headers = list[tuple[str, str]]


class Door:
    """An identifier over a ledger with two agents, which have no keys yet."""

    def __init__(self, ledger: Ledger, clock: SimClock, settings: Settings):
        self.ledger, self.clock = ledger, clock
        self.identifier = Identifier(ledger=ledger, settings=settings, token=TOKEN, clock=clock)

    def key(self, key_id: str = KEY_ID, seed: bytes = SEED, agent_id: str = AGENT, **narrower: Any) -> str:
        """Make a key of an agent."""
        token, public = new_key(key_id, seed)
        named = {"kind": "agent"} | narrower
        self.ledger.post(cmd.AddKey(agent_id, key_id, public.hex(), actor="test", **named))
        return token

    def child(self, parent: str, seed: bytes = CHILD, seconds: int = 3600, **narrower: Any) -> str:
        """Mint a key below another."""
        return mint(parent, Caveats(expires_ns=self.clock.wall_ns() + seconds * NS, **narrower), seed)

    def call(self, *headers: tuple[str, str], route: Route = CALL, keys_only: bool = False) -> Identity:
        """Identify a request."""
        sent = CIMultiDictProxy(CIMultiDict(list(headers)))
        return self.identifier.of_call(sent, route, keys_only=keys_only)

    def refused(self, *headers: tuple[str, str], **named: Any) -> Code:
        """Return the code with which a request is refused; what was sent as a key is not in its text."""
        with pytest.raises(SpendGuardError) as refusal:
            self.call(*headers, **named)
        for _, value in headers:
            secret = value.rpartition(".")[2]
            assert not value.startswith("sg_agent_") or secret not in str(refusal.value.facts) + str(
                refusal.value
            )
        return refusal.value.code

    def reads(self, name: str, *headers: tuple[str, str], agent_id: str = AGENT, **named: Any) -> Code | None:
        """Return the code with which a control request is refused, None where it is not."""
        route = Route(name, agent_id=agent_id, params=named.pop("params", {}))
        try:
            sent = CIMultiDictProxy(CIMultiDict(list(headers)))
            self.identifier.check_reader(sent, route, **named)
        except SpendGuardError as error:
            return error.code
        return None


Doors = Callable[..., Awaitable[Door]]


@pytest.fixture
def doors() -> Doors:
    """Makes a door by settings."""

    async def made(**settings: Any) -> Door:
        clock = SimClock()
        ledger = open_ledger(SimDisk(), clock)
        for agent_id in (AGENT, OTHER):
            ledger.post(new_agent(agent_id))
            ledger.post(grant(10**9, agent_id=agent_id))
        return Door(ledger, clock, Settings(**settings))

    return made


def bearer(key: str) -> tuple[str, str]:
    """Return the header that most SDKs send."""
    return "authorization", f"Bearer {key}"


def named(agent_id: str = AGENT) -> tuple[str, str]:
    """Return the header that names an agent."""
    return "x-cynsta-agent-id", agent_id


async def test_header_and_path_without_keys(doors: Doors) -> None:
    """As ever: each alone, both when they agree, conflicts by name, and nobody named."""
    door = await doors()
    path = Route("call", "chat/completions", "openai", AGENT.upper(), "r")
    assert door.call(named()) == Identity(AGENT, None)
    assert door.call(route=path) == Identity(AGENT, "r")
    assert door.call(named(AGENT.upper()), ("X-CYNSTA-AGENT-ID", f" {AGENT} "), route=path).agent_id == AGENT
    assert door.call(named(f"{AGENT}, {AGENT}")).agent_id == AGENT
    assert door.refused(named(OTHER), route=path) is Code.IDENTITY_CONFLICT
    assert door.refused(named(), named(OTHER)) is Code.IDENTITY_CONFLICT
    assert door.refused(named(f"{AGENT},{OTHER}")) is Code.IDENTITY_CONFLICT
    for nobody in ([], [named("")], [named("  ")]):
        assert door.refused(*nobody) is Code.MISSING_AGENT


async def test_runs(doors: Doors) -> None:
    """What is said outright, then the key's own run, the client's session, the key itself."""
    door = await doors()
    ours, session = ("x-cynsta-run-id", "a"), ("x-claude-code-session-id", "s")
    assert door.call(named(), ours, session).run_id == "a"
    assert door.call(named(), session).run_id == "s"
    path = Route("call", "chat/completions", "openai", AGENT, "a")
    assert door.call(ours, session, route=path).run_id == "a"
    assert door.refused(("x-cynsta-run-id", "b"), route=path) is Code.IDENTITY_CONFLICT
    key = door.key()
    assert door.call(bearer(key)).run_id == KEY_ID
    assert door.call(bearer(key), session).run_id == "s"
    assert door.call(bearer(door.child(key))).run_id == KEY_ID
    program = door.key(OTHER_ID, CHILD, kind="exec", run_id="exec-1")
    assert door.call(bearer(program), session).run_id == "exec-1"
    assert door.call(bearer(program), session, ours).run_id == "a"
    assert door.call(bearer(door.child(program, GRANDCHILD)), session).run_id == "exec-1"


@pytest.mark.parametrize("run", ["a b", "a/b", "é", "x" * 129, "a\x7f", "a,b"])
async def test_hostile_run_ids_are_malformed(doors: Doors, run: str) -> None:
    """Run ids are words."""
    assert (await doors()).refused(named(), ("x-cynsta-run-id", run)) is Code.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "slot",
    [
        ("authorization", "Bearer {}"),
        ("Authorization", "bearer \t{} "),
        ("authorization", "{}"),
        ("authorization", "Basic {}"),
        ("x-api-key", "{}"),
        ("X-Api-Key", " {} "),
        ("x-goog-api-key", "{}"),
        ("?key", "{}"),
    ],
)
async def test_every_place_of_a_key_counts(doors: Doors, slot: tuple[str, str]) -> None:
    """A key there names its agent; an unknown one is refused there; a provider's own is ignored."""
    door = await doors()
    key = door.key()

    def sent(value: str) -> dict[str, Any]:
        return {"route": Route("call", "generateContent", keys=(value,))} if slot[0] == "?key" else {}

    def header(value: str) -> Headers:
        return [] if slot[0] == "?key" else [(slot[0], slot[1].format(value))]

    called = door.call(*header(key), **sent(key))
    assert (called.agent_id, called.run_id, called.keys) == (AGENT, KEY_ID, (KEY_ID,))
    assert door.call(*header(key), named(), **sent(key)).agent_id == AGENT
    assert door.refused(*header(key), named(OTHER), **sent(key)) is Code.IDENTITY_CONFLICT
    for unknown in (
        key[:-1],
        key.upper(),
        "sg_agent_x",
        new_key(OTHER_ID, SEED)[0],
        new_key(KEY_ID, CHILD)[0],
    ):
        assert door.refused(*header(unknown), named(OTHER), **sent(unknown)) is Code.KEY_UNKNOWN
    assert door.call(*header("AIza-of-the-client"), named(OTHER), **sent("AIza-of-the-client")).keys == ()


async def test_two_keys_are_one_too_many(doors: Doors) -> None:
    """Even of one agent; the same one twice is one."""
    door = await doors()
    key, second = door.key(), door.key(OTHER_ID, CHILD)
    assert door.call(bearer(key), ("x-api-key", key)).keys == (KEY_ID,)
    assert door.refused(bearer(key), ("x-api-key", second)) is Code.IDENTITY_CONFLICT
    assert door.refused(bearer(key), bearer(door.child(key))) is Code.IDENTITY_CONFLICT


async def test_an_agent_with_a_key_needs_it(doors: Doors) -> None:
    """Its id alone was enough before, and after one of `exec`; but not again once all have ended."""
    door = await doors()
    door.key(OTHER_ID, CHILD, kind="exec")
    assert door.call(named()).keys == ()
    key = door.key(expires_ns=door.clock.wall_ns() + 60 * NS)
    assert door.refused(named()) is Code.KEY_REQUIRED
    assert door.call(named(), bearer(key)).keys == (KEY_ID,)
    assert door.call(named(), bearer(TOKEN)) == Identity(AGENT, None)
    assert door.call(named(OTHER)).agent_id == OTHER
    door.clock.advance(60)
    assert door.refused(named(), bearer(key)) is Code.KEY_EXPIRED
    assert door.refused(named()) is Code.KEY_REQUIRED
    door.ledger.post(cmd.ChangeAgent(AGENT, needs_key=False))
    assert door.call(named()).keys == ()
    door.ledger.post(cmd.ChangeAgent(OTHER, needs_key=True))
    assert door.refused(named(OTHER)) is Code.KEY_REQUIRED


@pytest.mark.parametrize("strict", ["setting", "door"])
async def test_where_an_id_is_never_enough(doors: Doors, strict: str) -> None:
    """`bare_header = refuse`, or an address that takes keys only; there the admin token is no key either."""
    door = await doors(bare_header="refuse" if strict == "setting" else "keyless")
    only = {"keys_only": strict == "door"}
    key = door.key()
    assert door.refused(named(OTHER), **only) is Code.KEY_REQUIRED
    assert door.refused(**only) is Code.KEY_REQUIRED
    assert door.call(bearer(key), **only).agent_id == AGENT
    if strict == "door":
        assert door.refused(named(OTHER), bearer(TOKEN), **only) is Code.KEY_REQUIRED
    else:
        assert door.call(named(OTHER), bearer(TOKEN)).agent_id == OTHER


async def test_rotation_and_revocation_count_at_once(doors: Doors) -> None:
    """Also for a chain that was verified a moment ago."""
    door = await doors()
    old, child = door.key(), ""
    child = door.child(old)
    assert door.call(bearer(old)).keys == door.call(bearer(old)).keys == (KEY_ID,)
    assert len(door.call(bearer(child)).keys) == 2
    new, public = new_key(KEY_ID, GRANDCHILD)
    door.ledger.post(cmd.RotateKey(AGENT, KEY_ID, public.hex(), "test"))
    assert door.refused(bearer(old)) is door.refused(bearer(child)) is Code.KEY_UNKNOWN
    assert door.call(bearer(new)).keys == (KEY_ID,)
    fresh = door.child(new, b"\4" * 32)
    assert len(door.call(bearer(fresh)).keys) == 2
    door.ledger.post(cmd.RevokeKey(AGENT, KEY_ID, "test"))
    assert door.refused(bearer(new)) is door.refused(bearer(fresh)) is Code.KEY_UNKNOWN


async def test_children_are_adopted_at_their_first_call(doors: Doors) -> None:
    """With all that narrows them; a question that costs nothing adopts nobody."""
    door = await doors()
    key = door.key()
    child = door.child(key, limit_nusd=5, models=("openai/*",), label="tests")
    grandchild = door.child(child, GRANDCHILD, seconds=7200)
    before = dict(door.ledger.state.agent_keys)
    free = door.call(bearer(grandchild), route=Route("count", "messages", "anthropic"))
    assert door.ledger.state.agent_keys == before
    assert door.call(bearer(grandchild)).keys == free.keys
    assert free.models == (("openai/*",),)
    _, first, second = (door.ledger.state.agent_keys[key_id] for key_id in free.keys)
    assert (first.limit_nusd, first.models, first.label, first.parent_id) == (
        5,
        ["openai/*"],
        "tests",
        KEY_ID,
    )
    assert (second.limit_nusd, second.parent_id, second.kind) == (None, first.key_id, "child")
    assert second.expires_ns == first.expires_ns, "a child never outlives its parent"
    assert door.call(bearer(child)).keys == free.keys[:2]
    assert door.ledger.post(cmd.RevokeKey(AGENT, first.key_id, "test"))
    assert door.refused(bearer(grandchild)) is door.refused(bearer(child)) is Code.KEY_UNKNOWN
    assert door.call(bearer(key)).keys == (KEY_ID,)


async def test_nobody_is_adopted_by_a_request_that_is_refused(doors: Doors) -> None:
    """A conflict, a bad run, an ended link or a far end leave no trace."""
    door = await doors()
    key = door.key()
    before = dict(door.ledger.state.agent_keys)
    child = door.child(key)
    assert door.refused(bearer(child), named(OTHER)) is Code.IDENTITY_CONFLICT
    assert door.refused(bearer(child), ("x-cynsta-run-id", "a b")) is Code.MALFORMED_REQUEST
    assert door.refused(bearer(door.child(child, GRANDCHILD, seconds=-1))) is Code.KEY_EXPIRED
    assert door.refused(bearer(door.child(child, GRANDCHILD, seconds=31 * 86_400))) is Code.KEY_UNKNOWN
    assert door.ledger.state.agent_keys == before
    assert len(door.call(bearer(door.child(child, GRANDCHILD, seconds=30 * 86_400))).keys) == 3


async def test_minting_has_a_pace(doors: Doors) -> None:
    """Keys that end at once make room for others, but not for a record of the journal at every call."""
    door = await doors()
    key = door.key()

    def mint_one(number: int) -> str:
        return door.child(key, number.to_bytes(32), seconds=1)

    for number in range(KEYS_MAX - 1):
        door.call(bearer(mint_one(number)))
    door.clock.advance(1)
    for number in (KEYS_MAX, KEYS_MAX + 1):  # one was left, and one came back
        door.call(bearer(mint_one(number)))
    assert door.refused(bearer(mint_one(KEYS_MAX + 2))) is Code.RATE_LIMITED
    assert door.call(bearer(key)).keys == (KEY_ID,)
    door.clock.advance(1)
    assert len(door.call(bearer(mint_one(KEYS_MAX + 2))).keys) == 2


async def test_a_child_cannot_leave_its_chain_behind(doors: Doors) -> None:
    """Its id and secret are known to the ledger; shown as a root key they would have no limit above them."""
    door = await doors()
    key = door.key(limit_nusd=10)
    child = door.child(key)
    child_id = door.call(bearer(child)).keys[1]
    assert door.refused(bearer(new_key(child_id, CHILD)[0])) is Code.KEY_UNKNOWN
    below = mint(new_key(child_id, CHILD)[0], Caveats(expires_ns=door.clock.wall_ns() + NS), GRANDCHILD)
    assert door.refused(bearer(below)) is Code.KEY_UNKNOWN


async def test_a_child_is_what_it_was_first(doors: Doors) -> None:
    """The same secret minted again with other caveats is not taken: the ledger holds it to the first ones."""
    door = await doors()
    key = door.key()
    assert door.call(bearer(door.child(key, limit_nusd=5, models=("a",))))
    assert door.refused(bearer(door.child(key, models=("a",)))) is Code.KEY_UNKNOWN
    assert door.refused(bearer(door.child(key, limit_nusd=5))) is Code.KEY_UNKNOWN
    assert door.refused(bearer(door.child(key, limit_nusd=4, models=("a",)))) is Code.KEY_UNKNOWN
    other = door.key(OTHER_ID, GRANDCHILD, OTHER)
    assert door.refused(bearer(door.child(other, limit_nusd=5, models=("a",)))) is Code.KEY_UNKNOWN
    assert door.call(bearer(door.child(key, limit_nusd=5, models=("a",), seconds=60))).agent_id == AGENT


async def test_verified_chains_are_remembered_and_bounded(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature is checked once; what is remembered does not grow, and only what was good is."""
    verified: list[str] = []
    verify = agent_keys.verify

    def counting(presented: agent_keys.Presented, public: bytes) -> None:
        verified.append(presented.root_id)
        verify(presented, public)

    monkeypatch.setattr(agent_keys, "verify", counting)
    monkeypatch.setattr(identities, "CHAINS_MAX", 2)
    door = await doors()
    key = door.key()
    assert [door.call(bearer(key)).agent_id for _ in range(3)] == [AGENT] * 3
    assert len(verified) == 1
    for seed in (4, 5, 6):
        door.call(bearer(door.child(key, bytes([seed]) * 32)))
    assert len(verified) == 4
    door.call(bearer(key))
    assert len(verified) == 5
    for _ in range(2):
        assert door.refused(bearer(new_key(KEY_ID, CHILD)[0])) is Code.KEY_UNKNOWN
    assert len(verified) == 7


CLAUDE, JWT = "sk-ant-oat01-x", "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln"
ACCOUNT = ("ChatGPT-Account-Id", "b5d0")


@pytest.mark.parametrize(
    ("headers", "plan"),
    [
        ([bearer(CLAUDE)], "Claude"),
        ([bearer(CLAUDE), named()], "Claude"),
        ([("x-api-key", CLAUDE), named()], "Claude"),
        ([bearer(JWT), ACCOUNT], "ChatGPT"),
        ([bearer(JWT), ACCOUNT, named()], "ChatGPT"),
        ([bearer(CLAUDE), ("x-api-key", TOKEN), named()], "Claude"),
    ],
)
async def test_plans_are_refused_by_name(doors: Doors, headers: Headers, plan: str) -> None:
    """With the agent named as well: the program believes that it is on a plan."""
    door = await doors()
    with pytest.raises(SpendGuardError) as refusal:
        door.call(*headers)
    assert refusal.value.code is Code.SUBSCRIPTION_TOKEN
    assert refusal.value.facts["plan"] == plan
    assert plan in refusal.value.detail


async def test_what_is_no_plan_is_ignored(doors: Doors) -> None:
    """Any other value in a key slot, an account without its token, and any token beside an agent key."""
    door = await doors()
    for headers in ([bearer("sk-ant-api03-x")], [bearer(JWT)], [bearer("sk-proj-x"), ACCOUNT]):
        assert door.call(*headers, named()).agent_id == AGENT
    assert door.call(bearer(CLAUDE), ("x-api-key", door.key())).keys == (KEY_ID,)


async def test_an_agent_reads_of_itself_and_nothing_else(doors: Doors) -> None:
    """By its key, or by the header where it has none; never what moves money."""
    door = await doors()
    own = sorted(identities.OWN_READS - {"get_call"})
    for name in own:
        assert door.reads(name, named()) is None
        assert door.reads(name, named(OTHER)) is Code.UNAUTHORIZED
        assert door.reads(name, named("nobody")) is Code.UNAUTHORIZED
        assert door.reads(name, named(), named(OTHER)) is Code.IDENTITY_CONFLICT
        assert door.reads(name) is Code.UNAUTHORIZED, "the path alone is what is asked about, not who asks"
        assert door.reads(name, bearer("sk-wrong")) is Code.UNAUTHORIZED
    key = door.key()
    for name in own:
        assert door.reads(name, bearer(key)) is None
        assert door.reads(name, ("x-goog-api-key", key), keys_only=True) is None
        assert door.reads(name, named()) is Code.KEY_REQUIRED
        assert door.reads(name, bearer(key), agent_id=OTHER) is Code.IDENTITY_CONFLICT
        assert door.reads(name, bearer(key), named(OTHER)) is Code.IDENTITY_CONFLICT
        assert door.reads(name, named(OTHER), agent_id=OTHER, keys_only=True) is Code.KEY_REQUIRED
        assert door.reads(name, bearer("sg_agent_x")) is Code.KEY_UNKNOWN
    for name in ("grant_budget", "top_up", "create_key", "revoke_key", "rotate_key", "list_agents", "status"):
        assert door.reads(name, bearer(key)) is Code.UNAUTHORIZED
        assert door.reads(name, named(OTHER), agent_id=OTHER) is Code.UNAUTHORIZED
        assert door.reads(name, bearer(TOKEN), keys_only=True) is Code.UNAUTHORIZED


async def test_an_agent_reads_its_own_calls(doors: Doors) -> None:
    """Of another agent's call it is told what it would be told of none."""
    door = await doors()
    key = door.key()
    assert door.reads("get_call", bearer(key), agent_id="", params={"call": "c"}) is Code.CALL_NOT_FOUND
