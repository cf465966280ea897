"""`config show|set|unset|allow`: every setting with its origin, and the one careful way to change it."""

from typing import Annotated

import typer

from spendguard_cli.commands import policies
from spendguard_cli.session import Session
from spendguard_cli.verbs import group, switch, verb
from spendguard_daemon.codes import Exit
from spendguard_daemon.errors import Code, SpendGuardError

app = group("Settings: what they are, where they come from, how to change them.")


@verb(app, "show", examples=("spendguard config show", "spendguard config show --json"), exits=(Exit.USAGE,))
def show(session: Session) -> None:
    """List every setting.

    With its value, its origin and what it is for. Keys and tokens are no settings.
    """
    from spendguard_cli import tomlfiles

    session.local_only("config show")
    session.out.show(tomlfiles.show(session.connection.home, session.env))


@verb(
    app,
    "set",
    examples=(
        "spendguard config set policy.overflow refuse",
        "spendguard config set limits.idle_seconds 120",
        "spendguard config set providers.openai.base_url http://127.0.0.1:9999/v1",
    ),
    exits=(Exit.USAGE, Exit.NOT_ALLOWED),
    takes_minus=True,
)
def set_(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(metavar="SECTION.NAME", help="As config show lists it.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Lists are written 429,503.")],
) -> None:
    """Change one setting in config.toml.

    It is checked before it is written, and holds from the sidecar's next start.
    """
    from spendguard_cli import tomlfiles
    from spendguard_daemon import settings
    from spendguard_daemon.runtime import read_text

    session.local_only("config set")
    session.operator_only("config set")
    home = session.connection.home
    with tomlfiles.editing(home):
        before = read_text(home.config)
        text = tomlfiles.with_setting(before, name, value)
        settings.load(text, {})
        tomlfiles.save(home, home.config, text)
    found = next(row for row in tomlfiles.show(home, session.env).settings if row.name == name)
    session.out.show(found)
    if found.origin != "config.toml":
        session.out.warn(f"{found.origin} is set in this shell and wins over config.toml")
    _warn_of_comments(session, before)
    _say_restart(session)


@verb(
    app,
    "unset",
    examples=(
        "spendguard config unset policy.overflow",
        "spendguard config unset providers.openai.base_url",
    ),
    exits=(Exit.USAGE, Exit.NOT_ALLOWED),
)
def unset(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(metavar="SECTION.NAME", help="As it stands in config.toml.")],
) -> None:
    """Take one setting out of config.toml, so that its default holds again.

    Also a name that is no setting, or a whole section. It holds from the sidecar's next start.
    """
    from spendguard_cli import tomlfiles
    from spendguard_daemon import settings
    from spendguard_daemon.runtime import read_text

    session.local_only("config unset")
    session.operator_only("config unset")
    home = session.connection.home
    with tomlfiles.editing(home):
        before = read_text(home.config)
        text = tomlfiles.without_setting(before, name)
        tomlfiles.save(home, home.config, text)
    _warn_of_comments(session, before)
    try:
        settings.load(text, {})
    except SpendGuardError as error:  # two may be wrong, and one after the other is taken out
        session.out.warn(f"config.toml is still wrong: {error.detail}")
        return
    found = [row for row in tomlfiles.show(home, session.env).settings if row.name == name]
    for row in found:
        session.out.show(row)
        if row.origin != "default":
            session.out.warn(f"{row.origin} is set in this shell and wins over the default")
        elif row.name == "prices.source" and row.value == "remote":
            session.out.warn("prices.url is set, and so prices come from there")
            session.out.advise("spendguard config unset prices.url")
    _say_restart(session)


def _warn_of_comments(session: Session, before: str) -> None:
    if any(line.lstrip().startswith("#") for line in before.splitlines()):
        session.out.warn("the comments in config.toml were not kept")


@verb(
    app,
    "allow",
    examples=(
        "spendguard config allow",
        "spendguard config allow anthropic.tool:bash_20250124",
        "spendguard config allow grok.chat.cap:reasoning, grok.fee:violation",
        "spendguard config allow --remove anthropic.tool:bash_20250124",
    ),
    exits=(Exit.USAGE, Exit.NOT_ALLOWED),
)
def allow(
    session: Session,
    *,
    features: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FEATURE]...", help="As a refusal names it; several with commas.", show_default=False
        ),
    ] = None,
    remove: Annotated[bool, switch("--remove", help_text="Take them back.")] = False,
) -> None:
    """Let features pass for all agents.

    Each is named as the refusal names it. Without one, those allowed now are listed. A budget binds
    them all the same: what has no rate is still refused.
    """
    from spendguard_cli import tomlfiles
    from spendguard_daemon import settings
    from spendguard_daemon.runtime import read_text

    session.local_only("config allow")
    home = session.connection.home
    features = policies.split(features)
    if features:
        session.operator_only("config allow")
        with tomlfiles.editing(home):
            before = read_text(home.config)
            text = tomlfiles.with_allowed(before, features, remove=remove)
            settings.load(text, {})
            tomlfiles.save(home, home.config, text)
        if remove:
            policies.warn_absent(session.out, features, settings.load(before, {}).allow)
    elif remove:
        raise SpendGuardError(Code.USAGE, "No feature is named", remedy="name what to take back")
    found = next(row for row in tomlfiles.show(home, session.env).settings if row.name == "policy.allow")
    session.out.show(found)
    if features and found.origin not in ("config.toml", "default"):
        session.out.warn(f"{found.origin} is set in this shell and wins over config.toml")
    if features:
        if not remove:
            policies.warn_unknown(session.out, features)
        _say_restart(session)


def _say_restart(session: Session) -> None:
    """Tell whoever reads that the running sidecar does not know it yet."""
    if session.peek() is not None:
        session.out.say("the running sidecar does not know it yet: it reads it when it is started again")
        session.out.advise("spendguard restart")
