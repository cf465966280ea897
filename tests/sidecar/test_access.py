"""Who may come in: Host, origin, tokens."""

import pytest
from multidict import CIMultiDict

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import access
from spendguard_daemon.gateway.proxy import lower

SERVED = frozenset({"127.0.0.1:8787", "localhost:8787", "[::1]:8787"})
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


def test_a_wrong_host_is_told_the_right_ones_and_who_adds_others() -> None:
    """Not 127.0.0.1 at an address where that is no name: the remedy says what the message says."""
    served = frozenset({"172.17.0.1:8787"})
    with pytest.raises(SpendGuardError) as refused:
        access.check_transport("/", ["sidecar:8787"], served, [], [])
    remedy = str(refused.value.facts["remedy"])
    assert "172.17.0.1:8787" in remedy
    assert "127.0.0.1" not in remedy + TABLE[Code.MISDIRECTED_HOST].agent_remedy
    assert "[access] hosts" in remedy
    assert "config set access.hosts <name>" in TABLE[Code.MISDIRECTED_HOST].operator_remedy
    assert "config set access.origins <origin>" in TABLE[Code.FORBIDDEN_ORIGIN].operator_remedy
    assert "agent key" in TABLE[Code.MISSING_AGENT].agent_remedy


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


@pytest.mark.parametrize(
    ("authorization", "slots"),
    [
        ("Bearer sk-1", ["sk-1"]),
        ("bearer\t sk-1 ", ["sk-1"]),
        ("BEARER  sg_agent_1", ["sg_agent_1"]),
        ("Basic sk-1", []),
        ("Basic sg_agent_1", ["sg_agent_1"]),
        ("sg_agent_1", ["sg_agent_1"]),
        ("SG_Agent_1", ["SG_Agent_1"]),
        ("sk-1", []),
        ("Bearer", []),
        ("", []),
        ("Bearer sg_agent_1, Bearer sg_agent_2", ["sg_agent_1, Bearer sg_agent_2"]),
    ],
)
def test_where_a_key_may_stand(authorization: str, slots: list[str]) -> None:
    """After Bearer in any case; an agent key is seen anywhere, so that none is taken for nothing."""
    assert access.key_slots([authorization], []) == slots
    assert access.key_slots([authorization], [" sk-2\t"]) == [*slots, "sk-2"]


def test_a_header_sent_several_times_is_one_list() -> None:
    """Of two `anthropic-beta` none is lost; who a call is for is never read from here."""
    sent = [("Anthropic-Beta", "a-1"), ("x-one", "1"), ("anthropic-beta", "b-2,c-3")]
    assert lower(CIMultiDict(sent)) == {"anthropic-beta": "a-1, b-2,c-3", "x-one": "1"}
