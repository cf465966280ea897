"""What was refused or failed of late, and would be again."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
