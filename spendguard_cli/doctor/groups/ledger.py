"""Is the ledger whole, not newer than this version, restored and confirmed; is the clock right."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
