"""What a doctor can see of prices and providers: the part of `world.World` that asks beyond the sidecar."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_cli.client import Control
    from spendguard_cli.context import Connection
    from spendguard_cli.pricing.outlook import Outlook
    from spendguard_daemon.settings import Settings


class PricesWorld(ABC):
    """The prices that are in force or would be, and how providers take the keys. Raises nothing."""

    now_ns: int

    @property
    @abstractmethod
    def connection(self) -> "Connection":
        """Whom the command line would talk to."""

    @property
    @abstractmethod
    def env(self) -> Mapping[str, str]:
        """The shell's environment."""

    @property
    @abstractmethod
    def control(self) -> "Control | None":
        """The sidecar if it is up and proven."""

    @property
    @abstractmethod
    def status(self) -> wire.Status | None:
        """The daemon at a glance."""

    @cached_property
    def settings(self) -> "Settings | None":
        """What a sidecar that is started from this shell would be told; None where that is refused."""
        from spendguard_daemon.runtime import read_text
        from spendguard_daemon.settings import load

        try:
            return load(read_text(self.connection.home.config), self.env)
        except (SpendGuardError, OSError):
            return None

    @cached_property
    def price_error(self) -> SpendGuardError | None:
        """Why a sidecar that is up has no prices, or did not renew those it has; None where all is well."""
        if self.status is None or self.control is None:
            return None
        if self.status.pricing is not None:
            last = self.status.pricing.last_error
            return None if last is None else _error(last)
        try:
            self.control.pricing()
        except SpendGuardError as error:
            return error
        return None

    @cached_property
    def last_words(self) -> SpendGuardError | None:
        """What the last daemon of this home died of, as its log ends with it; None where it says no such."""
        from spendguard_cli import logfile

        try:
            last = next(logfile.lines(self.connection.home.log, 1, follow=False), {})
        except OSError:
            return None
        code, detail = last.get("code"), last.get("detail")
        if last.get("level") != "critical" or code not in set(Code) or not isinstance(detail, str):
            return None
        return SpendGuardError(Code(str(code)), detail)

    @cached_property
    def outlook(self) -> "Outlook | None":
        """What a sidecar that is started from this shell would make of its prices; the price server is asked.

        None for a sidecar elsewhere, and where this shell's settings are refused.
        """
        from spendguard_cli.pricing.outlook import look

        if self.settings is None or not self.connection.local:
            return None
        try:
            return look(self.connection.home, self.env, self.now_ns)
        except (SpendGuardError, OSError):
            return None

    @cached_property
    def key_tests(self) -> dict[str, wire.ProviderTest | SpendGuardError]:
        """How each provider takes the sidecar's key, by its name; only those are asked that there is one for.

        All are asked at once, by the sidecar, which waits 15 s at most.
        """
        control = self.control
        if control is None or self.status is None:
            return {}
        names = [one.name for one in self.status.providers if one.key != "absent"]

        def test(name: str) -> wire.ProviderTest | SpendGuardError:
            try:
                return control.test_provider(name)
            except SpendGuardError as error:
                return error

        with ThreadPoolExecutor(max(1, len(names))) as pool:
            return dict(zip(names, pool.map(test, names), strict=True))


def _error(last: wire.PricingError) -> SpendGuardError:
    known = last.code in set(Code)
    return SpendGuardError(Code(last.code) if known else Code.PRICING_UNAVAILABLE, last.detail)
