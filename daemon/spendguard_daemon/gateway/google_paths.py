"""Google's paths, in which the model and what is asked of it stand: `models/{model}:generateContent`. Pure.

Owns the tables of verbs and of query parameters; `routes` splits the target and puts the roots together.
Sources: the google-genai SDK 3.6.1, `models.py`; [docs] ai.google.dev/gemini-api/docs/openai.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spendguard_daemon.errors import MalformedError

PROVIDER = "gemini"
VERSION = "v1beta"
"""The version segment that is Google's alone."""

NATIVE = "generateContent"


@dataclass(frozen=True, slots=True)
class Path:
    """What follows the version segment: the kind of route, its endpoint, the model, whether it streams.

    `provider` is set where the path says whose model it is.
    """

    name: str
    endpoint: str
    model: str = ""
    stream: bool = False
    provider: str = ""

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the route."""
        return {"model": self.model} if self.model else {}


VERBS: Mapping[str, Path] = {
    "generateContent": Path("call", NATIVE),
    "streamGenerateContent": Path("call", NATIVE, stream=True),
    "countTokens": Path("count", NATIVE),
    "embedContent": Path("call", "embedContent"),
    "batchEmbedContents": Path("call", "batchEmbedContents"),
}
"""What follows the colon."""

ENDPOINTS = frozenset(path.endpoint for path in VERBS.values())

KEY = "key"
"""The query parameter in which Google's clients may send a key: it may name an agent, and goes nowhere."""

ALT = {True: frozenset({"sse", "json"}), False: frozenset({"json"})}
"""How Google may be asked to answer, of a route that streams and of one that does not."""

PAGE = frozenset({"pageSize", "pageToken"})
COMPATIBLE = "openai/chat/completions"
"""Google's own path for who speaks OpenAI's format."""

_COMPATIBLE = COMPATIBLE.split("/")


def of_verb(rest: list[str]) -> Path | None:
    """Match `models/{model}:{verb}`; a tuned model is one that nobody has a price for."""
    if len(rest) != 2 or rest[0] not in ("models", "tunedModels"):
        return None
    model, _, verb = rest[1].rpartition(":")
    path = VERBS.get(verb)
    if path is None or not model:
        return None
    if rest[0] == "models":
        return replace(path, model=model)
    return replace(path, model=f"tunedModels/{model}") if path.name == "call" else None


def unserved(rest: Sequence[str]) -> str:
    """Return the verb of a path of Google's that is not served; empty where there is none."""
    verb = rest[-1].rpartition(":")[2] if rest and ":" in rest[-1] else ""
    return "" if verb in VERBS else verb


def of_google(rest: list[str], *, version: str, in_run: bool) -> Path | None:
    """Match what follows the version segment (empty where there is none) under a root of Google's."""
    path = of_verb(rest)
    if path is not None:
        return path
    if rest == _COMPATIBLE or (rest == _COMPATIBLE[1:] and version != VERSION):
        return Path("call", "chat/completions", provider=PROVIDER)
    if rest == [NATIVE] and in_run and not version:
        return Path("call", NATIVE)
    if rest == ["models"]:
        return Path("models", NATIVE)
    if len(rest) == 2 and rest[0] == "models" and not unserved(rest):
        return Path("model", NATIVE, model=rest[1])
    return None


def check_query(name: str, named: Mapping[str, str], *, stream: bool) -> None:
    """Refuse query parameters that are on no list, and ways to answer that are not read."""
    allowed = {KEY, "alt"} | (PAGE if name == "models" else frozenset())
    if not named.keys() <= allowed:
        raise MalformedError("query", f"only {', '.join(sorted(allowed))}")
    if named.get("alt", "json") not in ALT[stream]:
        raise MalformedError("query.alt", " or ".join(sorted(ALT[stream])))


def check_no_key(named: Mapping[str, str]) -> None:
    """Refuse a key in the query of a route that is not Google's, and say where it goes."""
    if KEY in named:
        raise MalformedError(
            "query", "no key, which is read there on Google's routes only: send it as Authorization: Bearer"
        )
