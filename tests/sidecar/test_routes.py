"""The route table: what is served, and that no spelling of a path reaches anything else."""

import pytest

from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.control import Control
from spendguard_daemon.gateway.routes import OPEN, control_patterns, match

AGENT = "4f0e7f9e-8d1a-4a55-9c59-0b8f5a2f7b11"


ENDPOINTS = {"openai": ("chat/completions", "responses", "embeddings"), "anthropic": ("messages",)}
ENDPOINTS["mock"] = ("chat/completions",)
COUNTS = {"openai": {"responses": "input_tokens"}, "anthropic": {"messages": "count_tokens"}, "mock": {}}
RUN = f"/v1/agents/{AGENT}/runs/r.1"


def fronts(provider: str) -> list[tuple[str, str, str, str]]:
    """Return the roots under which a provider is called: path, and the route's provider, agent and run."""
    named = [
        (f"/{provider}/v1", provider, "", ""),
        (f"{RUN}/{provider}/v1", provider, AGENT, "r.1"),
        (f"{RUN}/{provider}", provider, AGENT, "r.1"),
    ]
    bare = [("/v1", "", "", ""), (f"{RUN}/v1", "", AGENT, "r.1")]
    return named if provider == "mock" else [*named, *bare]


@pytest.mark.parametrize("provider", ENDPOINTS)
def test_model_calls_have_four_roots(provider: str) -> None:
    """Bare, by provider, and both under an agent's run, there also without a version."""
    for front, named, agent, run in fronts(provider):
        for endpoint in ENDPOINTS[provider]:
            route = match("POST", f"{front}/{endpoint}")
            assert (route.name, route.endpoint, route.speaker) == ("call", endpoint, provider)
            assert (route.provider, route.agent_id, route.run_id) == (named, agent, run)


GEMINI = "gemini-2.5-flash"
VERBS = {
    "generateContent": ("call", "generateContent", False),
    "streamGenerateContent": ("call", "generateContent", True),
    "countTokens": ("count", "generateContent", False),
    "embedContent": ("call", "embedContent", False),
    "batchEmbedContents": ("call", "batchEmbedContents", False),
}
GOOGLES = [
    *(("", root, "", "") for root in ("/v1beta", "/v1")),
    *(("gemini", f"/gemini{version}", "", "") for version in ("/v1beta", "/v1")),
    *(("", f"{RUN}{version}", AGENT, "r.1") for version in ("/v1beta", "/v1")),
    *(("gemini", f"{RUN}/gemini{version}", AGENT, "r.1") for version in ("/v1beta", "/v1", "")),
]


@pytest.mark.parametrize(("named", "front", "agent", "run"), GOOGLES)
def test_googles_paths_have_the_same_roots(named: str, front: str, agent: str, run: str) -> None:
    """The model and what is asked of it stand in the path."""
    for verb, (name, endpoint, stream) in VERBS.items():
        route = match("POST", f"{front}/models/{GEMINI}:{verb}")
        assert (route.name, route.endpoint, route.stream, route.speaker) == (name, endpoint, stream, "gemini")
        assert (route.provider, route.agent_id, route.run_id) == (named, agent, run)
        assert route.params == {"model": GEMINI}
        with pytest.raises(SpendGuardError) as refused:
            match("GET", f"{front}/models/{GEMINI}:{verb}")
        assert refused.value.facts["allow"] == ["POST"]
    tuned = match("POST", f"{front}/tunedModels/x:generateContent")
    assert tuned.params == {"model": "tunedModels/x"}  # which no price document has


@pytest.mark.parametrize(
    "front", ["/v1beta", "/gemini/v1beta", "/gemini/v1", f"{RUN}/gemini", f"{RUN}/v1beta"]
)
def test_googles_list_and_its_chat(front: str) -> None:
    listed, one = match("GET", f"{front}/models"), match("GET", f"{front}/models/{GEMINI}")
    assert (listed.name, listed.speaker) == ("models", "gemini")
    assert (one.name, one.params, one.speaker) == ("model", {"model": GEMINI}, "gemini")
    chat = match("POST", f"{front}/openai/chat/completions")
    assert (chat.name, chat.endpoint, chat.provider) == ("call", "chat/completions", "gemini")


def test_the_route_of_the_short_body_is_of_an_agents_run() -> None:
    route = match("POST", f"{RUN}/gemini/generateContent")
    assert (route.name, route.endpoint, route.params) == ("call", "generateContent", {})
    chat = match("POST", f"{RUN}/gemini/chat/completions")
    assert (chat.endpoint, chat.provider) == ("chat/completions", "gemini")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/generateContent",
        "/v1beta/generateContent",
        "/gemini/v1beta/generateContent",
        "/gemini/generateContent",
        f"{RUN}/generateContent",
        f"{RUN}/gemini/v1beta/generateContent",
        f"{RUN}/gemini/embedContent",
        f"/openai/v1/models/{GEMINI}:generateContent",
        f"/openai/v1beta/models/{GEMINI}:generateContent",
        f"/grok/v1beta/models/{GEMINI}:generateContent",
        f"/v1alpha/models/{GEMINI}:generateContent",
        f"/v1beta1/models/{GEMINI}:generateContent",
        f"/v1beta/models/models/{GEMINI}:generateContent",
        f"/v1beta/models/{GEMINI}/generateContent",
        f"/v1beta/models/{GEMINI}:GenerateContent",
        f"/v1beta/models/{GEMINI}%3AgenerateContent",
        f"/v1beta/models/{GEMINI}:batchGenerateContent",
        f"/v1beta/models/{GEMINI}:predictLongRunning",
        f"/v1beta/models/{GEMINI}:bidiGenerateContent",
        "/v1beta/models/:generateContent",
        "/v1beta/tunedModels/x:countTokens",
        "/v1beta/cachedContents",
        "/v1beta/files",
        "/v1beta/interactions",
        "/v1beta/chat/completions",
        "/v1beta/responses",
        "/v1beta/messages",
        "/gemini/v1beta/openai/embeddings",
        "/upload/v1beta/files",
    ],
)
def test_google_has_no_other_spelling(target: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        match("POST", target)
    assert refused.value.code in (Code.ROUTE_NOT_FOUND, Code.METHOD_NOT_ALLOWED)


def test_a_key_in_the_query_is_kept_apart() -> None:
    route = match("POST", f"/v1beta/models/{GEMINI}:streamGenerateContent?alt=sse&key=sg_agent_x")
    assert (route.query, route.keys) == ({"alt": "sse"}, ("sg_agent_x",))
    assert "sg_agent_x" not in repr(route)
    listed = match("GET", "/v1beta/models?pageSize=5&pageToken=10&key=k")
    assert (listed.query, listed.keys) == ({"pageSize": "5", "pageToken": "10"}, ("k",))


@pytest.mark.parametrize(
    ("verb", "query"),
    [
        ("generateContent", "alt=sse"),
        ("countTokens", "alt=sse"),
        ("streamGenerateContent", "alt=proto"),
        ("streamGenerateContent", "alt=media"),
        ("streamGenerateContent", "alt=sse&alt=sse"),
        ("streamGenerateContent", "%24alt=sse"),
        ("generateContent", "$httpMethod=DELETE"),
        ("generateContent", "$httpHeaders=x"),
        ("generateContent", "key=a&key=b"),
        ("generateContent", "access_token=x"),
        ("generateContent", "pageSize=1"),
        ("generateContent", "fields=x"),
    ],
)
def test_googles_query_is_an_allow_list(verb: str, query: str) -> None:
    with pytest.raises(SpendGuardError) as refused:
        match("POST", f"/v1beta/models/{GEMINI}:{verb}?{query}")
    assert refused.value.code is Code.MALFORMED_REQUEST


def test_a_key_in_the_query_is_googles_alone() -> None:
    """Elsewhere it is not only refused: whoever moved from Google's SDK is told where it goes."""
    for target in ("/v1/chat/completions?key=k", "/v1/messages?key=k&beta=true", "/v1/agents?key=k"):
        with pytest.raises(SpendGuardError, match="on Google's routes only: send it as Authorization: Bea"):
            match("POST", target)
    with pytest.raises(SpendGuardError, match="Malformed request: query: expected none"):
        match("POST", f"/v1beta/models/{GEMINI}:generateContent?key=k&key=l")


@pytest.mark.parametrize("provider", COUNTS)
def test_count_routes_have_the_same_roots(provider: str) -> None:
    for front, named, agent, run in fronts(provider):
        for endpoint, tail in COUNTS[provider].items():
            route = match("POST", f"{front}/{endpoint}/{tail}")
            assert (route.name, route.endpoint, route.speaker) == ("count", endpoint, provider)
            assert (route.provider, route.agent_id, route.run_id) == (named, agent, run)
            with pytest.raises(SpendGuardError) as refused:
                match("GET", f"{front}/{endpoint}/{tail}")
            assert refused.value.facts["allow"] == ["POST"]


@pytest.mark.parametrize("provider", ENDPOINTS)
def test_lists_of_models_have_the_same_roots(provider: str) -> None:
    for front, named, agent, _ in fronts(provider):
        listed, one = match("GET", f"{front}/models"), match("GET", f"{front}/models/gpt-4o:x_1")
        assert (listed.name, listed.provider, listed.agent_id) == ("models", named, agent)
        assert (one.name, one.params) == ("model", {"model": "gpt-4o:x_1"})
        with pytest.raises(SpendGuardError) as refused:
            match("POST", f"{front}/models")
        assert refused.value.facts["allow"] == ["GET"]


@pytest.mark.parametrize(("provider", "endpoint"), [("openai", "messages"), ("anthropic", "responses")])
def test_an_endpoint_is_its_providers_own(provider: str, endpoint: str) -> None:
    for front in (f"/{provider}/v1", f"{RUN}/{provider}", "/mock/v1"):
        with pytest.raises(SpendGuardError) as refused:
            match("POST", f"{front}/{endpoint}")
        assert refused.value.code is Code.ROUTE_NOT_FOUND


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
        "/v1/responses/compact",
        "/v1/responses/resp_1",
        "/mock/v1/responses/input_tokens",
        "/v1/batches",
        "/v1/images/generations",
        "/azure/v1/chat/completions",
        "/grok/v1/embeddings",
        "/grok/v1/responses/input_tokens",
        "/anthropic/messages",
        "/anthropic/v1/messages/batches",
        "/v1/messages/count_tokens/x",
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


@pytest.mark.parametrize("query", ["beta=true", "client_version=0.169.0", "limit=5&beta=true"])
def test_what_clients_add_to_a_question_about_models_passes(query: str) -> None:
    """Older SDKs of Anthropic mark their beta side; Codex names itself."""
    assert match("GET", f"/v1/models?{query}").name == "models"
    if "limit" not in query:
        assert match("GET", f"/v1/models/gpt-5?{query}").name == "model"


@pytest.mark.parametrize(("query", "taken"), [("beta=true", True), ("beta=false", False), ("beta", False)])
def test_only_messages_take_the_beta_mark(query: str, taken: bool) -> None:
    """Anthropic's SDKs send it; nowhere else does it mean anything."""
    for target in ("/v1/messages", "/anthropic/v1/messages/count_tokens", f"{RUN}/anthropic/messages"):
        if taken:
            assert match("POST", f"{target}?{query}").query == {"beta": "true"}
            continue
        with pytest.raises(SpendGuardError):
            match("POST", f"{target}?{query}")
    for target in ("/v1/responses", "/v1/chat/completions", "/v1/responses/input_tokens"):
        with pytest.raises(SpendGuardError):
            match("POST", f"{target}?{query}")
    for twice in ("beta=true&beta=true", "beta=true&x=1"):
        with pytest.raises(SpendGuardError):
            match("POST", f"/v1/messages?{twice}")


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
        "refresh_pricing",
        "get_daemon_budget",
        "grant_daemon_budget",
        "top_up_daemon",
        "list_providers",
        "reload_providers",
        "test_provider",
        "shutdown",
    }
    keys = {"list_keys", "create_key", "get_key", "revoke_key", "rotate_key"}
    for pattern, name in control_patterns().items():
        method, path = pattern.split(" ")
        filled = path.replace("{agent}", AGENT).replace("{call}", AGENT).replace("{provider}", "openai")
        filled = filled.replace("{key}", "0123456789abcdef")
        assert match(method, f"/{filled}").name == name
        assert name in OPEN | daemon_routes | keys or callable(getattr(Control, f"_{name}"))


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
