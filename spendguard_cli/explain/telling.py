"""A call that got its hold, step by step, in words and numbers. Pure: what is known in, steps out."""

from collections.abc import Iterator

from spendguard_cli.explain.life import Adjusted, Ended, Held, Life, Money
from spendguard_cli.explain.story import Step
from spendguard_cli.explain.sums import AT_LEAST, DIFFERENT, WORKED_OUT, Sum, cost_sum, hold_sum, rate_usd
from spendguard_daemon.money import format_usd

RUNGS = {
    "bytes": "one token for each byte, which no tokenizer exceeds",
    "local": "counted here with the model's own tokenizer",
    "counted": "counted by the provider, with a margin",
    "window": "the model's whole context window, as less could not be proven",
}

CHANGES = (
    ("max_tool_calls", "how often tools may be used, since each use is billed"),
    ("max", "the output cap, which bounds what the answer can cost"),
    ("stream_options.include_usage", "the provider is asked to report its usage at the end of the stream"),
    ("service_tier", "the service tier, so that no dearer one answers"),
    ("serviceTier", "the service tier, so that no dearer one answers"),
    ("inference_geo", "the place of inference, so that no dearer one is taken"),
    ("n", "the number of choices"),
    ("generationConfig", "the output cap, which bounds what the answer can cost"),
    ("tools", "a tool or its limit, since each use is billed"),
)
"""What a change is for, by the field's name or how that begins."""

_USAGE = {
    "input_tokens": "input",
    "cached_input_tokens": "read from the cache",
    "cache_write_input_tokens": "written to the cache",
    "cache_write_1h_input_tokens": "written to the cache for an hour",
    "output_tokens": "output",
    "reasoning_output_tokens": "reasoning",
}


def steps(life: Life, *, operator: bool, up: bool) -> Iterator[Step]:
    """Yield the life of a call that was not refused.

    `operator`: commands are told, too; `up`: the sidecar runs, so that an open call is in flight.
    """
    yield asked(life, life.held.at if life.held else None)
    held = life.held
    if held is not None:
        yield _bound(held)
        yield _price(life, held)
        yield _hold(held)
    if life.changed or life.sent_at:
        yield _changed(life.changed)
    if life.sent_at is not None:
        yield Step(step="sent", at=life.sent_at, said=_sent(life.ended))
    if life.ended is not None:
        yield from _end(life, life.ended, operator=operator)
    elif held is not None:
        yield _open(life, held, operator=operator, up=up)
    for one in life.adjusted:
        yield _adjusted(one)


def _sent(ended: Ended | None) -> str:
    """Say what a record of sending, which is written before the first byte leaves, has come to."""
    if ended is not None and ended.state == "voided" and ended.http_status is None:
        return "Let go; but nothing of it reached the provider."
    return "On its way to the provider."


def asked(life: Life, at: str | None) -> Step:
    """Say who asked for what."""
    who = life.agent_name or life.agent_id
    of = f" of {life.provider}" if life.provider else ""
    model = f"{life.provider}:{life.model}" if life.provider and life.model else life.model or f"a model{of}"
    what = f"{model} ({life.endpoint})" if life.endpoint else model
    more = [f"agent id {life.agent_id}"]
    if life.keys:
        *above, own = life.keys
        more.append(f"by key {own}" + (f", made from {', from '.join(reversed(above))}" if above else ""))
    run = f", in run {life.run_id}" if life.run_id else ""
    return Step(step="asked", at=at, said=f"Agent {who} asked for {what}{run}.", more=more)


def _bound(held: Held) -> Step:
    rung = RUNGS.get(held.rung, held.rung or "by a rung that the record does not name")
    bound = "not recorded" if held.input_tokens is None else f"at most {held.input_tokens} tokens"
    cap = "not recorded" if held.output_tokens is None else f"at most {held.output_tokens} tokens"
    each = f" for each of {held.choices} choices" if held.choices > 1 else ""
    said = f"Input: {bound} (rung {held.rung or 'unknown'}: {rung}). Output: {cap}{each}."
    return Step(step="bound", at=held.at, said=said, more=_clamped(held))


def _clamped(held: Held) -> list[str]:
    sent, wanted = held.output_tokens, held.asked_output_tokens
    if sent is None or wanted == sent:
        return []
    if not sent:
        return []
    header = f"x-spendguard-max-tokens: asked={'none' if wanted is None else wanted}; sent={sent}"
    if wanted is None:
        why = "The request named no output cap, so one was put in"
    else:
        why = f"The request asked for {wanted} tokens of output, and was clamped"
    if _was_short(held):
        why += "; more did not fit what was free"
    elif wanted is not None:
        why += " to the most that the model gives"
    return [f"{why}.", f"The answer said {header}."]


def _was_short(held: Held) -> bool:
    """Tell whether the money that was free set the cap: one token more for each choice did not fit."""
    out = [rate for name, rate in held.rates.items() if "output" in name and not name.startswith("fee:")]
    if held.money is None or not out:
        return False
    return held.money.available_nusd * 1000 < max(out) * held.choices


def _price(life: Life, held: Held) -> Step:
    signed = f", signed by {life.signer}" if life.signer else ""
    document = held.document_sha256[:12] or "not recorded"
    return Step(
        step="price",
        said=f"Priced by document {document}{signed}; the call is settled at these rates.",
        more=[_rate(name, rate) for name, rate in held.rates.items()],
    )


def _rate(name: str, rate: int) -> str:
    if name.startswith("bp:"):
        return f"{name.removeprefix('bp:')}: tokens cost {rate / 10_000:g} times as much"
    unit = "1,000" if name.startswith("fee:") else "1M tokens"
    name, _, start = name.removeprefix("fee:").partition("@")
    return f"{name}{f', from {start} input tokens' if start else ''}: {rate_usd(rate)} USD per {unit}"


def _hold(held: Held) -> Step:
    made = hold_sum(held)
    more = [] if made is None else _judged(made)
    if held.money is not None:
        now, amount = held.money, held.amount_nusd
        free = now.available_nusd + amount
        more.append(
            f"Before: {_usd(now.funded_nusd)} granted, {_usd(now.settled_nusd)} settled, "
            f"{_usd(now.held_nusd - amount)} held by other calls, {_usd(free)} free."
        )
        more.append(f"After: {_usd(now.held_nusd)} held, {_usd(now.available_nusd)} free.")
    return Step(
        step="held",
        at=held.at,
        said=f"Held {_usd(held.amount_nusd)}: the most that the call can cost.",
        more=more,
        sum=made,
        wrong=made is not None and made.result == DIFFERENT,
    )


def _judged(made: Sum) -> list[str]:
    """Say what computing a sum again has shown, where that is more than that it is equal."""
    if made.result == WORKED_OUT:
        return ["The record does not list all counts; the last one is worked out from what was held."]
    if made.result == AT_LEAST:
        return [f"The record has not all that the hold is made of; this is at least ${made.usd} of it."]
    if made.result == DIFFERENT:
        return [f"Computed again it is ${made.usd}, but the ledger has ${made.ledger_usd}."]
    return []


def _changed(changes: tuple[str, ...]) -> Step:
    if not changes:
        return Step(step="changed", said="Nothing was changed in the request: it left byte for byte.")
    return Step(step="changed", said="Changed in the request:", more=[_why(one) for one in changes])


def _why(change: str) -> str:
    field = change.partition(":")[0]
    for begins, why in CHANGES:
        if field == begins or (len(begins) > 1 and field.startswith(begins)):
            return f"{change} ({why})"
    return change


def _end(life: Life, ended: Ended, *, operator: bool) -> Iterator[Step]:
    answered = _answered(ended)
    if answered is not None:
        yield answered
    hold_nusd = life.held.amount_nusd if life.held else None
    if ended.state == "voided":
        said = f"Charged nothing: {ended.reason or 'it was not billed'}. The hold was dropped."
        yield Step(step="voided", at=ended.at, said=said, more=_after(ended.money))
        return
    if ended.state == "settled_worst":
        yield _at_worst(life, ended, operator=operator)
        return
    made = cost_sum(ended.lines, ended.cost_nusd, life.held.rates if life.held else {})
    more = [] if made is None else _judged(made)
    said = f"Charged {_usd(ended.cost_nusd)} by {ended.reason or 'the reported usage'}"
    if ended.state == "overrun":
        over = "" if hold_nusd is None else f", {_usd(ended.cost_nusd - hold_nusd)} above the hold"
        more.insert(0, "The provider billed more than was held: a bug in our bound. Please report it.")
        said = f"Overrun: charged {_usd(ended.cost_nusd)}{over}"
    elif hold_nusd is not None:
        said += f"; {_usd(hold_nusd - ended.cost_nusd)} of the hold was given back"
    wrong = made is not None and made.result == DIFFERENT
    again = [f"spendguard pricing recompute {life.call_id}"] if wrong and operator else []
    yield Step(
        step=ended.state,
        at=ended.at,
        said=f"{said}.",
        more=[*more, *_after(ended.money)],
        sum=made,
        commands=again,
        wrong=wrong,
    )


def _answered(ended: Ended) -> Step | None:
    if ended.http_status is None:
        return None
    used = [f"{text} {ended.usage[name]}" for name, text in _USAGE.items() if ended.usage.get(name)]
    rest = [f"{name} {count}" for name, count in ended.usage.items() if name not in _USAGE and count]
    told = [f"Usage in tokens: {', '.join([*used, *rest])}."] if used or rest else []
    if told:
        told.append("Input includes what was read from and written to the cache; output includes reasoning.")
    return Step(step="answered", at=ended.at, said=f"The provider answered {ended.http_status}.", more=told)


def _at_worst(life: Life, ended: Ended, *, operator: bool) -> Step:
    corrected = bool(life.adjusted)
    more = ["What the provider billed is not known, so the whole hold was charged."]
    if not corrected:
        more.append("It stays so until a person corrects it by the provider's bill.")
    fix = f"spendguard budget adjust --call {life.call_id} --to <USD> --reason 'the bill'"
    return Step(
        step="settled_worst",
        at=ended.at,
        said=f"Charged {_usd(ended.cost_nusd)}, at worst: {ended.reason or 'the outcome is unknown'}.",
        more=[*more, *_after(ended.money)],
        commands=[] if corrected or not operator else [fix],
    )


def _adjusted(one: Adjusted) -> Step:
    before = "" if one.from_nusd is None else f" from {_usd(one.from_nusd)}"
    by = f" by {one.actor}" if one.actor else ""
    why = f": {one.reason}" if one.reason else ""
    said = f"Adjusted{by}{before} to {_usd(one.to_nusd)}{why}."
    return Step(step="adjusted", at=one.at, said=said)


def _open(life: Life, held: Held, *, operator: bool, up: bool) -> Step:
    if not up:
        said = "It has not ended, and no sidecar is running: at the next start it is charged at its hold."
        return Step(step="in_flight", at=held.at, said=said)
    more = []
    if life.age_seconds is not None:
        until = f"; it is cut at {life.expires_at} at the latest" if life.expires_at else ""
        more.append(f"Held for {life.age_seconds} s{until}.")
    if life.attached is not None:
        there = "is still there" if life.attached else "has left: the answer is read to its usage"
        more.append(f"Its client {there}.")
    if life.idle_seconds is not None:
        more.append(f"The provider has been silent for {life.idle_seconds} s.")
    more.append("Past its deadline, or once the provider is silent for too long, it is charged at its hold.")
    return Step(
        step="in_flight",
        at=held.at,
        said="Still in flight: the hold stays until it ends.",
        more=more,
        commands=[f"spendguard run abort --call {life.call_id}"] if operator else [],
    )


def _after(money: Money | None) -> list[str]:
    if money is None:
        return []
    return [f"After: {_usd(money.settled_nusd)} settled, {_usd(money.available_nusd)} free."]


def _usd(nusd: int) -> str:
    return f"-${format_usd(-nusd)}" if nusd < 0 else f"${format_usd(nusd)}"
