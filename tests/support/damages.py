"""Homes damaged at random: whatever is broken in one, each command says so in a sentence, and none hangs.

`Template` is a home with a history, of which `Damaged` takes a copy for each seed, breaks one to three things
in it, and runs a fixed list of commands. `faults` are sentences for whoever reads a failure; none is well.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from shell import Quick, Ran, finish
from spendguard_daemon.codes import Exit

PATIENCE_SECONDS = 20
"""No command may take longer on a damaged home; one that starts a sidecar has three times as long."""
BALLAST_BYTES = 16 * 1024 * 1024
EXTENSION_BYTES_MAX = 100_000
STARTS_OF = 6
"""One damaged home of so many is given to a real sidecar."""

OTHER_TYPES = (b"{}", b"[]", b"0", b"null", b'"text"', b"[keys]\nopenai = 5\n", b"policy = 1\n", b"[[key]]\n")
HUGE = b"9" * 5_000
STRANGE = (
    *OTHER_TYPES,
    HUGE,
    b'{"port": ' + HUGE + b"}",
    b"[daemon]\nport = " + HUGE + b"\n",
    b'{"seq":' + HUGE + b"}\n",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"a = " + b"[" * 5_000,
    b"\xff\xfe\x00\x80",
    b"\x00" * 4_096,
    b"\n",
    b"\xef\xbb\xbf{}",
    b"\x1b[2J\x1b]0;title\x07 and \xe2\x80\xae more",
)


class TooLongError(BaseException):
    """A command went on for too long; no handler of the command line may take it for its own."""


def _flip(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes()[:BALLAST_BYTES]) or bytearray(b"\0")
    for _ in range(rng.choice((1, 1, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(rng: random.Random, path: Path) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def _extend(rng: random.Random, path: Path) -> None:
    with path.open("ab") as file:
        file.write(rng.choice((rng.randbytes(rng.randrange(EXTENSION_BYTES_MAX)), *STRANGE)))


def _zero(rng: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes()[:BALLAST_BYTES])
    start = rng.randrange(len(content) + 1)
    end = rng.randrange(start, len(content) + 1)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


def _empty(_rng: random.Random, path: Path) -> None:
    path.write_bytes(b"")


def _overwrite(rng: random.Random, path: Path) -> None:
    path.write_bytes(rng.choice(STRANGE))


def _retype(rng: random.Random, path: Path) -> None:
    """Give one value of a JSON file another type, or a number that is too large."""
    lines = path.read_bytes().splitlines() or [b"{}"]
    number = rng.randrange(len(lines))
    with contextlib.suppress(ValueError):
        value = json.loads(lines[number])
        if isinstance(value, dict) and value:
            name = rng.choice(sorted(value))
            value[name] = rng.choice((None, [], {}, -1, 2**63, 2**200, "\ud800", 1.5, True, "x" * 10_000))
            lines[number] = json.dumps(value).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def _double(rng: random.Random, path: Path) -> None:
    """Say a line twice, as an editor or a restored copy does."""
    lines = path.read_bytes().splitlines(keepends=True) or [b"\n"]
    number = rng.randrange(len(lines))
    path.write_bytes(b"".join([*lines[: number + 1], *lines[number:]]))


IN_FILES: tuple[Callable[[random.Random, Path], None], ...] = (
    _flip,
    _cut,
    _extend,
    _zero,
    _empty,
    _overwrite,
    _retype,
    _double,
)


def _away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _delete(_rng: random.Random, path: Path) -> None:
    _away(path)


def _folder(_rng: random.Random, path: Path) -> None:
    _away(path)
    path.mkdir(mode=0o700)


def _file(rng: random.Random, path: Path) -> None:
    _away(path)
    path.write_bytes(rng.choice(STRANGE))
    path.chmod(0o600)


def _loop(_rng: random.Random, path: Path) -> None:
    _away(path)
    path.symlink_to(path)


def _dangle(_rng: random.Random, path: Path) -> None:
    _away(path)
    path.symlink_to(path.with_name("nothing") / "here")


def _pipe(_rng: random.Random, path: Path) -> None:
    _away(path)
    os.mkfifo(path, 0o600)


def _device(rng: random.Random, path: Path) -> None:
    """Put a null device of its own here: a link would let a repair reach the one of the machine."""
    _away(path)
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:  # who is not root gets another thing that is no file
        os.mkfifo(path, 0o600)


def _mode(rng: random.Random, path: Path) -> None:
    if path.exists() and not path.is_symlink():
        path.chmod(rng.choice((0o000, 0o200, 0o400, 0o666, 0o777, 0o755, 0o100)))


def _age(rng: random.Random, path: Path) -> None:
    seconds = rng.choice((0, 1, 4_000_000_000, 100_000_000_000))
    if os.path.lexists(path):
        os.utime(path, (seconds, seconds), follow_symlinks=False)


AS_WHOLE = (_delete, _folder, _file, _loop, _dangle, _pipe, _device, _mode, _age)


def damage(rng: random.Random, home: Path) -> list[str]:
    """Break one to three things of a home; return what was done, for people."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = [home, *sorted(home.rglob("*"), key=_order)]
        path = rng.choice(places if rng.random() < 0.95 else [home])
        plain = path.is_file() and not path.is_symlink() and path.name != "ballast"
        how = rng.choice(IN_FILES if plain and rng.random() < 0.6 else AS_WHOLE)
        done.append(f"{how.__name__.strip('_')} {path.relative_to(home.parent)}")
        how(rng, path)
    return done


def _order(path: Path) -> tuple[str, str, str]:
    """Put files in an order that does not depend on their hashes, so that a seed breaks the same ones."""
    return str(path.parent), path.suffix, path.name


@dataclass(frozen=True)
class Template:
    """A home with agents, calls, refusals, keys and a backup, and what commands may ask it for."""

    home: Path
    agent_id: str
    call_id: str

    @classmethod
    def make(cls, folder: Path) -> "Template":
        """Make one by a real sidecar that then ends."""
        shell = Quick(folder / "home")
        assert finish(shell.start("up")).code == 0
        try:
            agent_id = shell.agent("worker", cents=50)
            shell.agent("idle")
            call_id = shell.call(agent_id).headers["x-spendguard-call-id"]
            assert shell.call(shell.agent("poor", cents=0), max_tokens=9_000).status_code == 402
            shell.ok("agent", "key", "worker", "--label", "first")
            shell.ok("agent", "freeze", "idle", "--reason", "for now")
            shell.ok("provider", "set-key", "openai", stdin="sk-of-a-damaged-home")
            shell.ok("config", "set", "policy.overflow", "refuse")
            shell.ok("ledger", "backup", str(folder / "home" / "backup"))
        finally:
            shell.end()
        (folder / "home" / "ledger" / "ballast").unlink(missing_ok=True)
        return cls(folder / "home", agent_id, call_id)

    def copy(self, place: Path) -> None:
        """Put a copy at `place`, with a ballast that takes no room."""
        shutil.copytree(self.home, place)
        ballast = place / "ledger" / "ballast"
        ballast.touch(mode=0o600)
        os.truncate(ballast, BALLAST_BYTES)

    def commands(self) -> list[list[str]]:
        """Return what is run on a damaged home; none starts a sidecar."""
        still = "--no-spawn"
        return [
            [still],
            ["status"],
            ["agent", "list", still],
            ["agent", "get", "worker", still],
            ["explain", self.call_id, still],
            ["ledger", "verify"],
            ["ledger", "export"],
            ["config", "show"],
            ["pricing", "show", still],
            ["provider", "list", still],
            ["logs", "-n", "5"],
            ["budget", "get", "--agent", self.agent_id, still],
            ["doctor", still],
            ["doctor", "--json", still],
            ["doctor", "--fix", still],
        ]


@dataclass
class Damaged:
    """One damaged home: what was done to it, and what was wrong with what was said of it."""

    template: Template
    folder: Path
    seed: int
    done: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    commands: int = 0
    starts: int = 0

    def run(self) -> None:
        """Break a copy, run all commands on it, and leave no process and no file behind."""
        rng = random.Random(self.seed)
        home = self.folder / f"damaged-{self.seed}"
        self.template.copy(home)
        shell = Quick(home, SPENDGUARD_OPENAI_BASE_URL="http://127.0.0.1:9")
        try:
            self.done = damage(rng, home)
            starts = rng.randrange(STARTS_OF) == 0
            for words in self.template.commands():
                self._look(shell, words)
            if starts:
                self._start(shell)
            self._look(shell, ["down", "--now"])
        finally:
            end_sidecars_of(home)
            if home.is_dir() and not home.is_symlink():
                home.chmod(0o700)
            _away(home)

    def _start(self, shell: Quick) -> None:
        """Start a real sidecar; where it does not come up, the doctor knows what to do about it."""
        self.starts += 1
        ran = _finished(shell, "up")
        self._judge(["up"], ran)
        if ran.code == 0:
            for words in self.template.commands():
                self._look(shell, words)
            return
        said = in_time(shell, ["doctor", "--json", "--no-spawn"])
        self.faults += [f"{one}, after up said {ran.err!r}" for one in _lacks(said)]

    def _look(self, shell: Quick, words: list[str]) -> None:
        try:
            ran = in_time(shell, words)
        except TooLongError:
            self.faults.append(f"{' '.join(words)}: took more than {PATIENCE_SECONDS} s")
            return
        except Exception as error:  # noqa: BLE001 (whatever it is, a person would see its traceback)
            self.faults.append(f"{' '.join(words)}: {_trace(error)}")
            return
        self._judge(words, ran)

    def _judge(self, words: list[str], ran: Ran) -> None:
        self.commands += 1
        self.faults += [f"{' '.join(words)}: {one}" for one in complaints(ran, words)]


def complaints(ran: Ran, words: Sequence[str]) -> list[str]:
    """Return what is wrong with how a command ended: its code, what it said, what to type next."""
    doctor = words[0] == "doctor"
    found = [] if ran.code in set(Exit) else [f"exit {ran.code}"]
    if "Traceback" in ran.err + ran.out or "internal:" in ran.err:
        found.append(f"a fault of our own: {ran.err}")
    if doctor and "could not be looked at" in ran.out:
        found += [line for line in ran.out.splitlines() if "could not be looked at" in line]
    if ran.code in (Exit.OK, Exit.INTERRUPTED) or (doctor and ran.out):
        return found
    sentence, remedy = _said(ran.err)
    down = ran.code in (Exit.FAILED, Exit.NO_DAEMON, Exit.PRICING, Exit.LEDGER) and ran.out
    if not down and not sentence:
        found.append(f"exit {ran.code} without a sentence: {ran}")
    if sentence.startswith("error: ") and not remedy:
        found.append(f"nothing to type next: {ran.err}")
    return found


def _said(err: str) -> tuple[str, str]:
    """Return the sentence that a command ended with, and what it says to type next, both if there."""
    lines = err.splitlines()
    with contextlib.suppress(ValueError, KeyError, IndexError):
        error = json.loads(lines[-1])["error"]
        return f"error: {error['detail']}", error["remedy"]
    told = [line for line in lines if line.startswith(("error: ", "warning: "))]
    tries = [line for line in lines if line.startswith("try: ")]
    return "".join(told[-1:]), "".join(tries)


def _lacks(said: Ran) -> Iterator[str]:
    """Tell what a doctor should have said of a home in which no sidecar starts."""
    findings = json.loads(said.out)["findings"] if said.out else []
    if not findings or findings[0]["level"] not in ("red", "warning"):
        yield f"the doctor finds nothing: {said}"
    elif not (findings[0]["remedy"] or findings[0]["deed"]):
        yield f"the doctor knows no way out: {findings[0]}"


def in_time(shell: Quick, words: Sequence[str], **env: str) -> Ran:
    """Run a command in this process, for so long only; raise TooLongError."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError

    usual = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        return shell.run(*words, **env)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def _finished(shell: Quick, *words: str) -> Ran:
    process = shell.start(*words)
    try:
        out, err = process.communicate(b"", 3 * PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ran(-1, out.decode(), err.decode())
    return Ran(process.returncode, out.decode(), err.decode())


def _trace(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {str(error)[:300]} at {where}"


def end_sidecars_of(home: Path) -> None:
    """Kill what still runs for this home, or one below it, whatever became of the files that say so."""
    wanted = f"SPENDGUARD_HOME={home}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                int(process.name) != os.getpid()
                and any(one == wanted or one.startswith(wanted + b"/") for one in _environment(process))
                and b"spendguard_daemon" in (process / "cmdline").read_bytes()
            ):
                os.kill(int(process.name), signal.SIGKILL)


def _environment(process: Path) -> list[bytes]:
    return (process / "environ").read_bytes().split(b"\0")


def run(template: Template, folder: Path, seeds: Iterable[int]) -> Counter[str]:
    """Break a home for each seed; return what was done. Fails at the first of which nonsense is said."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        one = Damaged(template, folder, seed)
        one.run()
        told = "\n".join(one.faults)
        assert not one.faults, f"a home damaged with seed {seed} ({', '.join(one.done)}):\n{told}"
        counts += Counter({"damages": 1, "commands": one.commands, "sidecars started": one.starts})
    return counts
