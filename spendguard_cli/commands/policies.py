"""The options that give an agent a policy of its own: how its requests are read (design 5.2)."""

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

import typer

from spendguard_cli.output import Output
from spendguard_daemon import features

HostedTools = Annotated[
    Literal["strip", "refuse", "allow"] | None,
    typer.Option(help="Tools that run at the provider: taken out, refused, or allowed a few uses a call."),
]
HostedToolsAgain = Annotated[
    Literal["strip", "refuse", "allow", "inherit"] | None,
    typer.Option(help="The same as for agent create; inherit: as \\[policy] in config.toml has it."),
]
HostedToolUses = Annotated[
    int | None, typer.Option(metavar="N", help="Most uses of each hosted tool in one call, where allowed.")
]
ServerState = Annotated[
    Literal["window", "refuse"] | None,
    typer.Option(help="Input that lies at the provider (earlier responses, files): held dear, or refused."),
]
ExactCount = Annotated[
    Literal["on_deny", "never"] | None,
    typer.Option(help="Whether the provider's free count endpoint is asked before a call is cut or refused."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE",
        help="Let a feature pass, named as a refusal names it. May be repeated, or several with commas.",
    ),
]
OnInsufficient = Annotated[
    Literal["refuse", "wait"] | None,
    typer.Option(help="A call that its budget or a lock refuses: refused at once, or waits for either."),
]
OnInsufficientAgain = Annotated[
    Literal["refuse", "wait", "inherit"] | None,
    typer.Option(help="The same as for agent create; inherit: as \\[policy] has it, with its seconds."),
]
WaitSeconds = Annotated[
    int | None, typer.Option(metavar="N", help="How long such a call waits: 0 to 600 seconds.")
]
INHERIT = "inherit"
Disallow = Annotated[
    list[str] | None,
    typer.Option(metavar="FEATURE", help="Take back an --allow. May be repeated, or several with commas."),
]


def own_policy(
    hosted_tools: str | None,
    hosted_tool_uses: int | None,
    server_state: str | None,
    exact_count: str | None,
    allow: list[str] | None,
    on_insufficient: str | None,
    wait_seconds: int | None,
) -> dict[str, object]:
    """Return the part of a body that sets an agent's own policy; nothing where nothing of it was given."""
    policy: dict[str, object] = given(
        {
            "hosted_tools": hosted_tools,
            "hosted_tool_uses": hosted_tool_uses,
            "server_state": server_state,
            "exact_count": exact_count,
            "allow": allow,
            "on_insufficient": on_insufficient,
            "wait_seconds": wait_seconds,
        }
    )
    if hosted_tools == INHERIT:
        policy["hosted_tools"] = None
    if on_insufficient == INHERIT:
        policy |= {"on_insufficient": None, "wait_seconds": wait_seconds}
    return {"policy": policy} if policy else {}


def split(words: Sequence[str] | None) -> list[str]:
    """Return the features that words of a command line name, each one or several with commas."""
    return [part.strip() for word in words or () for part in word.split(",") if part.strip()]


def warn_unknown(out: Output, wanted: Sequence[str]) -> None:
    """Tell which features nothing in this version asks about; a later one may."""
    for feature in wanted:
        if not features.known(feature):
            near = features.nearest(feature)
            meant = f"; did you mean {near}?" if near else ""
            out.warn(f"{feature} is not a feature that this version knows{meant}")


def warn_absent(out: Output, wanted: Sequence[str], allowed: Collection[str]) -> None:
    """Tell which features were to be taken back, and were never allowed there."""
    for feature in wanted:
        if feature not in allowed:
            out.warn(f"{feature} was not allowed here")


def given(wanted: dict[str, object]) -> dict[str, object]:
    """Return the fields that were given a value."""
    return {name: value for name, value in wanted.items() if value is not None}
