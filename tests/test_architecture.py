"""The arrows of the house (design 10), held by the imports themselves and by what a fresh process loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DAEMON = ROOT / "daemon" / "spendguard_daemon"
CLI = ROOT / "spendguard_cli"

PURE = {"errors", "money", "usage", "canonical", "ports", "text", "codes"}
LIFE = {
    "aside",
    "bill",
    "booking",
    "call",
    "cheaper",
    "earlier",
    "free",
    "guard",
    "insistence",
    "outcome",
    "own_policy",
    "pace",
    "patience",
    "planner",
    "price_keeper",
    "relay",
    "scope",
    "sharpen",
    "sums",
    "ways",
    "whose",
}
"""The life of a call: `guard` and the parts of it that grew too long for one file."""

ARROWS: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"daemon", "stopping"},
    "errors": set(),
    "ports": set(),
    "text": set(),
    "wire": {"errors"},
    "feed_wire": {"wire"},
    "shown": PURE | {"feed_wire", "ledger", "wire"},
    "codes": {"errors"},
    "money": {"errors"},
    "usage": {"errors"},
    "canonical": {"errors"},
    "addresses": {"errors"},
    "agent_keys": {"errors"},
    "features": set(),
    "setting_values": {"addresses", "errors", "features"},
    "setting_table": {"addresses"},
    "settings": {"addresses", "errors", "setting_table", "setting_values"},
    "plain_files": set(),
    "system": {"plain_files", "ports"},
    "runtime": {"errors", "plain_files", "ports"},
    "provider_keys": {"errors", "settings"},
    "log": {"text", "wire"},
    "memory_dumps": set(),
    "stopping": {"codes"},
    "vigil": {"ports"},
    "skew": {"ports"},
    "ledger": PURE,
    "pricing": PURE,
    "providers": PURE,
    "aside": set(),
    "patience": set(),
    "outcome": {"usage"},
    "call": PURE | {"ledger", "pricing", "providers"},
    "bill": PURE | {"ledger", "pricing", "call"},
    "planner": PURE
    | {"ledger", "pricing", "providers", "call", "settings", "provider_keys", "aside", "earlier"}
    | {"own_policy", "scope", "whose"},
    "scope": PURE | {"agent_keys", "ledger", "pricing"},
    "own_policy": {"ledger", "providers", "settings"},
    "whose": PURE | {"ledger", "pricing", "providers", "call"},
    "relay": PURE | {"ledger", "providers", "call", "outcome", "aside"},
    "booking": PURE | {"ledger", "call", "bill", "outcome", "relay"},
    "earlier": PURE | {"ledger"},
    "free": {"ports"},
    "pace": PURE,
    "insistence": PURE,
    "sharpen": PURE | {"ledger", "providers", "aside", "call", "free", "pace", "planner"},
    "price_sources": PURE | {"pricing", "price_keeper", "settings", "skew"},
    "sums": PURE | {"ledger", "call", "planner"},
    "cheaper": PURE
    | {"ledger", "pricing", "providers", "call", "earlier", "planner", "scope", "sums", "whose"},
    "ways": PURE | {"ledger", "providers", "call", "planner", "sums", "cheaper"},
    "price_keeper": PURE | {"ledger", "pricing"},
    "guard": PURE | LIFE | {"ledger", "providers", "settings"},
    "gateway": PURE
    | LIFE
    | {
        "__init__",
        "addresses",
        "agent_keys",
        "feed_wire",
        "features",
        "ledger",
        "pricing",
        "providers",
        "settings",
        "provider_keys",
        "runtime",
        "setting_values",
        "shown",
        "skew",
        "wire",
    },
}
CLI_MAY_IMPORT = {
    "addresses",
    "agent_keys",
    "__init__",
    "canonical",
    "codes",
    "errors",
    "feed_wire",
    "features",
    "ledger",
    "money",
    "plain_files",
    "ports",
    "pricing",
    "provider_keys",
    "runtime",
    "setting_values",
    "settings",
    "shown",
    "system",
    "text",
    "usage",
    "wire",
}
"""What loads neither aiohttp nor textual. Of the ledger only what reads, copies and restores its files, of
prices only what signs, verifies and computes."""

OFFLINE = {
    *("backup", "basis", "events", "faults", "folder", "lines", "manifest", "recovery", "replay"),
    *("restore", "room", "snapshot", "state", "times", "verify"),
    *("apply", "commands", "deeds", "views"),
}
"""The modules of the ledger that the CLI may import, and only in `spendguard_cli/ledger` and its commands.

None of them decides or writes: `apply` follows what was decided, of `commands` there is only a time."""

SIGNING = {
    "answers",
    "authority",
    "catalogue",
    "changes",
    "dimensions",
    "document",
    "modifiers",
    "ratecard",
    "schema1",
    "trust",
    "wire_json",
}
"""The modules of pricing that the CLI may import, all pure, and only for its pricing commands: it has the
daemon's own verifier and sums."""


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, at any depth of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: import by full name"
            # `from spendguard_daemon import x` may name a module or a value of the package.
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms(path: Path) -> set[str]:
    """Return the rooms of the daemon (first-level modules and packages) that a file imports from."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("spendguard_daemon.")}
    return {"__init__" if name == "__version__" else name for name in names}


def room_of(path: Path) -> str:
    """Return the room in which a file of the daemon stands."""
    return path.relative_to(DAEMON).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(DAEMON.rglob("*.py")), ids=lambda p: str(p.relative_to(DAEMON)))
def test_daemon_imports_follow_the_arrows(path: Path) -> None:
    """Each file imports only what the arrows allow; a new room needs an arrow of its own."""
    room = room_of(path)
    if room == "daemon":
        return  # the composition root may know everybody
    assert rooms(path) - {room} <= ARROWS[room]


@pytest.mark.parametrize("path", sorted(CLI.rglob("*.py")), ids=lambda p: str(p.relative_to(CLI)))
def test_cli_speaks_http_only(path: Path) -> None:
    """The CLI shares shapes and settings with the daemon, never a ledger at work, price source or server."""
    assert rooms(path) <= CLI_MAY_IMPORT
    names = {name for name in imports(path) if name.startswith("spendguard_daemon.ledger.")}
    assert {name.split(".")[2] for name in names} <= OFFLINE
    assert not names or "ledger" in (path.parent.name, path.stem)
    names = {name for name in imports(path) if name.startswith("spendguard_daemon.pricing.")}
    assert {name.split(".")[2] for name in names} <= SIGNING
    assert not names or path.parent.name == "pricing" or path.stem in ("pricing", "authority", "trust")


def test_daemon_never_imports_the_cli() -> None:
    """The arrow between the two packages goes one way."""
    for path in DAEMON.rglob("*.py"):
        assert not any(name.split(".")[0] == "spendguard_cli" for name in imports(path)), path


def test_only_the_gateway_and_the_price_source_know_aiohttp() -> None:
    """One door to the network."""
    for path in DAEMON.rglob("*.py"):
        knows = any(name.split(".")[0] in ("aiohttp", "yarl") for name in imports(path))
        allowed = room_of(path) == "gateway" or path == DAEMON / "pricing" / "source.py"
        assert allowed or not knows, path


def test_only_the_screens_of_watch_know_textual() -> None:
    """What is known and what may be done is told without a screen, to `--once` and to tests."""
    watch = CLI / "watch"
    for path in [*CLI.rglob("*.py"), *DAEMON.rglob("*.py")]:
        knows = any(name.split(".")[0] == "textual" for name in imports(path))
        drawn = path.parent in (watch / "screens", watch / "widgets")
        allowed = drawn or path in [watch / f"{name}.py" for name in ("app", "modals", "past_app", "themes")]
        assert allowed or not knows, path


def test_one_door_to_clock_chance_and_disk() -> None:
    """Time, randomness and files are read only where ports are implemented, or before there are any."""
    doors = {"system.py", "plain_files.py", "runtime.py", "daemon.py", "log.py"}
    banned = {"time", "random", "secrets", "uuid", "tempfile", "shutil"}
    for path in DAEMON.rglob("*.py"):
        if path.name in doors:
            continue
        assert not {name.split(".")[0] for name in imports(path)} & banned, path
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
        assert "open" not in names, path


def test_no_room_is_called_utils() -> None:
    """A name that says nothing gathers everything."""
    for path in [*DAEMON.rglob("*"), *CLI.rglob("*")]:
        assert path.stem not in ("utils", "util", "helpers", "common", "misc"), path


@pytest.mark.parametrize("path", sorted([*DAEMON.rglob("*.py"), *CLI.rglob("*.py")]), ids=lambda p: p.name)
def test_rooms_stay_small(path: Path) -> None:
    """Files fit a sitting, functions fit a screen; tables of data may be longer."""
    text = path.read_text(encoding="utf-8")
    if path.name not in ("codes.py", "wire.py", "fields.py", "events.py"):
        assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 70, f"{node.name} has {lines} lines"


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh process has loaded after a statement."""
    script = f"{statement}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_starts_light() -> None:
    """Starting the CLI loads no server and no TUI."""
    loaded = loaded_by("import spendguard_cli.app")
    assert "typer" in loaded
    assert not loaded & {"aiohttp", "textual", "httpx", "nacl"}


def test_the_ledger_loads_no_network() -> None:
    """Money can be checked without a server."""
    loaded = loaded_by("import spendguard_daemon.ledger.ledger, spendguard_daemon.ledger.restore")
    assert not loaded & {"aiohttp", "httpx", "textual", "typer"}
