"""What operators see from outside: `/metrics` equals the ledger, `status` knows who has no name."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import httpx
import pytest

from exposition import Family, read
from sidecar import PROVIDER_KEY, Sidecar
from spendguard_daemon.gateway.metrics import CONTENT_TYPE
from until import until

CHAT = "/v1/chat/completions"
MOCK = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with Sidecar(tmp_path_factory.mktemp("outside") / "home") as made:
        yield made


def scraped(sidecar: Sidecar) -> Mapping[str, Family]:
    """Return the metrics as Prometheus would get them."""
    answer = sidecar.http.get("/metrics", headers=sidecar.admin)
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    return read(answer.text)


def test_the_metrics_are_the_ledgers_numbers(sidecar: Sidecar) -> None:
    """After calls that were settled, voided, cut and refused; each amount to the last digit."""
    name = 'quo"te\\back'
    agent, idle = sidecar.agent(mock=True, name=name), sidecar.agent(cents=None)
    sidecar.control("POST", "/v1/daemon/budget", {"hard_limit_cents": 90_000})
    for directive in (None, None, "fail:400", "cut:0"):
        sidecar.chat(agent, MOCK if directive is None else MOCK | {"metadata": {"mock": directive}})
    sidecar.chat(agent, MOCK | {"model": "no-such-model"})
    sidecar.chat(idle, MOCK)

    def refused(whose: str) -> Decimal:
        return scraped(sidecar)["spendguard_calls_total"].value(agent_id=whose, state="refused")

    until(lambda: refused(agent) and refused(idle))
    found = scraped(sidecar)
    labels, money = {"agent_id": agent, "name": name}, sidecar.budget(agent)
    for what, usd in (
        ("limit", money["hard_limit_usd"]),
        *((what, money[f"{what}_usd"]) for what in ("funded", "settled", "held", "remaining")),
    ):
        assert found[f"spendguard_agent_{what}_usd"].value(**labels) == Decimal(usd)
    calls = sidecar.calls(agent)
    states = [call["state"] for call in calls]
    for state in ("settled", "settled_worst", "voided", "overrun", "refused"):
        assert found["spendguard_calls_total"].value(agent_id=agent, state=state) == states.count(state)
    assert {"settled", "settled_worst", "voided", "refused"} <= set(states)
    charged = sum(Decimal(call["cost_usd"]) for call in calls)
    assert found["spendguard_charged_usd_total"].value(agent_id=agent) == charged > 0
    status = sidecar.control("GET", "/v1/status")
    cap = status["daemon_budget"]
    for name, told_value in (
        ("spendguard_daemon_settled_usd", cap["settled_usd"]),
        ("spendguard_daemon_remaining_usd", cap["remaining_usd"]),
        ("spendguard_daemon_limit_usd", "900"),
        ("spendguard_unconfirmed_usd", status["unconfirmed_usd"]),
        ("spendguard_unconfirmed_calls", status["unconfirmed_calls"]),
        ("spendguard_agents", status["agents"]),
        ("spendguard_prices_in_force", 1),
        ("spendguard_price_document_self_signed", 1),
    ):
        assert found[name].value() == Decimal(told_value)
    assert found["spendguard_refusals_total"].value(code="unknown_model") == 1
    assert found["spendguard_up_info"].value(version=status["version"]) == 1
    journal = [record["seq"] for record in sidecar.journal()]
    assert found["spendguard_ledger_durable_seq"].value() == journal[-1]
    assert not any(("agent_id", idle) in one for one in found["spendguard_agent_limit_usd"].values)
    sidecar.control("POST", "/v1/daemon/budget", {"hard_limit_cents": None})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-cynsta-agent-id": NOBODY}])
def test_metrics_are_for_operators(sidecar: Sidecar, headers: dict[str, str]) -> None:
    answer = sidecar.http.get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert "spendguard_agents" not in answer.text


def test_who_names_nobody_is_known_until_it_does(sidecar: Sidecar) -> None:
    """By program, code and kind of path, with no word of the request; and no call of anybody has it."""
    agent = sidecar.agent(mock=True)

    def send(method: str, path: str, program: str, **headers: str) -> httpx.Response:
        sent = {"user-agent": program, **headers}
        return sidecar.http.request(method, path, json=MOCK if method == "POST" else None, headers=sent)

    def strangers(program: str) -> list[dict[str, object]]:
        told = sidecar.control("GET", "/v1/status")["strangers"]
        return [one for one in told if one["program"] == program]

    for _ in range(2):
        assert send("POST", CHAT, "OpenAI/Python 1.99.0").status_code == 400
    (one,) = strangers("OpenAI/Python")
    assert (one["code"], one["endpoint"], one["provider"], one["count"]) == (
        "missing_agent", "chat/completions", "openai", 2,
    )  # fmt: skip
    assert one["detail"] == "Missing x-cynsta-agent-id header"
    for path, code in (
        (f"/v1/images/generations?key={PROVIDER_KEY}", "route_not_found"),
        (f"/v1/{PROVIDER_KEY}/x", "route_not_found"),
    ):
        assert (
            send("POST", path, f"lost/1 {PROVIDER_KEY}", authorization=f"Bearer {PROVIDER_KEY}").status_code
            == 404
        )
        assert strangers("lost/1")[0]["code"] == code
    assert [one["endpoint"] for one in strangers("lost/1")] == ["v1", "v1/images/generations"]
    for headers, code in (
        ({"x-cynsta-agent-id": NOBODY}, "agent_not_found"),
        ({"x-cynsta-agent-id": f"{NOBODY},{agent}"}, "identity_conflict"),
        ({"authorization": "Bearer sg_agent_0123456789abcdef.secretsecret"}, "key_unknown"),
        ({"authorization": "Bearer sk-ant-oat01-0123456789abcdef0123456789"}, "subscription_token"),
        ({"origin": "https://page.example"}, "forbidden_origin"),
        ({"host": "elsewhere.example"}, "misdirected_host"),
    ):
        assert send("POST", CHAT, PROVIDER_KEY, **headers).status_code >= 400
        assert strangers("[redacted]")[0]["code"] == code, headers
    assert send("GET", "/v1/status", "prober/2").status_code == 401
    assert (strangers("prober/2")[0]["code"], strangers("prober/2")[0]["endpoint"]) == (
        "unauthorized",
        "v1/status",
    )
    said = sidecar.http.get("/v1/status", headers=sidecar.admin).text
    assert not [word for word in (PROVIDER_KEY, "secretsecret", "oat01") if word in said]
    assert send("POST", CHAT, "OpenAI/Python 1.99.0", **{"x-cynsta-agent-id": agent}).status_code == 200
    assert strangers("OpenAI/Python") == []
    assert strangers("lost/1")
    assert len(sidecar.calls(agent)) == 1
