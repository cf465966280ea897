"""`agent key|mint`: what a program sends in place of a provider's key."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from spendguard_cli.amounts import amount, cents
from spendguard_cli.commands.agents import EXITS, Agent, AgentOption, named
from spendguard_cli.commands.freezing import app
from spendguard_cli.commands.policies import given
from spendguard_cli.output import Form
from spendguard_cli.render import count
from spendguard_cli.session import Session
from spendguard_cli.spans import span_seconds
from spendguard_cli.verbs import switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_daemon import wire

__all__ = ["app"]

KEY_VARIABLE = "SPENDGUARD_AGENT_KEY"
KEY_DAYS_MAX = 3650
STDIN_CHARACTERS_MAX = 64 * 1024
NS_PER_SECOND = 1_000_000_000

Limit = Annotated[
    str | None,
    typer.Option("--limit", metavar="AMOUNT", help="The most it may ever spend: 500, '$5' or 5usd."),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="PATTERN", help="A model it may call: gpt-4o-mini, 'openai/*'. May be repeated."
    ),
]
Label = Annotated[str | None, typer.Option(metavar="TEXT", help="Whose it is, up to 100 plain characters.")]


@verb(
    app,
    "key",
    examples=(
        "spendguard agent key my-agent",
        "spendguard agent key my-agent --limit 500 --expires 7d --label ci",
        "spendguard agent key my-agent --model 'openai/*' --model 'claude-sonnet-*'",
        "spendguard agent key my-agent --list",
        "spendguard agent key my-agent --list --all",
        "spendguard agent key my-agent --rotate 8c1f0a77d2b94e10",
        "spendguard agent key --agent my-agent --revoke 8c1f0a77d2b94e10",
    ),
    exits=EXITS,
)
def key(
    session: Session,
    *,
    agent: Agent = None,
    agent_option: AgentOption = None,
    limit: Limit = None,
    model: Model = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="For how long it is good: 24h, 7d, 30m. Else for ever.")
    ] = None,
    label: Label = None,
    list_: Annotated[bool, switch("--list", help_text="Show the agent's live keys instead.")] = False,
    all_: Annotated[
        bool, switch("--all", help_text="With --list: those too that were revoked or have expired.")
    ] = False,
    rotate: Annotated[
        str | None, typer.Option(metavar="KEY_ID", help="Give a key another secret; the old one ends now.")
    ] = None,
    revoke: Annotated[
        str | None, typer.Option(metavar="KEY_ID", help="End a key, and all that were made from it.")
    ] = None,
) -> None:
    """Make a key for an agent, and show it once.

    It goes where an SDK takes its provider's key. From then on the agent's id alone is refused, also when no
    key is left; agent set --no-needs-key lets it in again. What its holder makes from it with agent mint is
    never wider, and counts on it.
    """
    narrowing: dict[str, object] = {"limit": limit, "model": model, "expires": expires, "label": label}
    _check_one(rotate, revoke, list_=list_, narrowing=given(narrowing))
    if list_:
        _list(session, session.control.keys(session.agent_id(named(agent, agent_option))), whole=all_)
        return
    if all_:
        raise SpendGuardError(
            Code.USAGE, "--all goes with --list", remedy="spendguard agent key <agent> --list --all"
        )
    session.operator_only("agent key")
    ref = named(agent, agent_option)
    body: dict[str, object] = {
        "label": label,
        "limit_cents": None if limit is None else cents("--limit", limit),
        "expires_in_seconds": None
        if expires is None
        else span_seconds("--expires", expires, days_max=KEY_DAYS_MAX),
        "models": model or None,
    }
    agent_id = session.agent_id(ref)
    if revoke is not None:
        _revoke(session, agent_id, revoke)
    elif rotate is not None:
        _show_once(session, session.control.rotate_key(agent_id, rotate))
    else:
        needed_one = session.control.agent(agent_id).needs_key
        _show_once(session, session.control.create_key(agent_id, given(body)))
        if not needed_one:
            session.out.say(
                "calls of this agent with only its id are refused from now on, also when no key is left; "
                f"spendguard agent set {agent_id} --no-needs-key lets them in again"
            )


@verb(
    app,
    "mint",
    examples=(
        "printenv SPENDGUARD_AGENT_KEY | spendguard agent mint --limit 50",
        "spendguard agent mint --limit 50 --model 'gpt-4o-mini' --expires 30m --label reviewer",
    ),
    exits=(Exit.USAGE,),
)
def mint(
    session: Session,
    *,
    limit: Limit = None,
    model: Model = None,
    expires: Annotated[
        str, typer.Option(metavar="TIME", help="For how long it is good, at most 30d: 24h, 30m.")
    ] = "24h",
    label: Label = None,
) -> None:
    """Make a narrower key from another one, without the sidecar.

    The key to make it from is read from stdin, or from SPENDGUARD_AGENT_KEY. The new one may spend what
    both allow, and what it spends counts on every key above it.
    """
    from spendguard_cli import minting
    from spendguard_daemon.agent_keys import SEED_BYTES, Caveats
    from spendguard_daemon.system import SystemClock, SystemRng

    seconds = span_seconds("--expires", expires, days_max=minting.CHILD_DAYS_MAX)
    limit_nusd = None if limit is None else amount("--limit", limit)
    token, parent = minting.read_parent(_parent_key(session))
    expires_ns = (SystemClock().wall_ns() // NS_PER_SECOND + seconds) * NS_PER_SECOND
    caveats = Caveats(limit_nusd, expires_ns, None if model is None else tuple(model), label or "")
    made = minting.minted(token, caveats, SystemRng().token(SEED_BYTES))
    session.out.show(made)
    for sentence in minting.without_effect(parent, caveats):
        session.out.warn(sentence)


def _list(session: Session, keys: "list[wire.AgentKey]", *, whole: bool) -> None:
    """Show the keys that are good, or all, and tell how many were left out; JSON has every key."""
    ended = {one.key_id for one in keys if one.revoked or one.expired}
    for one in keys:  # parents stand before what was made from them, and end it when they end
        if one.parent_id in ended:
            ended.add(one.key_id)
    live = [one for one in keys if one.key_id not in ended]
    hidden = 0 if whole or session.out.form is Form.JSON else len(keys) - len(live)
    session.out.show(live if hidden else keys)
    if hidden:
        session.out.say(f"{count(hidden, 'key')} revoked or expired: --list --all shows them too")


def _revoke(session: Session, agent_id: str, key_id: str) -> None:
    """End a key; say so where that leaves the agent without one and in need of it."""
    control = session.control
    before = control.agent(agent_id).keys
    session.out.show(control.revoke_key(agent_id, key_id))
    after = control.agent(agent_id)
    if before and not after.keys and after.needs_key:
        session.out.say("that was its last key, and its id alone stays refused: nobody can call for it now")
        session.out.advise(f"spendguard agent key {agent_id}")


def _show_once(session: Session, made: "wire.KeyMade") -> None:
    """Show a key with its secret; a person is also told where it is good."""
    if not session.out.is_terminal:
        session.out.show(made)
        return
    from spendguard_cli import shapes

    control = session.control
    agents_url = control.status().agents_url
    shown = shapes.KeyShown(made=made, base_url=agents_url or control.base_url, for_agents=bool(agents_url))
    session.out.show(made, on_terminal=shown)


def _check_one(rotate: str | None, revoke: str | None, *, list_: bool, narrowing: dict[str, object]) -> None:
    """Raise USAGE where more than one thing is asked for."""
    asked = [
        option
        for option, wanted in (
            ("--list", list_),
            ("--rotate", rotate is not None),
            ("--revoke", revoke is not None),
        )
        if wanted
    ]
    extra = [f"--{name}" for name in narrowing] if asked else []
    if len(asked) > 1 or extra:
        raise SpendGuardError(
            Code.USAGE,
            f"{' and '.join([*asked, *extra])} do not go together",
            remedy="list, rotate, revoke or make a key, one at a time",
        )


def _parent_key(session: Session) -> str:
    """Return the key to mint from: what stands on stdin, else in the environment."""
    text = "" if sys.stdin.isatty() else sys.stdin.read(STDIN_CHARACTERS_MAX)
    return text if text.strip() else session.env.get(KEY_VARIABLE, "")
