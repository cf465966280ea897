"""Has each provider a key that works, and does its address lead to the provider."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
