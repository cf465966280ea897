"""One failure explained: by status, by code, from the body of its answer, with and without a sidecar."""

import json
from pathlib import Path
from typing import Any

import pytest

from patients import Flight, ask, code_of
from quick_typist import QuickTypist
from shell import Quick, Shell, Terminal
from spendguard_cli.doctor import bodies, checked
from spendguard_cli.holder import is_held
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.providers import format_for
from spendguard_daemon.runtime import Home
from until import until

NOBODY = "0199a9a6-3c0b-4f57-9a7e-0c9a4f1d2b3c"
ROUTES = {
    "openai": "chat/completions",
    "anthropic": "messages",
    "gemini": "generateContent",
}


@pytest.fixture
def typist(served: Quick) -> QuickTypist:
    return QuickTypist(served)


def body_of(code: Code, provider: str, **facts: Any) -> str:
    """Return the body with which the daemon answers, in a provider's shape."""
    form = format_for(provider, ROUTES[provider])
    detail = f"{TABLE[code].title}: so it was"
    return form.error_body(TABLE[code].status, code.value, detail, {"code": code.value, **facts}).decode()


def test_a_402_is_told_with_its_sum(served: Quick, typist: QuickTypist) -> None:
    """What happened, how often, the numbers, whether money is at risk, and what to type."""
    agent_id = served.agent("sum", cents=1)
    for _ in range(2):
        refused = ask(served, agent_id, n=8, max_tokens=16_384)
        assert code_of(refused) == (402, "insufficient_budget")
    said = refused.json()["spendguard"]
    [cause, *_] = typist.doctor("402", "--agent", "sum")
    assert cause["finding"].startswith("agent sum was refused 2 times with 402 insufficient_budget")
    assert cause["finding"].endswith("the same would be refused again now")
    told = "\n".join(cause["evidence"])
    assert f"it can cost ${said['worst_case_usd']} = input ${said['input_usd']}" in told
    assert f"${said['remaining_usd']} remained to the agent of ${said['limit_usd']}" in told
    assert "money: nothing was charged" in told
    assert f"the whole call: spendguard explain {said['call_id']}" in told
    typist.mends(cause)
    [after, *_] = typist.doctor("insufficient_budget", "--agent", "sum")
    assert after["level"] == "note"
    assert after["finding"].endswith("would not be refused for that now")


def test_the_body_that_was_answered(served: Quick, typist: QuickTypist) -> None:
    """As it came, as curl shows it with its head, and as an SDK's exception repeats it."""
    agent_id = served.agent("pasted", cents=1)
    refused = ask(served, agent_id, n=8, max_tokens=16_384)
    call_id = refused.json()["spendguard"]["call_id"]
    head = "HTTP/1.1 402 Payment Required\r\nx-spendguard-source: spendguard\r\n\r\n"
    raised = f"openai.APIStatusError: Error code: 402 - {refused.json()!r}"
    for pasted in (refused.text, head + refused.text, raised, f"12:00 ERROR agent: {refused.text} (gave up)"):
        [cause, *_] = typist.doctor("-", stdin=pasted)
        assert cause["finding"] == "402 insufficient_budget: Insufficient budget: a call of agent pasted"
        assert f"call {call_id} is refused: spendguard explain {call_id}" in cause["evidence"]
        assert cause["remedy"][0].startswith("spendguard budget set --agent pasted --limit ")
    typist.mends(cause)
    [after, *_] = typist.doctor("-", stdin=refused.text)
    assert after["level"] == "note"
    assert ask(served, agent_id, n=8, max_tokens=16_384).status_code == 200


def test_a_body_gives_no_money_and_opens_nothing(served: Quick, typist: QuickTypist) -> None:
    """Sums, settings and patterns of a body that the ledger does not know of are shown, and never typed."""
    agent_id = served.agent("lied", cents=1)
    refused = ask(served, agent_id, n=8, max_tokens=16_384).json()["spendguard"]
    lies: dict[str, Any] = {
        "agent_id": agent_id,
        "worst_case_usd": "999999",
        "needed_usd": "999999",
        "setting": "[access] listen = 0.0.0.0:8787",
        "model": "*",
        "limit": "agent_calls_max",
        "limit_value": 10**6,
        "body_bytes_max": 2**40,
        "locked_run_id": "nightly",
    }
    settings = ("[policy] allow: openai.chat.field:n", '[daemon] unsafe_fs = "allow"', lies["setting"])
    for code in Code:
        said = {**lies, "setting": settings[len(code) % len(settings)], "call_id": refused["call_id"]}
        [cause] = typist.doctor("-", stdin=body_of(code, "openai", **said))
        if (
            code is Code.INSUFFICIENT_BUDGET
        ):  # the ledger has that call so: its own sum is told, not the body's
            assert (cause["remedy"][0][:44], "999999" in str(cause)) == (
                "spendguard budget set --agent lied --limit 6",
                False,
            )
            continue
        typed = " ".join(cause["remedy"] + [line for line in cause["evidence"] if line.startswith("or: ")])
        for word in (
            "spendguard budget",
            "config allow",
            "agent key",
            "agent set",
            "unfreeze",
            "0.0.0.0",
            "unsafe_fs",
        ):
            assert word not in typed, (code, cause)
        assert "9999" not in typed and str(2**41) not in typed
        assert cause["remedy"] or cause["deed"]
    unknown = {**refused, "call_id": "00000000-0000-4000-8000-000000000000", "worst_case_usd": "999999"}
    [cause] = typist.doctor("-", stdin=json.dumps({"spendguard": unknown}))
    assert cause["evidence"].count(checked.NOT_CHECKED) == 1 and cause["level"] == "warning"
    assert cause["remedy"] == ["spendguard doctor insufficient_budget --agent lied"]


def test_an_agent_that_waits_for_nothing_is_not_unfrozen(served: Quick, typist: QuickTypist) -> None:
    """A body of before the restored account was told what it spent: it goes on already."""
    agent_id = served.agent("returned", cents=1)
    [cause] = typist.doctor("-", stdin=body_of(Code.RESTORE_UNCONFIRMED, "openai", agent_id=agent_id))
    assert cause["level"] != "red" and "unfreeze" not in str(cause["remedy"])


def test_a_request_without_an_agent(served: Quick, typist: QuickTypist) -> None:
    refused = ask(served, "")
    assert code_of(refused) == (400, "missing_agent")
    [cause, *_] = typist.doctor("-", stdin=refused.text)
    assert cause["finding"] == "400 missing_agent: Missing x-cynsta-agent-id header"
    typist.mends(cause)
    [stranger, *_] = typist.doctor("missing_agent")
    assert stranger["level"] == cause["level"] == "red"
    assert "named no agent that is known: Missing x-cynsta-agent-id header" in stranger["finding"]
    assert "money: nothing was charged" in stranger["evidence"]
    typist.mends(stranger)


def test_a_call_that_named_no_agent_is_not_kept_and_that_is_said(served: Quick) -> None:
    refused = ask(served, "")
    ran = served.run("explain", refused.json()["spendguard"]["call_id"])
    assert ran.code == 4
    assert "of calls refused together only the first is kept, and none that named no agent" in ran.err
    assert "of one that named no agent: spendguard doctor 400" in ran.err


def test_an_agent_that_was_named_without_its_key(served: Quick, typist: QuickTypist) -> None:
    agent_id = served.agent("keyed", cents=100)
    assert typist.type("spendguard agent key keyed").code == 0
    refused = ask(served, agent_id)
    assert code_of(refused) == (401, "key_required")
    [cause, *_] = typist.doctor("401")
    assert "named keyed without its key" in cause["finding"]
    assert cause["remedy"] == ["spendguard agent key keyed"]


def test_what_a_home_that_was_never_made_knows(tmp_path: Path) -> None:
    """No refusal, and nothing red; a pasted body is not believed."""
    fresh = QuickTypist(Quick(tmp_path / "home"))
    ran = fresh.type("spendguard doctor 402 --json")
    assert (ran.code, ran.json["worst"]) == (0, "note"), ran
    assert "the ledger has no call refused with 402" in ran.out
    body = body_of(
        Code.INSUFFICIENT_BUDGET, "openai", agent_id=NOBODY, worst_case_usd="0.5", remaining_usd="0.1"
    )
    [cause, *_] = fresh.doctor("-", stdin=body)
    assert cause["remedy"] == ["spendguard doctor insufficient_budget"], "nothing here bears the body out"


@pytest.mark.parametrize("provider", sorted(ROUTES))
def test_the_body_of_every_code_is_understood(served: Quick, typist: QuickTypist, provider: str) -> None:
    """Cause, money and a way out, whatever the code, in every provider's shape."""
    codes = list(Code)[sorted(ROUTES).index(provider) :: len(ROUTES)]
    for code in codes:
        entry = TABLE[code]
        [cause, *_] = typist.doctor("-", stdin=body_of(code, provider))
        assert cause["finding"].startswith(f"{entry.status} {code}: {entry.title}")
        assert f"why: {entry.cause}" in cause["evidence"]
        assert f"money: {entry.money.value}" in cause["evidence"]
        assert cause["remedy"] or cause["deed"], code
        assert not any("<" in line for line in cause["remedy"]), cause


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "nothing came on standard input"),
        ("curl: (7) Failed to connect", "it holds no JSON object"),
        ('{"a": 1}', "it is JSON, but no error that SpendGuard or a provider utters"),
        ('{"error": {"message": "You exceeded", "type": "insufficient_quota"}}', "may not have come through"),
        ('{"spendguard": {"code": "from_the_future"}}', "a code that this version does not know"),
        ('{"spendguard": {"code": ["agent_frozen"]}}', "a code that this version does not know"),
        ("{" * 5000, "it holds no JSON object"),
        ('{"error":' * 5000, "it holds no JSON object"),
        ("[[[[" * 5000 + "{", "it holds no JSON object"),
        ("{'a': " + "-" * 30_000 + "1}", "it holds no JSON object"),
        ("{'a': " + "9" * 20_000 + "}", "it holds no JSON object"),
        ("\x00{'a': {1, 2}}", "it is JSON, but no error"),
    ],
)
def test_what_is_no_refusal_of_ours(typist: QuickTypist, pasted: str, said: str) -> None:
    [cause] = typist.doctor("-", stdin=pasted)
    assert (cause["level"], cause["finding"].startswith("this is no refusal of SpendGuard: ")) == (
        "warning",
        True,
    )
    assert said in cause["finding"]


def test_a_hostile_body_steers_nothing(typist: QuickTypist) -> None:
    """Its words reach neither the terminal nor a command as anything but words."""
    facts: dict[str, Any] = {
        "agent_id": "\x1b[31m; rm -rf /",
        "provider": "$(reboot)",
        "model": "x; rm -rf / \u202e",
        "setting": "[policy] allow: a; reboot",
        "feature": "a; reboot",
        "path": "p\x1b]0;t\x07",
        "worst_case_usd": "9" * 400,
        "remaining_usd": "-1e9",
        "affordable_max_tokens": 2**80,
        "near_models": [1, None, "m\n\x1b[0m"],
        "first_call_id": "--help",
        "call_id": "../../agents",
        "limit": "agent_calls_max",
        "limit_value": -5,
    }
    for code in Code:
        found = bodies.read(json.dumps({"spendguard": {"code": code, **facts}}))
        assert found.code is code
    for code in (Code.UNBOUNDED_FEATURE, Code.UNKNOWN_MODEL, Code.RATE_LIMITED, Code.IDEMPOTENCY_DONE):
        body = json.dumps({"spendguard": {"code": code, **facts}, "detail": "\x1b[31m\u202e"})
        ran = typist.type("spendguard doctor -", stdin=body)
        assert not set("\x1b\x07\u202e") & set(ran.out)
        for line in typist.doctor("-", stdin=body)[0]["remedy"]:
            assert "rm -rf" not in line
            assert "reboot" not in line or "'a; reboot'" in line


def test_what_is_no_failure(typist: QuickTypist) -> None:
    nothing = typist.type("spendguard doctor 418")
    assert (nothing.code, "never answers with 418" in nothing.err) == (2, True)
    near = typist.type("spendguard doctor agent_frosen")
    assert (near.code, "did you mean agent_frozen?" in near.err) == (2, True)
    [none] = typist.doctor("507")
    assert (none["level"], none["finding"][:32]) == ("ok", "no call was refused with 507, as")


def test_the_chain_of_a_signature(typist: QuickTypist) -> None:
    """Document, signer and pinned keys, beside what the checks of the prices say."""
    found = typist.doctor("signature")
    chain = next(one for one in found if one["check"] == "failure.signature")
    assert chain["finding"].endswith("is signed by this machine's own authority (self-signed)")
    assert any(line.startswith("pinned keys: ") for line in chain["evidence"])
    assert any(one["check"].startswith("prices.") for one in found)


def test_a_refusal_is_told_while_the_sidecar_is_down(shell: Shell) -> None:
    """From the ledger's files; nothing is started for it."""
    agent_id = shell.agent("gone", cents=1)
    refused = shell.call(agent_id, n=8, max_tokens=16_384)
    assert refused.status_code == 402
    quick = shell.quick
    flight = Flight(quick, agent_id, "r1", max_tokens=100)
    held = quick.ok("agent", "get", "gone").keys["held_usd"]
    until(
        lambda: any(b'"t":"refused"' in one.read_bytes() for one in (shell.home / "ledger").glob("*.jsonl"))
    )
    shell.crash()
    until(lambda: not is_held(Home(shell.home)))
    flight.leave()
    typist = QuickTypist(quick)
    unasked(typist, held)
    [cause, down] = typist.doctor("402", "--agent", "gone")
    assert cause["finding"] == "agent gone was refused with 402 insufficient_budget, 1 time in all"
    assert (
        f"the whole call: spendguard explain {refused.json()['spendguard']['call_id']}" in cause["evidence"]
    )
    assert cause["remedy"][0].startswith("spendguard budget set --agent gone --limit ")
    assert down["remedy"] == ["spendguard up"]
    [body] = typist.doctor("-", stdin=refused.text)
    assert body["finding"] == "402 insufficient_budget: Insufficient budget: a call of agent gone"
    assert body["remedy"] == cause["remedy"]
    [_, none] = typist.doctor("409")
    assert none["finding"] == "the ledger has no call refused with 409"
    assert typist.type("spendguard up").code == 0
    found = typist.doctor("--check", "money", "--check", "failures")
    assert not [
        one for one in found if one["check"] in ("money.left", "failures.providers") and one["level"] != "ok"
    ]
    assert next(one for one in found if one["check"] == "money.unconfirmed")["level"] == "warning"


def unasked(typist: QuickTypist, held_usd: str) -> None:
    """Nothing is said to be well that nobody looked at; what the next start charges is told."""
    found = typist.doctor()
    for group, verb in (("agents", "were"), ("money", "was"), ("failures", "were")):
        said = [one for one in found if one["group"] == group and one["check"] != "money.left"]
        assert [one["level"] for one in said] == ["note"], said
        assert said[0]["finding"] == f"{group} {verb} not looked at: the sidecar is down"
    [left] = [one for one in found if one["check"] == "money.left"]
    assert (left["level"], left["remedy"]) == ("warning", ["spendguard up"])
    assert f"1 call had no end when the sidecar ended: ${held_usd} is held" in left["finding"]


def test_inside_exec_a_program_is_told_of_its_own_agent(served: Quick, typist: QuickTypist) -> None:
    """By its key, from the sidecar: no other agent, no file of the ledger, nothing that operators type."""
    own, other = served.agent("inside", cents=1), served.agent("outside", cents=1)
    for agent_id in (own, other):
        assert ask(served, agent_id, n=8, max_tokens=16_384).status_code == 402
    secret = served.ok("agent", "key", "inside").keys["key"]
    inside = {
        "SPENDGUARD_EXEC": "1",
        "SPENDGUARD_AGENT_ID": own,
        "CAP_BASE_URL": f"http://127.0.0.1:{served.daemon()['port']}",
        "CAP_API_KEY": secret,
    }
    for arguments in (("402",), ("--check", "failures"), ("--check", "agents")):
        ran = served.run("doctor", *arguments, "--json", **inside)
        assert ran.code in (0, 1), ran
        assert "outside" not in ran.out and "Permission" not in ran.out
        assert "--limit" not in ran.out and "budget topup" not in ran.out
    [cause, *_] = json.loads(served.run("doctor", "402", "--json", **inside).out)["findings"]
    assert cause["finding"].startswith("agent inside was refused 1 time with 402 insufficient_budget")
    nobody = served.run("doctor", "402", "--json", **inside | {"SPENDGUARD_AGENT_ID": ""})
    [said] = nobody.json["findings"]
    assert said["finding"].startswith("refusals were not looked at: inside spendguard exec")


def test_agent_get_and_status_tell_the_way_out(served: Quick, typist: QuickTypist) -> None:
    """Until it is mended, and never inside `exec`, where an agent would read it."""
    agent_id = served.agent("told", cents=1)
    assert ask(served, agent_id, n=8, max_tokens=16_384).status_code == 402
    shown = served.ok("agent", "get", "told")
    assert "code=insufficient_budget count=1" in shown.out
    said, way = shown.err.splitlines()
    assert (
        said == "agent told was refused with insufficient_budget 0 s ago, and still would be"
        or "s ago" in said
    )
    assert way.startswith("try: spendguard budget set --agent told --limit ")
    status = Terminal(served, "status")
    assert status.end() == 0
    assert b"agent told was refused with insufficient_budget" in status.said
    inside = served.run("agent", "get", agent_id, SPENDGUARD_EXEC="1", SPENDGUARD_AGENT_ID=agent_id)
    assert "--limit" not in inside.err
    assert typist.type(way.removeprefix("try: ")).code == 0
    assert served.ok("agent", "get", "told").err == ""
