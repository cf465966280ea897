"""Is there a valid, signed, unexpired price document, and can it be renewed."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
