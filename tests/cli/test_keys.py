"""`agent key` and `agent mint` as a person or a script types them, and what the keys are then good for."""

import json
import re
import uuid

import httpx
import pytest

from shell import Quick, Ran, Shell, Terminal
from spendguard_cli import minting
from spendguard_cli.spans import span_seconds
from spendguard_daemon.agent_keys import Caveats, mint, new_key, parse
from spendguard_daemon.errors import SpendGuardError

ROOT, _ = new_key("0123456789abcdef", b"\1" * 32)
NS = 10**9
SOON_NS = 1_800_000_000 * NS


def name() -> str:
    """Return a name no other test uses."""
    return f"agent-{uuid.uuid4().hex[:8]}"


def made(shell: Shell, agent: str, *arguments: str) -> dict[str, str]:
    """Make a key; return its lines."""
    return shell.ok("agent", "key", agent, *arguments).keys


def minted(shell: Shell, parent: str, *arguments: str) -> dict[str, str]:
    """Mint a key below another; return its lines."""
    return shell.ok("agent", "mint", *arguments, stdin=parent + "\n").keys


def call(shell: Shell, key: str, **fields: object) -> httpx.Response:
    """Call a mock model with a key, where SDKs send it."""
    body = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]} | fields
    url = f"http://127.0.0.1:{shell.daemon()['port']}/v1/chat/completions"
    return httpx.post(url, json=body, headers={"authorization": f"Bearer {key}"}, trust_env=False)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["spendguard"]["code"]


def test_a_key_is_made_shown_once_and_good_for_a_call(served: Quick) -> None:
    agent_id, label = served.agent(agent := name(), cents=500), "ci of docs"
    key = made(served, agent, "--limit", "$1", "--expires", "7d", "--label", label, "--model", "mock-*")
    assert (key["agent_id"], key["limit_usd"], key["models"]) == (agent_id, "1.00", "mock-*")
    assert re.fullmatch(r"sg_agent_[0-9a-f]{16}\.[A-Za-z0-9_-]{43}", key["key"])
    assert call(served, key["key"]).status_code == 200
    listed = served.ok("agent", "key", "--agent", agent, "--list", "--json")
    assert key["key"] not in listed.out
    assert [(one["key_id"], one["label"]) for one in listed.json] == [(key["key_id"], label)]
    assert listed.json[0]["settled_usd"] != "0.00"
    assert served.ok("agent", "get", agent).keys["keys"] == "1"
    assert refused(served.call(agent_id)) == (401, "key_required")


def test_a_rotated_key_ends_and_its_successor_goes_on(served: Quick) -> None:
    served.agent(agent := name(), cents=500)
    old = made(served, agent, "--limit", "100")
    assert call(served, old["key"]).status_code == 200
    new = served.ok("agent", "key", agent, "--rotate", old["key_id"]).keys
    assert (new["key_id"], new["limit_usd"]) == (old["key_id"], "1.00")
    assert new["settled_usd"] != "0.00"
    assert refused(call(served, old["key"])) == (401, "key_unknown")
    assert call(served, new["key"]).status_code == 200
    gone = served.ok("agent", "key", agent, "--revoke", old["key_id"]).keys
    assert gone["revoked"] == "true"
    assert "key" not in gone
    assert refused(call(served, new["key"])) == (401, "key_unknown")
    assert served.run("agent", "key", agent, "--rotate", old["key_id"]).code == 4


def test_the_first_key_and_the_end_of_the_last_are_said(served: Quick) -> None:
    """An id alone is refused from the first on, also after the last, until an operator lets it in."""
    agent_id = served.agent(agent := name(), cents=500)
    first = served.ok("agent", "key", agent, "--expires", "7d")
    assert "with only its id are refused from now on" in first.err
    assert f"spendguard agent set {agent_id} --no-needs-key lets them in again" in first.err
    second = served.ok("agent", "key", agent)
    assert "only its id" not in second.err
    assert served.ok("agent", "key", agent, "--revoke", first.keys["key_id"]).err == ""
    assert refused(served.call(agent_id)) == (401, "key_required")
    last = served.ok("agent", "key", agent, "--revoke", second.keys["key_id"])
    assert "that was its last key, and its id alone stays refused" in last.err
    assert f"try: spendguard agent key {agent_id}" in last.err
    assert refused(served.call(agent_id)) == (401, "key_required")
    assert served.ok("agent", "key", agent, "--revoke", second.keys["key_id"]).err == ""
    shown = served.ok("agent", "get", agent).keys
    assert (shown["keys"], shown["needs_key"]) == ("0", "true")
    assert served.ok("agent", "set", agent, "--no-needs-key").keys["needs_key"] == "false"
    assert served.call(agent_id).status_code == 200
    assert served.ok("agent", "set", agent, "--needs-key").keys["needs_key"] == "true"
    assert refused(served.call(agent_id)) == (401, "key_required")


def test_the_list_shows_live_keys_and_tells_of_the_others(served: Quick) -> None:
    agent_id = served.agent(name())
    ended, live = (made(served, agent_id)["key_id"] for _ in range(2))
    served.ok("agent", "key", agent_id, "--revoke", ended)
    short = served.ok("agent", "key", agent_id, "--list")
    assert (ended in short.out, live in short.out) == (False, True)
    assert "1 key revoked or expired: --list --all shows them too" in short.err
    whole = served.ok("agent", "key", agent_id, "--list", "--all")
    assert (ended in whole.out, whole.err) == (True, "")
    assert len(served.ok("agent", "key", agent_id, "--list", "--json").json) == 2
    assert served.run("agent", "key", agent_id, "--all").code == 2


def test_a_minted_key_is_narrower(served: Quick) -> None:
    """Its model list and its limit hold, and those above it; nobody asked the sidecar before the call."""
    served.agent(agent := name(), cents=500)
    parent = made(served, agent, "--limit", "1", "--model", "mock-*")
    child = minted(served, parent["key"], "--limit", "5000", "--model", "mock-small", "--label", "kid")
    assert (child["root_id"], child["generation"], child["limit_usd"]) == (parent["key_id"], "1", "50.00")
    assert refused(call(served, child["key"], model="mock-large")) == (403, "key_scope")
    assert call(served, child["key"]).status_code == 200
    large = {"max_tokens": 3_000, "messages": [{"role": "user", "content": "x" * 60_000}]}
    told = call(served, child["key"], **large)
    assert refused(told) == (402, "key_limit")
    assert told.json()["spendguard"]["key_id"] == parent["key_id"]
    rows = served.ok("agent", "key", agent, "--list", "--json").json
    assert [(row["kind"], row["parent_id"]) for row in rows] == [("agent", None), ("child", parent["key_id"])]
    assert rows[0]["settled_usd"] == rows[1]["settled_usd"]
    served.ok("agent", "key", agent, "--revoke", child["key_id"])
    assert refused(call(served, child["key"])) == (401, "key_unknown")
    assert call(served, parent["key"]).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--list", "--rotate", "x"], "--list and --rotate do not go together"),
        (["--revoke", "x", "--limit", "5"], "--revoke and --limit do not go together"),
        (["--expires", "7w"], "--expires: '7w' is not a time of at most 3650 days"),
        (["--expires", "0h"], "--expires: '0h'"),
        (["--expires", "3651d"], "--expires: '3651d'"),
        (["--limit", "1.5"], "--limit: "),
        (["--label", "ü"], "label: expected at most 100 printable ASCII characters"),
        (["--model", "a*b"], "models: expected patterns like"),
    ],
)
def test_what_makes_no_sense_is_said(served: Quick, arguments: list[str], said: str) -> None:
    agent_id = served.agent(name())
    ran = served.run("agent", "key", agent_id, *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert served.ok("agent", "key", agent_id, "--list").out == ""


def test_keys_that_are_not_there(served: Quick) -> None:
    agent_id = served.agent(name())
    for option in ("--rotate", "--revoke"):
        ran = served.run("agent", "key", agent_id, option, "0123456789abcdef")
        assert (ran.code, "Key not found" in ran.err) == (4, True)
    child = minted(served, made(served, agent_id)["key"])
    assert served.run("agent", "key", agent_id, "--revoke", child["key_id"]).code == 4, "it was never used"


def test_no_agent_makes_keys_inside_exec(served: Quick) -> None:
    agent_id = served.agent(name())
    key_id = made(served, agent_id)["key_id"]
    for arguments in ([], ["--rotate", key_id], ["--revoke", key_id]):
        assert served.run("agent", "key", agent_id, *arguments, SPENDGUARD_EXEC="1").code == 5
    assert served.run("agent", "key", agent_id, "--list", SPENDGUARD_EXEC="1").code == 0


# -- minting needs nobody -------------------------------------------------------------------------------


def mint_bare(bare: Quick, parent: str, *arguments: str, **env: str) -> Ran:
    """Mint where there is no home, and no sidecar may be started."""
    ran = bare.run("agent", "mint", *arguments, stdin=parent, **env)
    assert not bare.home.exists()
    return ran


def test_minting_needs_neither_sidecar_nor_home(bare: Quick) -> None:
    child = mint_bare(bare, ROOT, "--limit", "0.5usd", "--label", "x").keys
    assert (child["limit_usd"], child["label"], child["generation"], child["models"]) == (
        "0.50",
        "x",
        "1",
        "",
    )
    grandchild = mint_bare(bare, "", "--json", SPENDGUARD_AGENT_KEY=child["key"]).json
    assert (grandchild["generation"], grandchild["limit_usd"]) == (2, None)
    links = parse(grandchild["key"]).links
    assert [link.key_id for link in links] == [child["key_id"], grandchild["key_id"]]
    assert links[0].caveats.limit_nusd == 500_000_000
    last_ns = links[1].caveats.expires_ns
    assert last_ns is not None
    assert 0 <= last_ns - (links[0].caveats.expires_ns or 0) < 600 * NS


def test_what_stands_on_stdin_goes_before_the_environment(bare: Quick) -> None:
    child = mint_bare(bare, mint(ROOT, Caveats(expires_ns=SOON_NS), b"\2" * 32), SPENDGUARD_AGENT_KEY=ROOT)
    assert child.keys["generation"] == "2"


@pytest.mark.parametrize(
    ("parent", "arguments", "said"),
    [
        ("", [], "No key to mint from came on stdin, and SPENDGUARD_AGENT_KEY holds none"),
        ("sk-ant-api03-secret", [], "is not an agent key"),
        (ROOT[:-1], [], "is not an agent key"),
        (ROOT, ["--expires", "31d"], "--expires: '31d' is not a time of at most 30 days"),
        (ROOT, ["--label", "é"], "--label: expected at most 100 printable ASCII characters"),
        (ROOT, ["--model", ""], "--models: expected patterns like"),
        (ROOT, ["--limit", "1.5"], "--limit: "),
    ],
)
def test_what_cannot_be_minted_is_said_without_the_key(
    bare: Quick, parent: str, arguments: list[str], said: str
) -> None:
    ran = mint_bare(bare, parent, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert not parent or parent not in ran.err


def test_minting_on_a_terminal_names_where_the_key_may_stand(shell: Shell) -> None:
    """Nothing stands on a keyboard's stdin; a key is asked for where one may be kept."""
    terminal = Terminal(shell, "agent", "mint")
    assert terminal.end() == 2
    assert "SPENDGUARD_AGENT_KEY" in terminal.said.decode()


def test_what_would_be_wider_has_no_effect_and_is_said(bare: Quick) -> None:
    above = mint_bare(bare, ROOT, "--limit", "50", "--expires", "1h", "--model", "openai/*").keys["key"]
    wide = ("--limit", "51", "--expires", "2h", "--model", "gpt-4o", "--model", "openai/gpt-4o")
    ran = mint_bare(bare, above, *wide)
    assert ran.code == 0
    assert "warning: --limit $0.51 has no effect beyond the $0.50 of the key above it" in ran.err
    assert "warning: --expires has no effect beyond 20" in ran.err
    assert "warning: --model gpt-4o has no effect beyond openai/*" in ran.err
    assert ran.err.count("warning: ") == 3
    narrow = ("--limit", "50", "--expires", "1m", "--model", "openai/gpt-4o*")
    assert mint_bare(bare, above, *narrow).err == ""
    assert mint_bare(bare, ROOT, *wide).err == ""


@pytest.mark.parametrize(
    ("above", "wanted", "told"),
    [
        (Caveats(5, SOON_NS), Caveats(None, SOON_NS), 0),
        (Caveats(5, SOON_NS), Caveats(6, SOON_NS), 1),
        (Caveats(None, SOON_NS, ("*",)), Caveats(None, SOON_NS, ("openai/x", "y")), 0),
        (Caveats(None, SOON_NS, ("gpt-*",)), Caveats(None, SOON_NS, ("gpt-4o", "gpt-4*", "gpt-*")), 0),
        (Caveats(None, SOON_NS, ("gpt-*",)), Caveats(None, SOON_NS, ("gp*", "openai/gpt-4o", "*")), 3),
        (Caveats(None, SOON_NS, ("a", "b")), Caveats(None, SOON_NS, ("a", "b")), 0),
    ],
)
def test_what_is_wider(above: Caveats, wanted: Caveats, told: int) -> None:
    parent = parse(mint(ROOT, above, b"\2" * 32))
    assert len(minting.without_effect(parent, wanted)) == told


def test_spans() -> None:
    assert [span_seconds("--x", text, days_max=30) for text in ("90s", "30m", " 24h", "7d")] == [
        90,
        1_800,
        86_400,
        604_800,
    ]
    for text in ("", "1", "h", "-1h", "1.5h", "1h30m", "31d", "\u0661h"):
        with pytest.raises(SpendGuardError, match="--x: "):
            span_seconds("--x", text, days_max=30)


def test_a_person_gets_the_lines_to_use_a_key(shell: Shell) -> None:
    """Whole, however narrow the terminal is: they are copied."""
    shell.agent("mine", cents=100)
    shown = Terminal(shell, "agent", "key", "mine", "--limit", "50", "--label", "mine too")
    assert shown.end() == 0
    text = shown.said.decode()
    key = re.search(r"export OPENAI_API_KEY=(sg_agent_\S+)", text)
    assert key is not None
    assert f"export OPENAI_BASE_URL={shell.daemon()['agents_url']}/v1" in text
    assert "the agents' address" in text
    assert "mine too" in text
    assert call(shell, key[1]).status_code == 200
    parent = mint(
        mint(key[1], Caveats(expires_ns=SOON_NS * 2), b"\2" * 32), Caveats(expires_ns=SOON_NS), b"\3" * 32
    )
    shell.env["SPENDGUARD_AGENT_KEY"] = parent
    shown = Terminal(shell, "agent", "mint")
    assert shown.end() == 0
    child = re.search(r"export OPENAI_API_KEY=(sg_agent_\S+)", shown.said.decode())
    assert child is not None
    assert len(parse(child[1]).links) == 3
    shown = Terminal(shell, "agent", "key", "mine", "--list")
    assert shown.end() == 0
    assert "$0.49" in shown.said.decode()
    assert json.loads(shell.ok("agent", "get", "mine", "--json").out)["keys"] == 1
