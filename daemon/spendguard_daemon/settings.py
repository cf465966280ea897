"""Every setting, in one frozen dataclass, read once: flag > environment > config.toml > default (design 8).

Each setting of `setting_table` is also `SPENDGUARD_SECTION_NAME` in the environment, and some have the name
that the original gave them. Pure: text and mappings in, `Settings` out.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from spendguard_daemon.addresses import (
    SHOW,
    check_price_url,
    read_base_urls,
    settle_price_source,
    wrong,
)
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.setting_table import CHOICES, RANGES, Settings
from spendguard_daemon.setting_values import (
    UNVERIFIED_PRICES,
    read_features,
    read_flag,
    read_hosts,
    read_integer,
    read_line,
    read_listen,
    read_origins,
    read_overrides,
)

__all__ = ("CHOICES", "KEY_NAMES", "PROVIDERS", "RANGES", "Row", "Settings", "load", "rows")

PROVIDERS = ("openai", "grok", "anthropic", "gemini")
KEY_NAMES = {
    "openai": ("OPENAI_API_KEY",),
    "grok": ("XAI_API_KEY", "GROK_API_KEY"),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
IGNORED = ("CAP_STORE", "CAP_SQLITE_PATH", "CAP_ALLOWED_ORIGINS")
"""Settings of the original that mean nothing here: warned about, never obeyed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as `config show` lists it: where it lives, its field here, and what it is for."""

    section: str
    name: str
    field: str
    default: object
    help: str
    env: tuple[str, ...]


def rows() -> tuple[Row, ...]:
    """Return every plain setting, in order of the dataclass."""
    return tuple(
        _row(f.metadata["name"] or f.name, f.name, f.default, f.metadata)
        for f in fields(Settings)
        if f.metadata
    )


def load(config_text: str, env: Mapping[str, str], flags: Mapping[str, object] | None = None) -> Settings:
    """Read settings from config.toml's text, the environment and flags (by field name).

    Raises USAGE naming the setting and what it takes; an unknown key in config.toml is an error too, since a
    misspelt limit that is silently ignored is no limit.
    """
    config = _parse(config_text)
    values: dict[str, Any] = {}
    warnings = [f"{name} is set, but means nothing here" for name in IGNORED if name in env]
    for row in rows():
        found = _pick(row, config, env, flags or {})
        if found is not None:
            values[row.field] = _check(row, *found)
    if env.get("CAP_SIDECAR_OPEN") == "1":
        values["control"] = "open-loopback"
    overrides = read_overrides(config)
    settle_price_source(values)
    if overrides and values.get("price_source") == "remote":
        warnings.append("[prices.overrides] mean nothing: the remote source alone says what a call costs")
    if values.get("listen") and values.get("bare_header") != "refuse":
        raise wrong(
            "[access] listen",
            "agent keys: spendguard up --require-agent-key, or [access] bare_header = refuse",
            remedy="spendguard config set access.bare_header refuse",
        )
    if values.get("price_verify_signature") is False:
        warnings.insert(0, UNVERIFIED_PRICES)
    return Settings(
        **values, base_urls=read_base_urls(config, env), price_overrides=overrides, warnings=tuple(warnings)
    )


def _row(name: str, field_name: str, default: object, metadata: Mapping[str, Any]) -> Row:
    section = metadata["section"]
    env = (f"SPENDGUARD_{section}_{name}".upper(), *metadata["env"])
    return Row(section, name, field_name, default, metadata["help"], env)


def _parse(text: str) -> dict[str, Any]:
    try:
        config = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of a number that has no end, or nesting
        raise SpendGuardError(
            Code.USAGE, f"config.toml is not TOML: {error}", remedy="correct that line"
        ) from None
    known: dict[str, set[str]] = {"providers": set(PROVIDERS), "prices": {"overrides"}}
    for row in rows():
        known.setdefault(row.section, set()).add(row.name)
    for section, content in config.items():
        if section not in known or not isinstance(content, dict):
            raise SpendGuardError(Code.USAGE, f"config.toml: [{section}] is not a section", remedy=SHOW)
        for name in content:
            if name not in known[section]:
                raise SpendGuardError(
                    Code.USAGE, f"config.toml: [{section}] {name} is no setting", remedy=SHOW
                )
    return config


def _pick(
    row: Row, config: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[object, str] | None:
    if flags.get(row.field) is not None:
        return flags[row.field], f"--{row.field.replace('_', '-')}"
    for name in row.env:
        if name in env:
            return env[name], name
    if row.name in config.get(row.section, {}):
        return config[row.section][row.name], f"config.toml: [{row.section}] {row.name}"
    return None


def _check(row: Row, value: object, origin: str) -> object:
    """Turn a value, or its text from the environment, into the type of the default."""
    if row.field in CHOICES:
        if value not in CHOICES[row.field]:
            raise wrong(origin, f"one of {', '.join(CHOICES[row.field])}")
        return value
    if row.field in _READERS:
        return _READERS[row.field](value, origin)
    if isinstance(row.default, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise wrong(origin, "a list of HTTP statuses")
        return tuple(read_integer(item, origin, 100, 599) for item in items)
    return read_integer(value, origin, *RANGES[row.field])


_READERS: Mapping[str, Callable[[object, str], object]] = {
    "allow": read_features,
    "hosts": read_hosts,
    "origins": read_origins,
    "listen": read_listen,
    "price_url": check_price_url,
    "price_public_key": read_line,
    "price_verify_signature": read_flag,
}
