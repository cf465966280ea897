"""Is there money whose real cost is not known: unconfirmed calls, overruns, a restored backup."""

from spendguard_cli.doctor.findings import Check

CHECKS: tuple[Check, ...] = ()
