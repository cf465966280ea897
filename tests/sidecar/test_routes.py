"""The route table: what is served, and that no spelling of a path reaches anything else."""

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.routes import OPEN, control_patterns, match

AGENT = "4f0e7f9e-8d1a-4a55-9c59-0b8f5a2f7b11"


@pytest.mark.parametrize(
    ("target", "provider", "agent", "run"),
    [
        ("/v1/chat/completions", "", "", ""),
        ("/openai/v1/chat/completions", "openai", "", ""),
        ("/mock/v1/chat/completions", "mock", "", ""),
        (f"/v1/agents/{AGENT}/runs/r.1/v1/chat/completions", "", AGENT, "r.1"),
        (f"/v1/agents/{AGENT}/runs/r:1/openai/v1/chat/completions", "openai", AGENT, "r:1"),
        (f"/v1/agents/{AGENT}/runs/r-1/openai/chat/completions", "openai", AGENT, "r-1"),
        (f"/v1/agents/{AGENT}/runs/r_1/mock/chat/completions", "mock", AGENT, "r_1"),
    ],
)
def test_model_calls_have_four_roots(target: str, provider: str, agent: str, run: str) -> None:
    """Bare, by provider, and both under an agent's run."""
    route = match("POST", target)
    assert (route.endpoint, route.provider, route.agent_id, route.run_id) == (
        "chat/completions",
        provider,
        agent,
        run,
    )


@pytest.mark.parametrize(
    "target",
    [
        "/chat/completions",
        "/openai/chat/completions",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat/completions/..",
        "/v1/chat%2Fcompletions",
        "/v1/chat/%63ompletions",
        "/V1/chat/completions",
        "/v1/Chat/completions",
        "/v1/chat/completions;a=b",
        "/v1/chat/completions#x",
        "/v1/chat/completions\\",
        "/v1/chat/completions/extra",
        "/v1/responses",
        "/v1/batches",
        "/v1/images/generations",
        "/grok/v1/chat/completions",
        "/anthropic/v1/messages",
        "/v2/chat/completions",
        f"/v1/agents/{AGENT}/runs/r/chat/completions",
        f"/v1/agents/{AGENT}/runs/r/openai/v2/chat/completions",
        f"/v1/agents/{AGENT}/openai/v1/chat/completions",
    ],
)
def test_no_other_spelling_is_a_route(target: str) -> None:
    """Nothing is normalised, so nothing can be smuggled."""
    with pytest.raises(SpendGuardError) as refused:
        match("POST", target)
    assert refused.value.code is Code.ROUTE_NOT_FOUND


@pytest.mark.parametrize("query", ["?x=1", "?", "?limit=1&limit=2", "?limit", "?a=b;c=d"])
def test_queries_are_an_allow_list(query: str) -> None:
    """A query that the route does not know is refused; an empty one is none."""
    if query == "?":
        assert match("POST", "/v1/chat/completions?").endpoint
        return
    with pytest.raises(SpendGuardError) as refused:
        match("POST", f"/v1/chat/completions{query}")
    assert refused.value.code is Code.MALFORMED_REQUEST


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "post"])
def test_model_calls_are_posts(method: str) -> None:
    """Any other method is refused with the one that works."""
    with pytest.raises(SpendGuardError) as refused:
        match(method, "/v1/chat/completions")
    assert refused.value.facts["allow"] == ["POST"]


def test_every_control_route_has_a_handler_and_matches_itself() -> None:
    """The table and the code that serves it agree."""
    daemon_routes = {
        "status",
        "get_pricing",
        "get_daemon_budget",
        "grant_daemon_budget",
        "top_up_daemon",
        "list_providers",
        "reload_providers",
        "test_provider",
        "shutdown",
    }
    for pattern, name in control_patterns().items():
        method, path = pattern.split(" ")
        filled = path.replace("{agent}", AGENT).replace("{call}", AGENT).replace("{provider}", "openai")
        assert match(method, f"/{filled}").name == name
        assert name in OPEN | daemon_routes or callable(getattr(Control, f"_{name}"))


@pytest.mark.parametrize("target", ["/", "/openai", "/openai/", f"/v1/agents/{AGENT}/runs/r", "/mock/"])
def test_roots_answer_who_is_there(target: str) -> None:
    """Some clients look at the base address first (Claude Code sends a HEAD)."""
    assert match("HEAD", target).name == "root"
    with pytest.raises(SpendGuardError):
        match("POST", target)


@pytest.mark.parametrize("run", ["my%20run", "..", "%2e%2e", "a;b"])
def test_a_run_id_that_is_none_is_named(run: str) -> None:
    """The one segment that people choose freely gets a sentence of its own, and nothing is forwarded."""
    with pytest.raises(SpendGuardError) as refused:
        match("POST", f"/v1/agents/{AGENT}/runs/{run}/openai/chat/completions")
    assert (refused.value.code, refused.value.facts["path"]) == (Code.MALFORMED_REQUEST, "run id")
