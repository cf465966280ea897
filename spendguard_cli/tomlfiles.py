"""The files a person or a command may edit: config.toml and secrets.toml. Pure edits, then one careful write.

Values are written with tomli_w from typed objects and read back; the settings' own reader validates before
anything is written. Comments of a hand-written file do not survive an edit; `config set` says so.
"""

import contextlib
import fcntl
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from spendguard_cli.shapes import Config, Setting
from spendguard_daemon import runtime, settings
from spendguard_daemon.addresses import BASE_URL_NAMES, without_query
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.provider_keys import parse_secrets
from spendguard_daemon.runtime import Home, read_text
from spendguard_daemon.setting_values import OVERRIDES_FORM, OVERRIDES_HELP
from spendguard_daemon.system import SystemDisk
from spendguard_daemon.text import safe

SHOW = "spendguard config show lists every setting"


def with_setting(text: str, name: str, value: str) -> str:
    """Return config.toml's text with `section.name` set; raise USAGE where no setting has this form."""
    tables = _table(text, "config.toml")
    _check_plain(name)
    *sections, last = name.split(".")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise SpendGuardError(Code.USAGE, f"config.toml: {section} is not a section", remedy=SHOW)
    table[last] = _typed(name, value)
    return tomli_w.dumps(tables)


def _check_plain(name: str) -> None:
    plain = {f"{row.section}.{row.name}" for row in settings.rows()}
    if name in plain | {f"providers.{provider}.base_url" for provider in settings.PROVIDERS}:
        return
    if name.split(".", maxsplit=1)[0] == "prices":
        form = OVERRIDES_FORM
        raise SpendGuardError(
            Code.USAGE,
            f"{name} is no plain setting: a price of your own is a table in config.toml, {form}",
            remedy=OVERRIDES_HELP,
        )
    raise SpendGuardError(Code.USAGE, f"{name} is no setting", remedy=SHOW)


def without_setting(text: str, name: str) -> str:
    """Return config.toml's text without `section.name`, or without a whole section; raise USAGE for none.

    The name need not be one of a setting: what does not belong there is taken out just so.
    """
    tables = _table(text, "config.toml")
    if not _take_out(tables, name):
        raise SpendGuardError(Code.USAGE, f"config.toml does not set {safe(name)}", remedy=SHOW)
    return tomli_w.dumps(tables)


def _take_out(table: dict[str, Any], name: str) -> bool:
    """Take a dotted name out of a table, and the tables that are empty then; tell whether it was there."""
    if name in table:
        del table[name]
        return True
    for key, inner in table.items():
        if isinstance(inner, dict) and name.startswith(f"{key}.") and _take_out(inner, name[len(key) + 1 :]):
            if not inner:
                del table[key]
            return True
    return False


def with_allowed(text: str, features: Sequence[str], *, remove: bool) -> str:
    """Return config.toml's text with features added to `[policy] allow`, or taken out of it; raise USAGE."""
    tables = _table(text, "config.toml")
    policy = tables.setdefault("policy", {})
    before = policy.get("allow", []) if isinstance(policy, dict) else None
    if not isinstance(before, list):
        raise SpendGuardError(Code.USAGE, "config.toml: [policy] allow is not a list", remedy=SHOW)
    kept = [feature for feature in before if feature not in features]
    policy["allow"] = kept if remove else [*kept, *dict.fromkeys(features)]
    return tomli_w.dumps(tables)


def with_key(text: str, provider: str, key: str) -> str:
    """Return secrets.toml's text with a provider's key set; raise USAGE where the file is not one."""
    keys = parse_secrets(text) | {provider: key}
    return tomli_w.dumps(_table(text, "secrets.toml") | {"keys": keys})


def show(home: Home, env: Mapping[str, str]) -> Config:
    """Return every setting with its value and its origin; no secret is a setting."""
    text = read_text(home.config)
    found = settings.load(text, env)
    config = _table(text, "config.toml")
    plain = [
        Setting(
            name=f"{row.section}.{row.name}",
            value=_shown(row, getattr(found, row.field)),
            origin=_origin(row, config, env),
            help=row.help,
        )
        for row in settings.rows()
    ]
    urls = [
        Setting(
            name=f"providers.{provider}.base_url",
            value=url,
            origin=_url_origin(provider, config, env),
            help=f"where {provider} is reached",
        )
        for provider, url in found.base_urls.items()
    ]
    return Config(path=str(home.config), settings=plain + urls, warnings=list(found.warnings))


def configured_port(home: Home, env: Mapping[str, str]) -> int | None:
    """Return the port that config.toml or the environment asks for; None for none, or for any free one."""
    row = next(row for row in settings.rows() if row.name == "port")
    text = read_text(home.config)
    found = settings.load(text, env)
    return found.port or None if _origin(row, _table(text, "config.toml"), env) != "default" else None


def default_port(home: Home, env: Mapping[str, str]) -> int | None:
    """Return the port that a sidecar of this home takes unless told otherwise; None for any free one."""
    return settings.load(read_text(home.config), env).port or None


def save(home: Home, path: Path, text: str) -> None:
    """Put `text` at `path`, mode 0600, whole or not at all, and read it back."""
    SystemDisk().replace(path, text.encode())
    if read_text(path) != text:
        raise SpendGuardError(
            Code.DISK_FAILED,
            f"The disk failed: {path} does not hold what was written",
            remedy="mend the disk",
        )
    runtime.check_modes(home)


@contextlib.contextmanager
def editing(home: Home) -> Iterator[None]:
    """Let one command edit at a time, so that two of them cannot lose each other's change."""
    runtime.prepare(home, SystemDisk())
    path = home.daemon_json.with_name("edit.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _table(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        # The parser's message is left out: it may quote the line, and that line may hold a key.
        raise SpendGuardError(Code.USAGE, f"{name} is not TOML", remedy=f"correct {name}") from None


def _typed(name: str, value: str) -> int | list[int] | list[str] | str:
    """Give a value the type of its setting; what does not fit stays text, and `settings.load` refuses it."""
    default = next((row.default for row in settings.rows() if f"{row.section}.{row.name}" == name), None)
    words = [word.strip() for word in value.split(",")]
    if name == "policy.allow":
        return [word for word in words if word]
    if isinstance(default, tuple) and all(_is_number(word) for word in words):
        return [int(word) for word in words]
    if isinstance(default, bool):
        return value
    return int(value) if isinstance(default, int) and _is_number(value) else value


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _shown(row: settings.Row, value: object) -> str:
    return without_query(_text(value)) if row.field == "price_url" else _text(value)


def _origin(row: settings.Row, config: Mapping[str, Any], env: Mapping[str, str]) -> str:
    if row.name == "control" and env.get("CAP_SIDECAR_OPEN") == "1":
        return "CAP_SIDECAR_OPEN"
    named = next((name for name in row.env if name in env), None)
    return named or ("config.toml" if row.name in config.get(row.section, {}) else "default")


def _url_origin(provider: str, config: Mapping[str, Any], env: Mapping[str, str]) -> str:
    names = (f"SPENDGUARD_{provider.upper()}_BASE_URL", *BASE_URL_NAMES.get(provider, ()))
    named = next((name for name in names if env.get(name)), None)
    table = config.get("providers", {}).get(provider, {})
    return named or ("config.toml" if "base_url" in table else "default")
