"""Write `references/error-playbook.md`: the table of codes as a page for people, and for the agents they run.

Owns the words around the table, and what the fields of a refusal mean. The page is made by `page`, which is
pure; a test holds the file to it, byte for byte.

    python scripts/build_playbook.py
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path

from spendguard_daemon.codes import TABLE, Entry, Money
from spendguard_daemon.errors import Code

PLAYBOOK = Path(__file__).parents[1] / "references" / "error-playbook.md"

COMMAND = re.compile(r"spendguard [^,;:]+")
"""In the table a command ends where its clause does, so none has one of these signs in it."""

_MARKED = re.compile(r"(?<!`)(?:\S*<[a-z_]+>\S*[^\s.,;:`]|--[a-z]+)")

OWN = frozenset(
    {
        Code.LEDGER_LOCKED,
        Code.LEDGER_NEWER,
        Code.HOME_UNSAFE,
        Code.PORT_TAKEN,
        Code.USAGE,
        Code.NO_DAEMON,
        Code.UNPROVEN_DAEMON,
        Code.AMBIGUOUS_NAME,
        Code.NOT_ALLOWED,
        Code.EXEC_FAILED,
    }
)
"""Codes that no HTTP answer bears: the command line says them, or the daemon that cannot start."""

FIELDS: tuple[tuple[str, str], ...] = (
    ("code", "which entry of this page it is; the sentence may change, the code does not"),
    ("remedy", "what the program that called may do about it; never a command that raises money"),
    ("call_id", "the call, for `spendguard explain <call>`; also in the header `x-spendguard-call-id`"),
    ("agent_id", "the agent"),
    ("run_id", "the run"),
    ("provider", "whose model it is"),
    ("model", "the model's name on the price card"),
    ("charged_usd", "what the call was charged; `0` in every refusal that nothing was forwarded for"),
    ("budget", "whose numbers these are: `agent`, `key` or `daemon`"),
    ("key_id", "which key's, where it is a key's"),
    ("worst_case_usd", "the most that this call, as it was asked for, can cost"),
    ("input_usd", "its input: `input_tokens_bound` at the input's rate"),
    ("output_usd", "its output: `output_tokens` at the output's rate"),
    ("fees_usd", "its fees. The three are exact; their sum is rounded up once, to nano-dollars"),
    ("tools_usd", "how much of the worst case is for tools that run at the provider"),
    ("input_tokens_bound", "the most input tokens that it can be billed for"),
    ("rung", "how that was found: `bytes`, `local` (counted here), `counted` (by the provider), `window`"),
    ("output_tokens", "the output tokens of the sum: all choices, and what may be billed beside the cap"),
    ("choices", "how many answers it asked for"),
    ("rates", "the rates of the sum, in words"),
    ("asked_output_tokens", "the output cap that the request named, null if it named none"),
    ("floor_output_tokens", "the smallest cap that the call may be clamped to"),
    ("limit_usd", "the limit of that budget"),
    ("remaining_usd", "granted minus spent"),
    ("held_usd", "set aside for calls in flight"),
    ("available_usd", "remaining minus held: what a new call may hold"),
    ("held_by", "which runs of the same agent hold it"),
    ("needed_usd", "the least that must be free for this call to be admitted, clamped as far as may be"),
    ("short_usd", "how much is lacking for all that it asks for"),
    ("affordable_max_tokens", "the largest output cap that fits what remains; 0: none does"),
    ("cheaper_model", "the cheapest model of the provider that the same body would be admitted for now"),
    ("cheaper_model_usd", "the most that it can cost there"),
    ("locked_run_id", "the run that has the agent's lock"),
    ("locked_calls", "how many calls it has in flight; 0: the lock is kept for the run that is next"),
    ("locked_age_seconds", "for how long it has had the lock"),
    ("locked_expires_at", "when the lock ends by itself at the very latest; as a rule it ends long before"),
    ("next_run_id", "the run that is let in next, null if none waits"),
    ("waited_seconds", "how long this run has tried"),
    ("worth_waiting", "whether another try soon may help; what `x-should-retry` says"),
    ("retry_after_ms", "when to try again"),
    ("limit", "which setting of `[limits]` was reached"),
    ("limit_value", "how much that allows"),
    ("path", "the field of the request, or the header, that is in the way"),
    ("expected", "what was expected there"),
    ("feature", "the feature whose cost has no bound, or that is not known here"),
    ("dimension", "the rate that the model's card lacks"),
    ("setting", "the setting by which an operator lets it through"),
    ("agent_setting", "the same as a command, where the agent has that setting of its own"),
    ("near_models", "priced names that the unknown one is like"),
    ("allowed", "the models that a key may call"),
    ("first_call_id", "the call that an Idempotency-Key stands for"),
    ("cost_usd", "what that first call cost"),
    ("reason", "why the agent is frozen"),
    ("hold_usd", "what was held for the call that failed"),
    ("affordable", "whether the same call could be held once more"),
    ("provider_status", "the provider's own status"),
    ("free_bytes", "room on the ledger's disk"),
    ("needed_bytes", "room that it needs"),
)
"""What stands in a refusal's `spendguard` object, where it applies."""

WAIT = (
    "how long to wait. Beside `x-should-retry: false` it is `1000`, and no invitation: some programs try "
    "again at any failure, whatever they are told, and would double their wait to minutes without it"
)

HEADERS: tuple[tuple[str, str], ...] = (
    ("x-should-retry", "`true`: the same request may pass in a moment. `false`: it will not; do not loop"),
    ("retry-after-ms", WAIT),
    ("retry-after", "the same in whole seconds, never more than 60; only where another try may help"),
    ("x-spendguard-source", "`spendguard`: this answer is ours. `provider`: it was passed on as it came"),
    ("x-spendguard-call-id", "the call, for `spendguard explain <call>`"),
    ("x-spendguard-held-usd", "what was held for it, where it had a hold"),
    ("x-spendguard-cost-usd", "what it was charged, where that is known before the answer begins"),
    ("x-spendguard-remaining-cents", "what remains to the agent after it, rounded down"),
    ("x-spendguard-max-tokens", "`asked=...; sent=...`, where the output cap was changed"),
    ("x-spendguard-stripped", "the hosted tools that were taken out of the request"),
)

INTRODUCTION = """\
# Error playbook

Every refusal and failure that SpendGuard utters: what it means, what it did to the money, and what to do
next. This page is made from the table in `codes.py` by `python scripts/build_playbook.py`; a test holds the
two together.

## In a minute

For the operator. The first command says what is wrong now; the next four explain one kind of failure by the
numbers in the ledger.

```sh
spendguard doctor
spendguard doctor 402 --agent my-agent      # short of money: the sum, who holds it, the command that mends it
spendguard doctor 409 --agent my-agent      # locked: which run, since when, how to get out of its way
spendguard doctor 400 --agent my-agent      # refused as it stands: the field, and the setting that allows it
spendguard doctor signature                 # prices that cannot be trusted: which check failed, and why
spendguard explain last --agent my-agent    # one call from its bound to its bill, refused ones too
spendguard status                           # the sidecar, all agents, the prices, at a glance
```

With the body of a refusal at hand, give it to `spendguard doctor -` on standard input.

## How to read a refusal

A refusal has the error shape of the provider whose route was called, so that every SDK shows its sentence.
Beside it stand `detail`, the same sentence, and `spendguard`, the numbers. The sentence begins with the title
of its entry below. Amounts are exact decimals of US dollars.
"""

OWN_INTRODUCTION = """\
No HTTP answer bears these: the command line says them on stderr, with the exit code, or the daemon does that
cannot start.
"""


def page() -> str:
    """Return the whole page."""
    over_http = [code for code in TABLE if code not in OWN]
    statuses = sorted({TABLE[code].status for code in over_http})
    parts = [INTRODUCTION, *_table("field of `spendguard`", FIELDS), "", *_table("header", HEADERS), ""]
    for status in statuses:
        parts += [f"## {status} {HTTPStatus(status).phrase}", ""]
        parts += _entries(code for code in over_http if TABLE[code].status == status)
    parts += ["## On the command line, and at the start", "", OWN_INTRODUCTION]
    parts += _entries(code for code in TABLE if code in OWN)
    return "\n".join(parts).rstrip("\n") + "\n"


def _table(name: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"| {name} | meaning |"
    yield "| --- | --- |"
    yield from (f"| `{field}` | {meaning} |" for field, meaning in rows)


def _entries(codes: Iterable[Code]) -> Iterator[str]:
    for code in codes:
        entry = TABLE[code]
        yield f"### `{code.value}`: {entry.title}"
        yield ""
        yield f"- **Cause.** {_prose(entry.cause)}"
        yield f"- **Money.** {_sentence(_money(code, entry))}"
        yield f"- **Agent.** {_prose(entry.agent_remedy)}"
        yield f"- **Operator.** {_sentence(_prose(entry.operator_remedy))}"
        told = "" if code in OWN else f" · headers: {_headers(entry)}"
        yield f"- Exit code {int(entry.exit)}{told}"
        yield ""


def _money(code: Code, entry: Entry) -> str:
    if code in OWN and entry.money is Money.NOTHING:
        return "no call was made"
    return _prose(entry.money.value)


def _headers(entry: Entry) -> str:
    if entry.retry is None:
        return (
            "`x-should-retry: true` where another try may help, with `retry-after-ms` where the body has "
            "`retry_after_ms`; else `x-should-retry: false`, `retry-after-ms: 1000`"
        )
    if entry.retry:
        return "`x-should-retry: true`, and `retry-after-ms` where the body has `retry_after_ms`"
    return "`x-should-retry: false`, `retry-after-ms: 1000`"


def _prose(text: str) -> str:
    """Put what is typed into marks, commands as a whole."""
    pieces, at = list[str](), 0
    for found in COMMAND.finditer(text):
        command = found[0].rstrip(". ")
        pieces += [_marked(text[at : found.start()]), f"`{command}`"]
        at = found.start() + len(command)
    return "".join([*pieces, _marked(text[at:])])


def _marked(text: str) -> str:
    return _MARKED.sub(lambda found: f"`{found[0]}`", text)


def _sentence(text: str) -> str:
    first = text if text.startswith("`") else text[0].upper() + text[1:]
    return first if first.endswith(".") else f"{first}."


if __name__ == "__main__":
    PLAYBOOK.write_text(page(), encoding="utf-8")
