"""`ledger verify|export|backup|restore`: the ledger's files themselves, with a sidecar running or not."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spendguard_cli.output import Form
from spendguard_cli.session import Session
from spendguard_cli.verbs import group, switch, verb
from spendguard_daemon.codes import TABLE, Exit
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from pathlib import Path

    from spendguard_cli.ledger.exporting import Export

app = group("The ledger: check it, read it out, back it up, put a backup back.")

READS = (Exit.FAILED, Exit.USAGE, Exit.NO_DAEMON)

By = Annotated[
    Literal["call", "agent", "run", "model", "day"],
    typer.Option(help="One row for each call, or their sums. A call's day is that of its end, in UTC."),
]
Kind = Annotated[
    Literal["csv", "jsonl"] | None, typer.Option("--format", help="csv, the default, or JSON Lines.")
]


@verb(
    app,
    "verify",
    examples=(
        "spendguard ledger verify",
        "spendguard ledger verify /mnt/backups/2026-11-23",
        "spendguard ledger verify --json",
    ),
    exits=READS,
)
def verify(
    session: Session,
    *,
    path: Annotated[
        str | None,
        typer.Argument(metavar="[PATH]", help="A backup; else this home's ledger.", show_default=False),
    ] = None,
) -> None:
    """Read the whole ledger, and check every record.

    Form, hashes, chain, balances, promises, snapshots. Changes nothing, and works while the sidecar runs:
    what is just being written is no damage. Exit 1 names the first bad byte.
    """
    from spendguard_cli.ledger.places import home_ledger, named_ledger
    from spendguard_cli.ledger.verifying import verified
    from spendguard_cli.progress import progress
    from spendguard_daemon.system import SystemDisk

    disk = SystemDisk()
    if path is None:
        session.local_only("ledger verify")
        place = home_ledger(session.connection.home, disk)
    else:
        place = named_ledger(path, disk)
    with progress("verifying") as advance:
        found = verified(place, disk=disk, on_progress=advance)
    session.out.show(found)
    if found.ok:
        return
    first, title = found.flaws[0], TABLE[Code.LEDGER_DAMAGED].title
    then = (
        "spendguard ledger verify <another backup> finds one that is whole"
        if place.named
        else "spendguard down, then spendguard ledger restore <backup> puts a backup in its place"
    )
    session.out.fail(
        Code.LEDGER_DAMAGED,
        f"{title}: {first.path}, line {first.line}, byte {first.byte}: {first.what}",
        f"less +{first.line} {shlex.quote(first.path)} shows the line; {then}",
    )
    raise typer.Exit(Exit.FAILED)


@verb(
    app,
    "export",
    examples=(
        "spendguard ledger export --output calls.csv",
        "spendguard ledger export --by agent",
        "spendguard ledger export --by day --agent my-agent --from 2026-11-01 --to 2026-11-30",
        "spendguard ledger export --unconfirmed --format jsonl",
        "spendguard ledger export --by model --json",
    ),
    exits=(*READS, Exit.NOT_FOUND, Exit.LEDGER),
)
def export(
    session: Session,
    *,
    by: By = "call",
    kind: Kind = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="Only this one, by id or name.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this day or time on (UTC).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Up to the end of this day, or this time.")
    ] = None,
    unconfirmed: Annotated[
        bool, switch("--unconfirmed", help_text="Only calls charged at a bound that nobody has adjusted yet.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to a file, whole or not at all."),
    ] = None,
) -> None:
    """Write out all that was ever spent, as CSV or JSON Lines.

    From the journal, archived segments included. Costs are what calls are charged by now, corrections
    included; an agent's rows add up to what it has settled. --json is --format jsonl.
    """
    from spendguard_cli.ledger.exporting import Export, Wish, agent_id_of, moment
    from spendguard_cli.ledger.journal import Journal
    from spendguard_cli.ledger.places import home_ledger, new_file
    from spendguard_cli.progress import progress
    from spendguard_daemon.system import SystemDisk

    session.local_only("ledger export")
    path = None if output is None else new_file(output, session.connection.home)
    from_ns = None if start is None else moment("--from", start, ends=False)
    until_ns = None if end is None else moment("--to", end, ends=True)
    disk = SystemDisk()
    place = home_ledger(session.connection.home, disk)
    with progress("reading", shown=path is not None or not sys.stdout.isatty()) as advance:
        journal = Journal.read(place.path, disk=disk, on_progress=advance)
        if journal.first_seq > 1:
            session.out.warn(
                f"records 1 to {journal.first_seq - 1} are not in {place.path / 'archive'}: "
                "what was settled by then is missing here"
            )
        agent_id = None if agent is None else agent_id_of(agent, journal)
        made = Export(journal, Wish(by, agent_id, from_ns, until_ns, unconfirmed))
        _put_out(session, made, kind or ("jsonl" if session.out.form is Form.JSON else "csv"), path)


def _put_out(session: Session, made: "Export", form: str, path: "Path | None") -> None:
    """Write an export to stdout, or to a file of the operator's and then say so."""
    from spendguard_cli.ledger import sheet
    from spendguard_cli.ledger.results import Exported
    from spendguard_daemon.money import format_usd

    if path is None:
        session.out.pour(made.lines(form))
        return
    sheet.write(path, made.lines(form))
    cost_usd = format_usd(made.cost_nusd)
    session.out.show(
        Exported(
            path=str(path),
            format=form,
            by=made.by,
            rows=made.rows,
            cost_usd=cost_usd,
            cost_nusd=made.cost_nusd,
        )
    )


@verb(
    app,
    "backup",
    examples=("spendguard ledger backup /mnt/backups/2026-11-23", "spendguard ledger backup ./copy --json"),
    exits=(*READS, Exit.LEDGER),
)
def backup(
    session: Session,
    *,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A folder that is new or empty.")],
) -> None:
    """Copy the ledger, up to its last durable record, and verify the copy.

    The sidecar may go on meanwhile. On the same disk, closed segments share their bytes with the ledger: a
    backup that outlives the disk lies on another one.
    """
    from spendguard_cli.ledger import known_backups
    from spendguard_cli.ledger.places import home_ledger, new_folder
    from spendguard_cli.ledger.results import BackedUp
    from spendguard_cli.progress import progress
    from spendguard_daemon import __version__
    from spendguard_daemon.ledger.backup import back_up
    from spendguard_daemon.money import format_usd
    from spendguard_daemon.system import SystemClock, SystemDisk

    session.local_only("ledger backup")
    home, disk, clock = session.connection.home, SystemDisk(), SystemClock()
    place, path = home_ledger(home, disk), new_folder(target, home, disk)
    with progress("verifying the copy") as advance:
        made = back_up(place.path, path, disk=disk, clock=clock, version=__version__, on_progress=advance)
    manifest = made.manifest
    known_backups.note(
        home, known_backups.Known(path=str(path), created=manifest.created, sha256=made.sha256)
    )
    session.out.show(
        BackedUp(
            path=str(path),
            created=manifest.created,
            last_seq=manifest.seq,
            generation=manifest.generation,
            files=len(manifest.files),
            bytes=sum(entry.bytes for entry in manifest.files),
            sha256=made.sha256,
            agents=made.report.agents,
            settled_usd=format_usd(made.report.settled_nusd),
        )
    )
    session.out.hint(
        f"to put it back: spendguard down, then spendguard ledger restore {shlex.quote(str(path))}"
    )


@verb(
    app,
    "restore",
    examples=(
        "spendguard ledger restore /mnt/backups/2026-11-23",
        "spendguard ledger restore /mnt/backups/2026-11-23 --yes",
    ),
    exits=(*READS, Exit.NOT_ALLOWED, Exit.LEDGER),
)
def restore(
    session: Session,
    *,
    source: Annotated[str, typer.Argument(metavar="BACKUP", help="A folder that ledger backup made.")],
    yes: Annotated[bool, switch("--yes", "-y", help_text="Do not ask.")] = False,
) -> None:
    """Put a backup in the place of the ledger, which is moved aside and kept.

    The sidecar must be down. What agents spent since the backup is not in it, so each stays frozen until
    agent unfreeze --spent says how much that was. Which keys were revoked since is not in it either, so all
    agent keys end; agent key makes new ones.
    """
    from spendguard_cli.ledger.places import named_ledger
    from spendguard_cli.ledger.putting_back import check_stopped, frozen_agents, manifest_of, of_the_backup
    from spendguard_cli.ledger.results import PutBack
    from spendguard_cli.progress import progress
    from spendguard_daemon.ledger.restore import restore as put_back
    from spendguard_daemon.system import SystemClock, SystemDisk

    session.local_only("ledger restore")
    session.operator_only("ledger restore")
    home, disk = session.connection.home, SystemDisk()
    place = named_ledger(source, disk)
    created = manifest_of(place, disk).created
    check_stopped(home, source)
    if not (yes or _may_put_back(session, created)):
        session.out.hint("nothing was changed")
        raise typer.Exit(Exit.FAILED)
    try:
        with progress("verifying the backup") as advance:
            done = put_back(
                place.path, home.ledger, disk=disk, clock=SystemClock(), actor="cli", on_progress=advance
            )
    except SpendGuardError as error:
        raise of_the_backup(error, place.path) from None
    agents = frozen_agents(home.ledger, done.moved_to, disk)
    session.out.show(
        PutBack(
            path=str(home.ledger),
            backup=str(place.path),
            created=done.manifest.created,
            last_seq=done.seq,
            generation=done.generation,
            moved_to=str(done.moved_to) if done.moved_to else None,
            agents=agents,
        )
    )
    if agents:
        session.out.say("all agent keys have ended with this; spendguard agent key <agent> makes new ones")
    else:
        session.out.hint("next: spendguard up")


def _may_put_back(session: Session, created: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SpendGuardError(
            Code.USAGE, "ledger restore asks first, and nobody is here to answer", remedy="add --yes"
        )
    return session.out.ask(
        f"Go back to the ledger of {created}? Each agent is then frozen until you enter what it spent since, "
        "and all agent keys end."
    )
