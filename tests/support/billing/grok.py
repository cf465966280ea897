"""xAI, billing all that its documentation lets it (costs.md B2, C1; docs.x.ai/developers/pricing).

What is assumed, beyond the price list: a text costs at most a token for each byte of the longest of raw, NFC
and NFKC, and one more (C1). xAI puts tokens of its own before each request: 130 in recording 38, which says
137 for seven words, and 120 more where there are tools (39, 40); a message costs 4 more. An image is at most
six tiles and one of 256 tokens. In chat the reasoning is beside `completion_tokens`, and what the cap bounds
is the visible output; in responses it bounds both. A request that breaks the usage guidelines costs a fee
beside what it generated. What an earlier response or a file holds is unknown, up to the window. Tools at xAI
take as many rounds as `max_turns` says, in each as many calls as the model likes unless calls are not
parallel; each round reads the context and writes up to the cap.
Functions take the body as it left us, parsed. xAI's own unit, the tick (1e-10 USD), is a tenth of a
nano-USD: rounding to ticks first never changes what is rounded up to nano-USD.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from billing.byte_tokens import FORMS, shown
from billing.worst import UnboundedBillError, Worst, price_list

PRICES = price_list("grok")
WINDOW = 10**12
"""More than any window: what the provider may fill as far as it goes."""

REQUEST, MESSAGE, TOOLS, TOOL = 130, 4, 120, 12
IMAGE = 7 * 256

CHAT_UNBOUNDED = ("web_search_options", "prediction", "deferred")
RESPONSES_UNBOUNDED = ("background", "context_management", "conversation", "prompt", "search_parameters")
MEDIA_PARTS = ("image_url", "input_image")
FILE_PARTS = ("file", "input_file", "item_reference")


def chat(body: Mapping[str, Any]) -> Worst:
    """Return the most that a request to chat completions allows."""
    for name in CHAT_UNBOUNDED:
        if body.get(name):
            raise UnboundedBillError(f"{name}: billed without a bound")
    if (body.get("search_parameters") or {"mode": "off"}).get("mode") != "off":
        raise UnboundedBillError("live search: sources are billed each, without a bound")
    caps = [body[name] for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    if len(caps) != 1:
        raise UnboundedBillError(f"{len(caps)} output caps")
    tools = [*(body.get("tools") or ()), *({"type": "function"} | one for one in body.get("functions") or ())]
    own_tools(tools)
    row, messages = PRICES[body["model"]], body["messages"]
    pieces = [*_leaves(messages), *tools, body.get("response_format"), body.get("tool_choice")]
    choices = 1 if body.get("n") is None else body["n"]
    beside = row["limits"]["context"] if row.get("reasoning") else 0
    return Worst(
        row=row,
        input_tokens=_input(pieces, len(messages), len(tools)),
        output_tokens=(caps[0] + beside) * choices,
        buckets=frozenset({"input", "cache_read"}),
        tiers=tiers(body),
        fees=violation(row),
    )


def responses(body: Mapping[str, Any], *, state_tokens: int | None) -> Worst:
    """Return the most that a request to responses allows; `state_tokens` is what earlier responses hold."""
    for name in RESPONSES_UNBOUNDED:
        if body.get(name):
            raise UnboundedBillError(f"{name}: billed without a bound")
    if body.get("max_output_tokens") is None:
        raise UnboundedBillError("no output cap")
    tools = body.get("tools") or []
    turns, fees = _hosted(tools, body, PRICES[body["model"]])
    items = [body["input"]] if isinstance(body["input"], str) else body["input"]
    pieces = [*_leaves(items), *tools, body.get("instructions"), body.get("text"), body.get("tool_choice")]
    tokens = _input(pieces, len(items) + 1, len(tools))
    if body.get("previous_response_id") is not None:
        tokens = WINDOW if state_tokens is None else tokens + state_tokens
    row = PRICES[body["model"]]
    return Worst(
        row=row,
        input_tokens=WINDOW if turns else tokens,
        output_tokens=body["max_output_tokens"] * (1 + turns),
        buckets=frozenset({"input", "cache_read"}),
        tiers=tiers(body),
        passes=1 + turns,
        fees=(*fees, *violation(row)),
    )


def own_tools(tools: list[Any]) -> None:
    """Refuse tools that run at xAI: its model decides alone how often it calls them."""
    hosted = sorted({str(tool.get("type")) for tool in tools} - {"function"})
    if hosted:
        raise UnboundedBillError(f"{hosted} have no limit of calls")


HOSTED = {
    "web_search": "web_search",
    "x_search": "x_search",
    "code_interpreter": "code_execution",
    "code_execution": "code_execution",
    "file_search": "file_search",
}
"""Tools at xAI, and the fee that each call of one costs."""


def _hosted(
    tools: list[Any], body: Mapping[str, Any], row: Mapping[str, Any]
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return how many rounds tools at xAI may take, and the dearest fees of that."""
    hosted = {str(tool.get("type")) for tool in tools} - {"function"}
    if not hosted:
        return 0, ()
    turns = body.get("max_turns")
    if type(turns) is not int or body.get("parallel_tool_calls") is not False:
        raise UnboundedBillError(f"{sorted(hosted)} have no limit of calls")
    if not hosted <= HOSTED.keys():
        raise UnboundedBillError(f"{sorted(hosted)} have no published fee")
    return turns, ((max(row["fees"][HOSTED[kind]] for kind in hosted), turns),)


def tiers(body: Mapping[str, Any]) -> frozenset[str]:
    """Return the tiers that may serve: the ordinary one, and what is asked for."""
    asked = body.get("service_tier")
    return frozenset({"default"} if asked in (None, "auto", "default") else {"default", asked})


def violation(row: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return the fee of a request that breaks the guidelines, which may be charged beside the tokens."""
    fee = row.get("fees", {}).get("violation")
    return () if fee is None else ((fee, 1),)


def _input(pieces: list[Any], messages: int, tools: int) -> int:
    if any(_kind(piece) in FILE_PARTS for piece in pieces):
        return WINDOW
    images = sum(_kind(piece) in MEDIA_PARTS for piece in pieces)
    text = [piece for piece in pieces if piece and _kind(piece) not in MEDIA_PARTS]
    framing = REQUEST + MESSAGE * messages + (TOOLS if tools else 0) + TOOL * tools
    return framing + images * IMAGE + max(sum(shown(one, form) for one in text) for form in FORMS)


def _kind(piece: object) -> object:
    return piece.get("type") if isinstance(piece, dict) else None


def _leaves(items: list[Any]) -> Iterator[Any]:
    """Yield the parts of all messages and items, and what else is in them."""
    for item in items:
        content = item.get("content", item.get("output")) if isinstance(item, dict) else None
        if isinstance(content, list):
            yield from content
            yield {k: v for k, v in item.items() if v is not content and k != "role"}
        else:
            yield item
