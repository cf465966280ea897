"""Is the home there, ours alone, and on a disk with room; is the configuration readable."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
