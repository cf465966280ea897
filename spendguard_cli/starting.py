"""What a start is told beside the files: the flags of `up` and `restart`, as one value.

What a setting can say goes into the daemon's environment, above what stood there; the rest are its own flags.
All is checked here before a sidecar is started, and before one that runs is stopped for it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from spendguard_cli.verbs import switch
from spendguard_daemon.errors import Code, SpendGuardError

if TYPE_CHECKING:
    from spendguard_daemon import wire
    from spendguard_daemon.runtime import Home

Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="TCP port; 0 takes a free one.", show_default="8787"),
]
UnsafeFs = Annotated[
    bool,
    switch(
        "--unsafe-fs",
        help_text="Start on NFS, SMB, 9p or FUSE too, where locks and syncs may not hold; to keep it: "
        "spendguard config set daemon.unsafe_fs allow.",
    ),
]
Strict = Annotated[
    bool,
    switch(
        "--strict",
        help_text="Take prices from the public signed document, or from CAP_PRICING_URL, and from nowhere "
        "else; to keep it: spendguard config set prices.source strict.",
    ),
]
InsecurePricing = Annotated[
    bool,
    switch(
        "--insecure-pricing",
        help_text="Start with CAP_PRICING_VERIFY_SIGNATURE=false: whoever answers sets your prices.",
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="ADDR[:PORT]",
        help="Serve agents that have a key at this address too, as of containers; may be repeated. Needs "
        "--require-agent-key; to keep it: spendguard config set access.listen.",
        show_default=False,
    ),
]
RequireAgentKey = Annotated[
    bool,
    switch(
        "--require-agent-key",
        help_text="An agent's id alone is enough nowhere; to keep it: "
        "spendguard config set access.bare_header refuse.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The flags that a sidecar is started with; `verb` is the command that they were typed after."""

    verb: str
    port: int | None = None
    unsafe_fs: bool = False
    strict: bool = False
    insecure_pricing: bool = False
    listen: Sequence[str] = ()
    require_agent_key: bool = False

    def env(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that a sidecar is started with; a flag goes above what was in it."""
        flags = {
            "SPENDGUARD_DAEMON_UNSAFE_FS": "allow" if self.unsafe_fs else "",
            "SPENDGUARD_PRICES_SOURCE": "strict" if self.strict else "",
            "SPENDGUARD_ACCESS_LISTEN": ",".join(self.listen),
            "SPENDGUARD_ACCESS_BARE_HEADER": "refuse" if self.require_agent_key else "",
        }
        return {**env, **{name: value for name, value in flags.items() if value}}

    def kept(self, access: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
        """Return what of the flags that a running sidecar was started with (`access`) holds on.

        A flag that was typed, or a variable of this shell, goes above it; one that is empty drops it.
        """
        typed = {"SPENDGUARD_ACCESS_LISTEN"} if self.listen else set()
        return {name: value for name, value in access.items() if name not in typed and name not in env}

    def flags(self) -> tuple[str, ...]:
        """Return what a daemon is told that no setting can tell it."""
        return ("--insecure-pricing",) if self.insecure_pricing else ()

    def check(self, home: "Home", env: Mapping[str, str]) -> None:
        """Raise what the sidecar would refuse, also where one runs already; USAGE, PRICING_SIGNATURE."""
        from spendguard_daemon.runtime import read_text
        from spendguard_daemon.setting_values import check_said_twice, read_listen
        from spendguard_daemon.settings import load

        text = read_text(home.config)
        read_listen(list(self.listen), "--listen")
        if self.listen and not self.require_agent_key and load(text, env).bare_header != "refuse":
            raise SpendGuardError(
                Code.USAGE,
                "--listen lets other machines and containers in, so it needs --require-agent-key as well: "
                "without it an agent's id, which is no secret, is enough to spend",
                remedy=self._with_keys(),
            )
        settings = load(text, self.env(env))
        check_said_twice(verifies=settings.price_verify_signature, insecure=self.insecure_pricing)

    def check_prices(self, home: "Home", env: Mapping[str, str], running: "wire.Pricing | None") -> None:
        """Raise why the price server gives nothing that a start with `env` could use.

        It is asked while the sidecar with `running` prices still runs, so that it is not stopped for one that
        could not start. One that has prices from that server already has a document to start again with.
        """
        from spendguard_cli.pricing.outlook import look
        from spendguard_daemon.system import SystemClock

        seen = look(home, env, SystemClock().wall_ns())
        same = running is not None and running.source == "remote" and running.url == seen.url
        if not same and seen.error is not None:
            raise SpendGuardError(
                seen.error.code,
                f"{seen.error.detail}; so the sidecar was not stopped, and runs on with the prices it has",
                remedy=self._again(),
            )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Have what a strict start ended of name the way to try again: another command forgets the flag."""
        try:
            yield
        except SpendGuardError as error:
            if not self.strict or not error.code.value.startswith("pricing_"):
                raise
            raise SpendGuardError(error.code, error.detail, remedy=self._again(), facts=error.facts) from None

    def _again(self) -> str:
        flag = " --strict" if self.strict else ""
        return f"spendguard {self.verb}{flag} tries again, once the price server gives a valid document"

    def check_running(self, listening: Sequence[str], port: int, *, keys_required: bool) -> None:
        """Raise LEDGER_LOCKED where the sidecar that runs already does not do what the flags ask."""
        have = {(urlsplit(url).hostname, urlsplit(url).port) for url in listening}
        missing = [item for item in self.listen if not _is_in(item, have, port)]
        if missing:
            lacks = f"does not listen on {', '.join(missing)}"
        elif self.require_agent_key and not keys_required:
            lacks = "takes agents without a key"
        else:
            return
        raise SpendGuardError(
            Code.LEDGER_LOCKED,
            f"The sidecar runs already, and {lacks}",
            remedy=self._with_keys("restart"),
        )

    def _with_keys(self, verb: str = "") -> str:
        """Return the command as it should have been typed."""
        words = ["spendguard", verb or self.verb]
        words += [] if self.port is None else ["--port", str(self.port)]
        words += ["--strict"] if self.strict else []
        words += ["--insecure-pricing"] if self.insecure_pricing else []
        words += ["--unsafe-fs"] if self.unsafe_fs else []
        words += [word for item in self.listen for word in ("--listen", item)]
        return " ".join([*words, "--require-agent-key"])


def as_flags(access: Mapping[str, str]) -> str:
    """Return variables of [access] as the flags that say the same."""
    words = [f"--listen {item}" for item in access.get("SPENDGUARD_ACCESS_LISTEN", "").split(",") if item]
    keys = access.get("SPENDGUARD_ACCESS_BARE_HEADER") == "refuse"
    return " ".join([*words, *(["--require-agent-key"] if keys else [])])


def _is_in(item: str, have: set[tuple[str | None, int | None]], own_port: int) -> bool:
    """Tell whether an address as it was typed is among those of the sidecar; port 0 is any port."""
    from spendguard_daemon.setting_values import split_listen

    host, port = split_listen(item)
    if port == 0:
        return host in {name for name, _ in have}
    return (host, own_port if port is None else port) in have
