"""Who was refused before it was known: bounded, counted together, and never with a key in it."""

import pytest

from sidecar import PROVIDER_KEY
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway.routes import Route, match
from spendguard_daemon.gateway.strangers import (
    KEPT_MAX,
    PROGRAM_LENGTH_MAX,
    SHOWN_MAX,
    Strangers,
    kind,
    program,
)

CHAT = match("POST", "/grok/v1/chat/completions")
MISSING = SpendGuardError(Code.MISSING_AGENT, "Missing x-cynsta-agent-id header")
AGENT_KEY = "sg_agent_0123456789abcdef.0123456789abcdef"

AGENT_ID = "0199a9a6-3c0b-4f57-9a7e-0c9a4f1d2b3c"


class Steps:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000

    def wall_ns(self) -> int:
        self.seconds += 1
        return self.seconds * 10**9

    def monotonic_ns(self) -> int:
        return self.wall_ns()


def test_the_same_again_is_counted_and_comes_first() -> None:
    strangers = Strangers(Steps())
    for agent in ("curl/8.5.0", "OpenAI/Python 1.2", "curl/8.5.0 (x)"):
        strangers.note(MISSING, agent, CHAT, "/grok/v1/chat/completions")
    first, second = strangers.shown()
    assert (first.program, first.count, second.program, second.count) == ("curl/8.5.0", 2, "OpenAI/Python", 1)
    assert (first.code, first.provider, first.endpoint) == ("missing_agent", "grok", "chat/completions")
    assert first.first_at < second.first_at == second.last_at < first.last_at


def test_who_names_itself_is_forgotten_there_and_for_that_alone() -> None:
    strangers = Strangers(Steps())
    assert not strangers
    unknown = SpendGuardError(Code.KEY_UNKNOWN, "Unauthorized: this agent key is not known")
    subscribed = SpendGuardError(Code.SUBSCRIPTION_TOKEN, "Subscription tokens cannot be used here")
    for error in (MISSING, unknown, subscribed):
        strangers.note(error, "curl/8", CHAT, "/grok/v1/chat/completions")
    for who in (("curl/9", "chat/completions"), ("curl/8", "messages")):
        strangers.forget(*who)
        assert len(strangers.shown()) == 3
    strangers.forget("curl/8 again", "chat/completions")
    assert [one.code for one in strangers.shown()] == ["subscription_token"]


@pytest.mark.parametrize(("said", "kept"), [(AGENT_ID, AGENT_ID), (AGENT_KEY, ""), ("", "")])
def test_an_agent_that_was_named_without_its_key_is_known(said: str, kept: str) -> None:
    """By its id alone, whatever else may stand there; other codes tell nobody's name."""
    strangers = Strangers(Steps())
    for code in (Code.AGENT_NOT_FOUND, Code.KEY_REQUIRED):
        strangers.note(SpendGuardError(code, "no", facts={"agent_id": said}), "curl", CHAT, "/")
    assert [one.agent_id for one in strangers.shown()] == [kept, ""]


def test_there_are_never_many() -> None:
    strangers = Strangers(Steps())
    for number in range(3 * KEPT_MAX):
        strangers.note(MISSING, f"program-{number}", CHAT, "/")
    assert len(strangers.shown()) == SHOWN_MAX
    strangers.forget(f"program-{2 * KEPT_MAX - 1}", "chat/completions")
    for number in range(2 * KEPT_MAX, 3 * KEPT_MAX):
        assert strangers
        strangers.forget(f"program-{number}", "chat/completions")
    assert not strangers


@pytest.mark.parametrize(
    "key", [PROVIDER_KEY, AGENT_KEY, f"x {PROVIDER_KEY}", f"a/{AGENT_KEY}\t", "Bearer abc.def"]
)
def test_a_key_is_never_kept(key: str) -> None:
    strangers = Strangers(Steps())
    quoting = SpendGuardError(Code.ROUTE_NOT_FOUND, f"Route not found: {key} is not served")
    strangers.note(quoting, key, Route(""), f"/v1/{key}?key={key}")
    told = repr(strangers.shown()) + repr(vars(strangers))
    assert not [
        part for part in key.replace("x ", "").replace("a/", "").split() if len(part) > 6 and part in told
    ]


def test_a_programs_name_is_short_and_steers_no_terminal() -> None:
    assert program("") == program(" \t") == ""
    assert program("a\x1b[2J\u202eb\udcff/1 c") == "a[2Jb/1"
    assert len(program("x" * 5_000)) == PROGRAM_LENGTH_MAX


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/v1/images/generations", "v1/images/generations"),
        ("/openai/v1/v1/chat/completions?x=y", "v1/v1/chat/completions"),
        ("/v1/files/file-123/content", "v1/files"),
        ("/favicon.ico", "other"),
        ("/", "other"),
        ("http://elsewhere/v1/models", "v1/models"),
        ("*", "other"),
    ],
)
def test_of_a_path_only_known_words_are_kept(target: str, words: str) -> None:
    assert kind(target) == words
