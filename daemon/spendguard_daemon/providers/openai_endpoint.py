"""What OpenAI's endpoints share: fields at the top, the model, the cap, the service tier, keys and errors.

Owns nothing that only one endpoint has. Does no I/O and knows no prices.
"""

import json
from collections.abc import Mapping, Sequence

from spendguard_daemon.errors import Fact, MalformedError
from spendguard_daemon.providers import openai_errors, splice, tokens
from spendguard_daemon.providers.contract import AnswerReader, Asked, CountQuestion, Request
from spendguard_daemon.providers.fields import Field, Use
from spendguard_daemon.providers.json_text import Document, Json, join_path, kind_of
from spendguard_daemon.providers.openai_fields import SERVICE_TIERS
from spendguard_daemon.providers.openai_parts import check_ttl, feature
from spendguard_daemon.providers.policy import Policy
from spendguard_daemon.providers.refusals import HOSTED_TOOLS_STRIP, unbounded, unlisted
from spendguard_daemon.usage import InputBound

OUTPUT_TOKENS_MAX = 2**31 - 1
MODEL_CHARACTERS_MAX = 200

BROUGHT_BACK = (
    "content-type",
    "content-encoding",
    "x-request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-processing-ms",
    "openai-version",
    "x-ratelimit-",
)
"""The headers of OpenAI's answers that a client may see: not among them cookies, organisation or project."""

_ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
}

Change = tuple[splice.Edit, str]
"""An edit of the outgoing text, and what a person is told of it."""


class Endpoint:
    """What of `contract.Format` is the same for each endpoint of OpenAI, also where others speak it."""

    brought_back: tuple[str, ...] = BROUGHT_BACK

    def auth(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the header that carries the operator's key."""
        return (("authorization", f"Bearer {key}"),)

    def count_question(self, _asked: Asked, _request: Request) -> CountQuestion | None:
        """Return nothing: the count endpoint takes the shape of `responses` only (costs.md C4)."""
        return None

    def count_bound(self, _request: Request, _status: int, _body: bytes) -> InputBound | None:
        """Return nothing: nothing was asked."""
        return None

    def floor_output_tokens(self, request: Request, *, output_tokens_min: int, reasoning: bool) -> int:
        """Return the smallest cap that a clamp may reach (design 5.3); never above what was asked."""
        return request.floor(output_tokens_min, reasoning=reasoning)

    def errors(self, encoding: str) -> AnswerReader:
        """Return the reader of an answer that is no success."""
        return openai_errors.reader(encoding)

    def error_reader(self, status: int, encoding: str) -> AnswerReader | None:
        """Return the reader of an answer that is no success, None for one that is."""
        return None if 200 <= status < 300 else self.errors(encoding)

    def error_body(self, status: int, code: str, detail: str, spendguard: Mapping[str, Fact]) -> bytes:
        """Return an error of ours in OpenAI's shape; ASCII, so no text of a client can break it."""
        kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        error = {"message": detail, "type": kind, "param": spendguard.get("path"), "code": code}
        return json.dumps({"error": error, "detail": detail, "spendguard": dict(spendguard)}).encode()


def check_fields(document: Document, known: Mapping[str, Field], api: str, policy: Policy) -> None:
    """Refuse fields that are on no list, that have no bound, or that are of another type."""
    for name, member in document.members.items():
        shown = join_path("", name)
        entry = known.get(name)
        if entry is None:
            wanted = feature(api, "field", name)
            if wanted not in policy.allow:
                raise unlisted(shown, f"a field of {api} that can be priced", wanted)
            continue
        if member.value is None:
            continue
        if entry.use is Use.REFUSED:
            raise unbounded(name, feature(api, "field", name))
        if kind_of(member.value) not in entry.kinds:
            raise MalformedError(name, " or ".join(entry.kinds))


def search_edits(
    document: Document, searches: Sequence[str], api: str, policy: Policy
) -> tuple[list[splice.Edit], tuple[str, ...]]:
    """Return the edits that leave out the fields by which a provider searches, and the features so left out.

    Raises UNBOUNDED_FEATURE where the policy is not to strip: no field limits how often it does.
    """
    asked = [name for name in searches if document.value(name) is not None]
    names = tuple(feature(api, "field", name) for name in asked)
    if asked and policy.hosted_tools != "strip":
        raise unbounded(asked[0], names[0], setting=HOSTED_TOOLS_STRIP)
    return splice.remove_members(document, asked) if asked else [], names


def billed_names(document: Document, known: Mapping[str, Field]) -> list[str]:
    """Return the members whose bytes count as input: also those that only an operator has let through."""
    return [name for name in document.members if name not in known or known[name].use is Use.INPUT]


def billed_bytes(document: Document, known: Mapping[str, Field], *, normalised: bool = False) -> int:
    """Return the bytes that may be billed as input, of the values as they are now.

    `normalised` is for tokenizers that nobody knows here, which may normalise the text first.
    """
    members = (document.members[name] for name in billed_names(document, known))
    count = tokens.normalised_input_bytes if normalised else tokens.input_bytes
    return count(member for member in members if member.value is not None)


def read_model(document: Document) -> str:
    """Return the model's name."""
    model = document.value("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARACTERS_MAX or not model.isprintable():
        raise MalformedError("model", f"1 to {MODEL_CHARACTERS_MAX} printable characters")
    return model


def read_tier(document: Document, tiers: Mapping[str, str] = SERVICE_TIERS) -> str:
    """Return the service tier by which the card bills what was asked; what is open becomes `default`."""
    tier = document.value("service_tier") or "auto"
    if tier not in tiers:
        raise MalformedError("service_tier", "one of " + ", ".join(sorted(tiers)))
    return tiers[tier]


def read_cache_options(document: Document) -> bool:
    """Tell whether the request asks for implicit cache writes; refuse a lifetime that has no rate."""
    options = document.value("prompt_cache_options") or {}
    check_ttl(options, "prompt_cache_options")
    return bool(options) and options.get("mode") != "explicit"


def within(value: Json, path: str, least: int, most: int) -> int:
    """Return an integer within its range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise MalformedError(path, f"an integer from {least} to {most}")
    return value


def set_cap(request: Request, output_tokens: int, name: str, old_name: str | None = None) -> Change | None:
    """Return the change that holds the request to so many tokens, in the client's own field or in `name`.

    Raises ValueError where that would raise the client's own cap: no change may cost the user more.
    """
    document, asked = request.document, request.asked_output_tokens
    if not 1 <= output_tokens <= (asked or OUTPUT_TOKENS_MAX):
        raise ValueError(f"a cap of {output_tokens} where {asked} was asked")
    if asked == output_tokens:
        return None
    if request.asked_field is not None:
        edit = splice.set_member(document, request.asked_field, str(output_tokens))
        return edit, f"{request.asked_field}: {asked} -> {output_tokens}"
    if old_name in document.members and name not in document.members:
        # `"max_tokens": null`: the cap takes its place, so that no reader can see two.
        edit = splice.replace_member(document, str(old_name), name, str(output_tokens))
    else:
        edit = splice.set_member(document, name, str(output_tokens))
    return edit, f"{name}: none -> {output_tokens}"


def set_tier(request: Request, plain: str | None = "default", *, unasked: bool = True) -> Change | None:
    """Return the change that pins the default tier, where no other was asked for by name.

    `plain` is what the provider calls it, None where saying nothing is the only sure word for it. Without
    `unasked` a request that says nothing is left alone.
    """
    tier = request.document.value("service_tier")
    if request.service_tier != "default" or tier == plain or (tier is None and not unasked):
        return None
    if plain is None:
        (edit,) = splice.remove_members(request.document, ("service_tier",))
        return edit, f"service_tier: {tier} -> none"
    edit = splice.set_member(request.document, "service_tier", f'"{plain}"')
    return edit, f"service_tier: {tier or 'none'} -> {plain}"
