"""Has each agent money and nobody in its way: frozen, locked, waiting, above its cap, with stuck calls."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
