"""A program that wants more money, another agent's name, or a key; it is run by `spendguard exec`.

    spendguard exec --agent A --limit 5 -- python hostile_program.py FACTS.json [PART...]

It knows everything but secrets: paths, ports, pids and ids stand in FACTS.json. For each attempt it prints
one JSON line {attempt, result, evidence}: `succeeded` with what was gained, `refused` with why, or `broken`,
which is a fault of the attempt itself. Only the standard library, and our own code where it helps the thief.
The attempts are in `hostile_files`, `hostile_processes`, `hostile_network` and `hostile_commands`.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Attempt = Callable[["Facts"], str]
PARTS: dict[str, dict[str, Attempt]] = {}


class RefusedError(Exception):
    """The attempt came to nothing, for the reason that it says."""


@dataclass(frozen=True)
class Facts:
    """What the program knows. `keyless` and `keyed` are other agents, `keyed_key_id` a key of the latter."""

    home: Path
    user: Path
    backup: Path
    scratch: Path
    code: tuple[Path, ...]
    sidecar: int
    port: int
    agents_port: int
    socket: str
    agent: str
    keyless: str
    keyed: str
    keyed_key_id: str

    @property
    def key(self) -> str:
        """The key that it was given."""
        return os.environ["SPENDGUARD_AGENT_KEY"]

    @property
    def key_id(self) -> str:
        """The id in that key."""
        return self.key.removeprefix("sg_agent_").partition(".")[0]

    @property
    def token_file(self) -> Path:
        """What it would like to read most."""
        return self.home / "admin.token"


def attempt(part: str, name: str) -> Callable[[Attempt], Attempt]:
    """Enter an attempt: it returns what was gained, and raises OSError or RefusedError where nothing was."""

    def enter(function: Attempt) -> Attempt:
        PARTS.setdefault(part, {})[name] = function
        return function

    return enter


def in_child(work: Callable[[], str]) -> str:
    """Do something in a child that may lock itself up or leave a namespace; return what it gained."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            said = "+" + work()
        except (OSError, RefusedError) as error:
            said = f"-{error}"
        except BaseException:  # noqa: BLE001 (told to the parent, which calls it broken)
            said = "!" + traceback.format_exc()
        os.write(writer, said.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        said = told.read().decode()
    os.waitpid(pid, 0)
    if said.startswith("+"):
        return said[1:]
    if said.startswith("!") or not said:
        raise AssertionError(said or "the child died")
    raise RefusedError(said[1:])


def read(path: Path | str) -> str:
    """Read a file: a thief shows what he has."""
    return Path(path).read_bytes()[:4096].decode(errors="replace")


def load(path: str) -> Facts:
    """Read what the program knows."""
    said = json.loads(Path(path).read_text())
    paths = {name: Path(said[name]) for name in ("home", "user", "backup", "scratch")}
    return Facts(**{**said, **paths, "code": tuple(map(Path, said["code"]))})


def run(facts: Facts, parts: Mapping[str, Mapping[str, Attempt]]) -> None:
    """Try everything, and tell of each."""
    for attempts in parts.values():
        for name, function in attempts.items():
            try:
                result, evidence = "succeeded", function(facts)
            except (OSError, RefusedError) as error:
                result, evidence = "refused", str(error)
            except Exception:  # noqa: BLE001 (the test fails on it, and shows this)
                result, evidence = "broken", traceback.format_exc()
            print(json.dumps({"attempt": name, "result": result, "evidence": evidence[:2000]}), flush=True)


if __name__ == "__main__":
    sys.modules["hostile_program"] = sys.modules["__main__"]
    import hostile_commands  # noqa: F401
    import hostile_files  # noqa: F401
    import hostile_network  # noqa: F401
    import hostile_processes  # noqa: F401

    wanted = sys.argv[2:] or list(PARTS)
    run(load(sys.argv[1]), {part: PARTS[part] for part in wanted})
