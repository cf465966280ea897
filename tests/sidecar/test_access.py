"""Who may come in: Host, origin, tokens, identities."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import access
from spendguard_daemon.gateway.proxy import identity_of, lower
from spendguard_daemon.gateway.routes import Route

SERVED = frozenset({"127.0.0.1:8787", "localhost:8787", "[::1]:8787"})
AGENT, OTHER = "4f0e7f9e-8d1a-4a55-9c59-0b8f5a2f7b11", "0c3a0f6e-0000-4a55-9c59-0b8f5a2f7b11"
TOKEN = "sg_admin_" + "0" * 64


def refusal_of(function, *arguments, **named) -> Code:
    """Return the code with which a check refuses."""
    with pytest.raises(SpendGuardError) as refused:
        function(*arguments, **named)
    return refused.value.code


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "localhost:8787", "[::1]:8787", "LOCALHOST:8787"])
def test_our_own_names_are_served(host: str) -> None:
    """The three names of this machine, with the port."""
    access.check_transport("/health", [host], SERVED, [], [])
    access.check_transport("/health", [host], SERVED, [], ["none"])


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("/", []),
        ("/", ["evil.example"]),
        ("/", ["evil.example:8787"]),
        ("/", ["127.0.0.1"]),
        ("/", ["127.0.0.1:80"]),
        ("/", ["127.0.0.1:8787@evil.example"]),
        ("/", ["127.0.0.1:8787", "evil.example"]),
        ("/", ["localhost.evil.example:8787"]),
        ("http://127.0.0.1:8787/health", ["127.0.0.1:8787"]),
        ("*", ["127.0.0.1:8787"]),
    ],
)
def test_other_hosts_and_whole_urls_are_misdirected(target: str, hosts: list[str]) -> None:
    """DNS rebinding ends here."""
    assert refusal_of(access.check_transport, target, hosts, SERVED, [], []) is Code.MISDIRECTED_HOST


@pytest.mark.parametrize(
    ("origins", "sites"),
    [
        (["http://127.0.0.1:8787"], []),
        (["null"], []),
        ([""], []),
        ([], ["same-origin"]),
        ([], ["cross-site"]),
        ([], ["none", "x"]),
    ],
)
def test_web_pages_stay_out(origins: list[str], sites: list[str]) -> None:
    """No page may call, not even one that claims to be ours."""
    code = refusal_of(access.check_transport, "/health", ["127.0.0.1:8787"], SERVED, origins, sites)
    assert code is Code.FORBIDDEN_ORIGIN


def test_the_admin_token_opens_and_nothing_else() -> None:
    """In either slot; a near miss does not."""
    access.require_admin(access.key_slots([f"Bearer {TOKEN}"], []), TOKEN)
    access.require_admin(access.key_slots([f"bearer {TOKEN}"], []), TOKEN)
    access.require_admin(access.key_slots([], [TOKEN]), TOKEN)
    for slots in ([], [TOKEN[:-1]], [TOKEN + "0"], ["é"], [""]):
        assert refusal_of(access.require_admin, slots, TOKEN) is Code.UNAUTHORIZED


def identify(slots=(), path_agent="", path_run="", agents=(), runs=((), ())):
    """Identify with little to say."""
    return access.identify(list(slots), path_agent, path_run, list(agents), runs)


def test_agent_and_run_from_header_or_path() -> None:
    """Each place alone, and both when they agree."""
    assert identify(agents=[AGENT]) == access.Identity(AGENT, None)
    assert identify(path_agent=AGENT, path_run="r") == access.Identity(AGENT, "r")
    assert identify(path_agent=AGENT, agents=[AGENT.upper()]) == access.Identity(AGENT, None)
    assert identify(agents=[AGENT], runs=(["a"], ["session"])).run_id == "a"
    assert identify(agents=[AGENT], runs=([], ["session"])).run_id == "session"
    assert identify(path_agent=AGENT, path_run="a", runs=([], ["session"])).run_id == "a"


def test_conflicts_are_refused() -> None:
    """Two names for one call: nobody pays."""
    assert refusal_of(identify, path_agent=AGENT, agents=[OTHER]) is Code.IDENTITY_CONFLICT
    assert refusal_of(identify, agents=[AGENT, OTHER]) is Code.IDENTITY_CONFLICT
    code = refusal_of(identify, path_agent=AGENT, path_run="a", runs=(["b"], []))
    assert code is Code.IDENTITY_CONFLICT


@pytest.mark.parametrize("agents", [[], [""], ["  "]])
def test_no_agent_is_missing(agents: list[str]) -> None:
    """The first line of the playbook."""
    assert refusal_of(identify, agents=agents) is Code.MISSING_AGENT


@pytest.mark.parametrize("run", ["a b", "a/b", "é", "x" * 129, "a\x7f", "a,b"])
def test_hostile_run_ids_are_malformed(run: str) -> None:
    """Run ids are words."""
    assert refusal_of(identify, agents=[AGENT], runs=([run], [])) is Code.MALFORMED_REQUEST


def test_unknown_agent_keys_do_not_pass_as_nothing() -> None:
    """A key of ours that we do not know is not ignored as a provider's key would be."""
    assert refusal_of(identify, slots=["sg_agent_x"], agents=[AGENT]) is Code.UNAUTHORIZED
    assert identify(slots=["sk-whatever"], agents=[AGENT]).agent_id == AGENT


@pytest.mark.parametrize("slot", ["authorization", "x-api-key", "x-goog-api-key", "query"])
def test_every_place_of_a_key_counts(slot: str) -> None:
    """An agent key that we do not know is refused wherever an SDK puts it; a provider's own is ignored."""
    for key, passes in (("sg_agent_x", False), ("AIza-of-the-client", True)):
        sent = CIMultiDict([(access.AGENT_HEADER, AGENT)])
        route = Route("call", "generateContent", keys=(key,) if slot == "query" else ())
        if slot != "query":
            sent.add(slot, f"Bearer {key}" if slot == "authorization" else key)
        if passes:
            assert identity_of(CIMultiDictProxy(sent), route).agent_id == AGENT
        else:
            assert refusal_of(identity_of, CIMultiDictProxy(sent), route) is Code.UNAUTHORIZED


def test_a_header_sent_several_times_is_one_list() -> None:
    """Of two `anthropic-beta` none is lost; who a call is for is never read from here."""
    sent = [("Anthropic-Beta", "a-1"), ("x-one", "1"), ("anthropic-beta", "b-2,c-3")]
    assert lower(CIMultiDict(sent)) == {"anthropic-beta": "a-1, b-2,c-3", "x-one": "1"}
