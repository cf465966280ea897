"""Does what runs in this shell go through the sidecar, and does it say who it is."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
