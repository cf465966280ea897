"""Around a restore: may it be done, which agents wait after it, and what each has probably spent meanwhile.

The ledger that was replaced knows that best, if it can still be read: what it charged, and held, above what
the backup has. It is only a proposal; the provider's bill decides.
"""

import shlex
from pathlib import Path

from spendguard_cli.holder import is_held, named
from spendguard_cli.ledger.places import LedgerPlace
from spendguard_cli.ledger.results import Frozen
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.ledger.basis import newest_basis
from spendguard_daemon.ledger.folder import LedgerFolder
from spendguard_daemon.ledger.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    NewerManifestError,
    decode_manifest,
)
from spendguard_daemon.ledger.recovery import Place, damaged, newer, plan
from spendguard_daemon.ledger.replay import replay
from spendguard_daemon.ledger.state import Account, State
from spendguard_daemon.money import format_usd
from spendguard_daemon.ports import Disk
from spendguard_daemon.runtime import Home


def manifest_of(place: LedgerPlace, disk: Disk) -> Manifest:
    """Return a backup's manifest; raise LEDGER_REFUSED, LEDGER_DAMAGED or LEDGER_NEWER as restore does."""
    if not place.is_backup:
        raise SpendGuardError(
            Code.LEDGER_REFUSED,
            f"{place.path} is no backup, or an unfinished one: it has no {MANIFEST}",
            remedy="name a folder that spendguard ledger backup made",
        )
    try:
        manifest, _ = decode_manifest(disk.read(place.path / MANIFEST))
    except NewerManifestError as error:
        raise newer(Place(str(place.path / MANIFEST), 1, 0), str(error)) from None
    except ManifestError as error:
        raise damaged(Place(str(place.path / MANIFEST), 1, 0), str(error)) from None
    return manifest


def of_the_backup(error: SpendGuardError, backup: Path) -> SpendGuardError:
    """Return a finding of damage as what it is here: the backup's, of which the ledger knows nothing."""
    if error.code is not Code.LEDGER_DAMAGED:
        return error
    found = error.detail.removeprefix(f"{TABLE[Code.LEDGER_DAMAGED].title}: ")
    return SpendGuardError(
        error.code,
        f"The backup is damaged: {found}; the ledger was left as it is",
        remedy=f"spendguard ledger verify {shlex.quote(str(backup))} shows all of it",
        facts=error.facts,
    )


def check_stopped(home: Home, backup: str) -> None:
    """Raise LEDGER_LOCKED while a daemon has the ledger open."""
    if is_held(home):
        raise SpendGuardError(
            Code.LEDGER_LOCKED,
            f"{TABLE[Code.LEDGER_LOCKED].title}{named(home)}: it must be down while a backup is put back",
            remedy=f"spendguard down, then spendguard ledger restore {shlex.quote(backup)}",
        )


def frozen_agents(ledger: Path, replaced: Path | None, disk: Disk) -> list[Frozen]:
    """Return the agents of a restored ledger that wait, in the order of their making."""
    before = _readable(replaced, disk)
    accounts = _state(ledger, disk).accounts.values()
    return [
        _frozen(account, before.accounts.get(account.agent_id)) for account in accounts if account.restored
    ]


def _frozen(account: Account, before: Account | None) -> Frozen:
    spent_nusd = None if before is None or before.restored else max(0, _charged(before) - _charged(account))
    said = "<amount since the backup>" if spent_nusd is None else f"{format_usd(spent_nusd)}usd"
    return Frozen(
        agent_id=account.agent_id,
        name=account.name or "",
        settled_usd=format_usd(account.settled_nusd),
        spent_since_usd=None if spent_nusd is None else format_usd(spent_nusd),
        next=f"spendguard agent unfreeze {account.agent_id} --spent {said}",
    )


def _charged(account: Account) -> int:
    """Return what an agent is charged once its open calls have ended at worst, as they do at a start."""
    return account.settled_nusd + account.held_nusd


def _readable(replaced: Path | None, disk: Disk) -> State:
    """Return the state of the ledger that was replaced, an empty one where it is damaged or was none."""
    if replaced is None:
        return State()
    try:
        return _state(replaced, disk)
    except (SpendGuardError, OSError):
        return State()


def _state(path: Path, disk: Disk) -> State:
    """Return the state of a ledger as a start makes it, from its newest snapshot on; change nothing."""
    head_raw = LedgerFolder(path, disk).read_head()
    folder = LedgerFolder(path, disk)
    basis = newest_basis(folder, [])
    tail = folder.after(basis.origin.seq)
    found = plan(folder.read_all(tail), head_raw, origin=basis.origin, begun_seq=folder.begun_seq)
    replay(folder.read_all(tail), found, basis.state, basis.history, wall_ns=basis.wall_ns)
    return basis.state
