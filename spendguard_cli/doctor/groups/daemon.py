"""Is the sidecar up, ours, of this version, and is its port its own; is this `spendguard` the one on PATH."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
