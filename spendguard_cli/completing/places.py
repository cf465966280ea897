"""Where each shell looks for completions of a user's own, and what has to be typed for them to be there."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from spendguard_cli.completing.scripts import MARK, SCRIPTS, SHELLS
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.plain_files import read_plain
from spendguard_daemon.system import SystemDisk

BASH_COMPLETION = ("/usr/share/bash-completion/bash_completion", "/etc/bash_completion")


def shell_of(env: Mapping[str, str]) -> str:
    """Return the user's shell; raises USAGE where there are no completions for it."""
    name = Path(env.get("SHELL", "")).name
    if name in SHELLS:
        return name
    raise SpendGuardError(
        Code.USAGE,
        f"SHELL names {name!r}, and completions are for bash, zsh and fish"
        if name
        else "SHELL is not set, so the shell is not known",
        remedy="spendguard completions install bash",
    )


def place_of(shell: str, env: Mapping[str, str]) -> Path:
    """Return where a shell finds the script by itself."""
    home = Path(env.get("HOME") or Path.home())
    if shell == "bash":
        data = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
        own = Path(env.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion")
        return own / "completions" / "spendguard"
    if shell == "zsh":
        return Path(env.get("ZDOTDIR") or home) / ".zfunc" / "_spendguard"
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "fish" / "completions" / "spendguard.fish"


def install(shell: str, path: Path) -> bool:
    """Write the script; return whether that changed anything. Raises USAGE for a file that is not ours."""
    text = SCRIPTS[shell]
    before = read_plain(path).decode(errors="replace") if path.exists() else None
    if before == text:
        return False
    if before is not None and MARK not in before:
        raise SpendGuardError(
            Code.USAGE,
            f"{path} is there already, and holds no completions of spendguard",
            remedy=f"spendguard completions install {shell} --path FILE, with a file that is new",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    SystemDisk().replace(path, text.encode())
    return True


def then(shell: str, path: Path, env: Mapping[str, str]) -> list[str]:
    """Return what is left to do, as lines that can be typed; files of the user's own are left alone."""
    quoted = shlex.quote(str(path))
    if path != place_of(shell, env):
        return [f"source {quoted}"]
    if shell == "zsh":
        folder = shlex.quote(str(path.parent))
        rc = Path(env.get("ZDOTDIR") or env.get("HOME") or Path.home()) / ".zshrc"
        line = f"fpath=({folder} $fpath); autoload -Uz compinit; compinit"
        if rc.exists() and ".zfunc" in rc.read_text(encoding="utf-8", errors="replace"):
            return ["exec zsh"]
        return [f"echo {shlex.quote(line)} >> {shlex.quote(str(rc))}", "exec zsh"]
    if shell == "bash" and not any(Path(known).exists() for known in BASH_COMPLETION):
        return [f"source {quoted}"]  # what would find it by itself is the package bash-completion
    return [f"exec {shell}"]
