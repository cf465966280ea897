"""Requests that are refused for what is in them: what the doctor says, typed or done, gets them through.

The provider behind the sidecar is a real one on loopback, so that what is mended is answered.
"""

from collections.abc import Iterator

import httpx
import pytest

from models_page import RIGHT_KEY, ModelsPage
from patients import code_of, first, look
from quick_typist import QuickTypist
from shell import Quick, finish

CHAT, RESPONSES = "/openai/v1/chat/completions", "/openai/v1/responses"
OWN_PRICE = """
[prices.overrides.openai."gpt-4o-minni"]
endpoints = ["chat/completions"]
limits = { context = 128000, max_input = 128000, max_output = 16384 }
periods = [{ from = "1970-01-01T00:00:00Z", rates = { default = { input = 150000, output = 600000 } } }]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """A quick shell whose sidecar has the key of a provider that answers."""
    page = ModelsPage()
    home = tmp_path_factory.mktemp("asked") / "home"
    made = Quick(home, SPENDGUARD_OPENAI_BASE_URL=page.base_url, OPENAI_API_KEY=RIGHT_KEY)
    assert finish(made.start("up")).code == 0
    yield made
    made.end()
    page.end()


@pytest.fixture
def typist(served: Quick) -> QuickTypist:
    return QuickTypist(served)


def post(shell: Quick, agent_id: str, path: str, **fields: object) -> httpx.Response:
    """Ask a real model a small question."""
    asked = {"input": "hello"} if path == RESPONSES else {"messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(
        f"http://127.0.0.1:{shell.daemon()['port']}{path}",
        json={"model": "gpt-4o-mini", **asked, **fields},
        headers={"x-cynsta-agent-id": agent_id},
        trust_env=False,
    )


def test_a_typo_of_one_that_goes_on_is_no_alarm(served: Quick, typist: QuickTypist) -> None:
    """Red while it is the last that was heard of the agent; not when it has been answered since."""
    agent_id = served.agent("typo", cents=500, mock=False)
    assert code_of(post(served, agent_id, CHAT, model="gpt-4o-minni"))[1] == "unknown_model"
    assert look(typist, "typo", "failures")["level"] == "red"
    assert post(served, agent_id, CHAT).status_code == 200
    after = look(typist, "typo", "failures")
    assert (after["level"], after["code"]) == ("warning", "unknown_model")


def test_a_model_that_has_no_price(served: Quick, typist: QuickTypist) -> None:
    """Models of a similar name are told; the deed of a price of one's own prices it."""
    agent_id = served.agent("unknown", cents=500, mock=False)
    refused = post(served, agent_id, CHAT, model="gpt-4o-minni")
    assert code_of(refused) == (400, "unknown_model")
    cause = first(typist, "unknown")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "unknown_model")
    assert "use a model that has a price: gpt-4o-mini" in cause["deed"]
    (price,) = (line for line in cause["evidence"] if "give it a price of your own" in line)
    assert OWN_PRICE.splitlines()[1] in price and price.endswith("then spendguard restart")
    assert code_of(post(served, agent_id, CHAT, model="gpt-9"))[1] == "unknown_model"
    both = typist.doctor("400", "--agent", "unknown")
    assert [one["level"] for one in both] == ["red", "red"]
    assert all(any("[prices.overrides." in line for line in one["evidence"]) for one in both)
    config = served.home / "config.toml"
    config.touch(mode=0o600)
    config.write_text(OWN_PRICE)
    assert typist.type("spendguard restart").code == 0
    after = [
        one for one in typist.doctor("400", "--agent", "unknown") if "gpt-4o-minni" in str(one["evidence"])
    ]
    assert [one["level"] for one in after] == ["note"]
    assert post(served, agent_id, CHAT, model="gpt-4o-minni").status_code == 200


def test_a_feature_that_has_no_bound(served: Quick, typist: QuickTypist) -> None:
    """The command lets it through for this agent alone, and says what it lets through."""
    agent_id = served.agent("unbounded", cents=500, mock=False)
    refused = post(served, agent_id, RESPONSES, background=True)
    assert code_of(refused) == (400, "unbounded_feature")
    cause = first(typist, "unbounded")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "unbounded_feature")
    assert "leave background out of the request" in cause["deed"]
    assert cause["remedy"] == ["spendguard agent set unbounded --allow openai.responses.field:background"]
    typist.mends(cause)
    assert look(typist, "unbounded", "failures")["level"] == "note"
    assert post(served, agent_id, RESPONSES, background=True).status_code == 200


def test_state_of_nobody_here(served: Quick, typist: QuickTypist) -> None:
    """Only the program can mend it: it sends what was said in the request itself."""
    agent_id = served.agent("foreign", cents=500, mock=False)
    refused = post(served, agent_id, RESPONSES, previous_response_id="resp_0123456789")
    assert code_of(refused) == (400, "foreign_state")
    cause = first(typist, "foreign")
    assert (cause["check"], cause["level"], cause["code"]) == ("failures.refused", "red", "foreign_state")
    assert cause["deed"].startswith("send the history in the request itself")
    history = [{"role": role, "content": "hello"} for role in ("user", "assistant", "user")]
    assert post(served, agent_id, RESPONSES, input=history).status_code == 200
    assert look(typist, "foreign", "failures")["level"] != "red"
