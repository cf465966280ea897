"""The options that give an agent a policy of its own: how its requests are read (design 5.2)."""

from typing import Annotated, Literal

import typer

HostedTools = Annotated[
    Literal["strip", "refuse", "allow"] | None,
    typer.Option(help="Tools that run at the provider: taken out, refused, or allowed a few uses a call."),
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
    typer.Option(metavar="FEATURE", help="Let a feature pass, named as a refusal names it. May be repeated."),
]
Disallow = Annotated[
    list[str] | None, typer.Option(metavar="FEATURE", help="Take back an --allow. May be repeated.")
]


def own_policy(
    hosted_tools: str | None,
    hosted_tool_uses: int | None,
    server_state: str | None,
    exact_count: str | None,
    allow: list[str] | None,
) -> dict[str, object]:
    """Return the part of a body that sets an agent's own policy; nothing where nothing of it was given."""
    policy = given(
        {
            "hosted_tools": hosted_tools,
            "hosted_tool_uses": hosted_tool_uses,
            "server_state": server_state,
            "exact_count": exact_count,
            "allow": allow,
        }
    )
    return {"policy": policy} if policy else {}


def given(wanted: dict[str, object]) -> dict[str, object]:
    """Return the fields that were given a value."""
    return {name: value for name, value in wanted.items() if value is not None}
