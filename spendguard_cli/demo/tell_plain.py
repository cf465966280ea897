"""The demo on a pipe or in a CI log: plain lines, no colour, nothing that moves."""

import sys
import textwrap

from spendguard_cli.demo.scenes import Account, Check, Entry, Reckoning, Scene, Verdict
from spendguard_cli.program import program
from spendguard_daemon.text import safe

LINE_LENGTH_MAX = 1000
PROSE_WIDTH = 88


class PlainTeller:
    """Writes one block an act."""

    def opening(self) -> None:
        """Say what is going to be shown."""
        _say("SpendGuard demo: a private sidecar on a temporary home, no key, no network")

    def scene(self, number: int, scene: Scene) -> None:
        """Write one act."""
        _say("", f"{number}. {scene.title}", *_wrapped(scene.story))
        for row in scene.rows:
            figures = "  ".join(f"{name} {value}" for name, value in row.figures.items())
            _say(f"   {row.call:<24} {figures}")
        if scene.quote:
            _say(*_wrapped(f'"{scene.quote}"'))
        _checks(scene.checks)

    def reckoning(self, number: int, table: Reckoning) -> None:
        """Write the closing table."""
        _say(
            "",
            f"{number}. It adds up",
            f"   {'agent':<10} {'call':<24} {'state':<14} {'hold':>12} {'cost':>12}",
        )
        for entry in table.entries:
            _say(_entry(entry))
        _say("", f"   {'agent':<10} {'granted':>12}   {'settled':>12}   {'remaining':>12}")
        for account in table.accounts:
            _say(_account(account))
        _checks(table.checks)

    def closing(self, verdict: Verdict) -> None:
        """Say how it ended."""
        said = "all of it held" if verdict.ok else "NOT all of it held"
        _say("", f"Demo done: {said}. The temporary home and its sidecar are gone.", f"Next: {program()} up")


def _wrapped(text: str) -> list[str]:
    indent = " " * 3
    return textwrap.wrap(text, PROSE_WIDTH, initial_indent=indent, subsequent_indent=indent)


def _entry(entry: Entry) -> str:
    return (
        f"   {entry.agent:<10} {entry.call:<24} {entry.state:<14} {'$' + entry.hold_usd:>12} "
        f"{'$' + entry.cost_usd:>12}"
    )


def _account(account: Account) -> str:
    return (
        f"   {account.agent:<10} {'$' + account.funded_usd:>12} = {'$' + account.settled_usd:>12} + "
        f"{'$' + account.remaining_usd:>12}"
    )


def _checks(checks: list[Check]) -> None:
    for check in checks:
        _say(f"   {'ok' if check.ok else 'FAILED'}: {check.claim}")


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(safe(line, LINE_LENGTH_MAX) + "\n")
    sys.stdout.flush()
