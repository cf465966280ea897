"""Lines drawn at random from the whole tree, where a sidecar is up and where none is: no traceback.

The seed is printed, and SPENDGUARD_TEST_SEED fixes it.
"""

import os
import random
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from damages import complaints, end_sidecars_of, in_time
from drawn_lines import LEAVES, NEVER_DONE, WORDS, drawn, furnish, surroundings
from shell import PROGRAM, Quick, Ran, Shell, finish
from warm import as_line, is_cold

SEED = int(os.environ.get("SPENDGUARD_TEST_SEED", random.SystemRandom().randrange(10**9)))
LINES_A_PART = 150
NOWHERE = "http://127.0.0.1:9"
PROVIDERS = {f"SPENDGUARD_{name}_BASE_URL": NOWHERE for name in ("OPENAI", "GROK", "ANTHROPIC", "GEMINI")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that lines are typed in, deep enough that `..` is a place of ours too."""
    folder = tmp_path_factory.mktemp("typed") / "a" / "b"
    folder.mkdir(parents=True)
    yield folder
    end_sidecars_of(folder.parent)


@pytest.fixture(scope="module")
def words(place: Path) -> list[str]:
    return [*WORDS, *furnish(place)]


@pytest.fixture(autouse=True)
def _typed_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def _check(shell: Quick, line: list[str], **env: str) -> None:
    what = f"SPENDGUARD_TEST_SEED={SEED}: {line} with {env}"
    try:
        ran = in_time(shell, ["--no-spawn", *line], **env)  # first, where no option takes it for its value
    except Exception as error:
        raise AssertionError(what) from error
    found = [] if "Usage" in ran.out else complaints(ran, line or [""])
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize("part", range(2))
def test_no_drawn_line_ends_in_a_traceback(part: int, words: list[str], place: Path) -> None:
    """Inside `exec`, so that no sidecar is ever started, and in surroundings that make no sense."""
    rng = random.Random(f"{SEED} {part}")
    shell = Quick(place / "home", SPENDGUARD_EXEC="1", HOME=str(place), **PROVIDERS)
    for _ in range(LINES_A_PART):
        _check(shell, drawn(rng, words), **surroundings(rng, words))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """An operator's shell with a running sidecar, which reaches no provider."""
    home = tmp_path_factory.mktemp("live") / "home"
    shell = Quick(home, HOME=str(home.parent), **PROVIDERS)
    assert finish(shell.start("up")).code == 0
    shell.agent("worker", cents=500)
    yield shell
    end_sidecars_of(home)


@pytest.mark.parametrize("part", range(2))
def test_no_drawn_line_ends_in_a_traceback_where_a_sidecar_is_up(
    part: int, words: list[str], live: Quick
) -> None:
    """All that a line may do to a sidecar is done to this one."""
    rng = random.Random(f"{SEED} live {part}")
    for _ in range(LINES_A_PART):
        _check(live, drawn(rng, words))


def test_every_command_is_drawn() -> None:
    """Those that are never done are still in the tree, or not yet."""
    rng = random.Random(SEED)
    seen = {tuple(drawn(rng, ["x"])[:2]) for _ in range(4_000)}
    assert {path[:2] if len(path) > 1 else path[:1] for path in LEAVES} <= seen | {one[:1] for one in seen}
    assert {path for path in NEVER_DONE if path not in LEAVES} <= {("watch",)}


PROGRAM_LINE = shlex.join(PROGRAM)
TYPED = (
    "--help",
    "--version",
    "",
    "status",
    "config show",
    "doctor",
    "agent --help",
    "completions show bash",
)


def _typed(line: str, shell: Shell, *, cold: bool = True, **env: str) -> Ran:
    """Let a shell run a line, in which PROGRAM is ours."""
    done = subprocess.run(
        ["/bin/sh", "-c", line.replace("PROGRAM", PROGRAM_LINE if cold or is_cold(shell.env) else as_line())],
        env=shell.env | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@pytest.mark.parametrize("line", TYPED)
def test_a_device_that_is_full_is_told_of(line: str, bare: Quick) -> None:
    ran = _typed(f"PROGRAM {line} > /dev/full", bare, cold=line in ("--help", "status"))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: No space left on device"), ran.err


@pytest.mark.parametrize("streams", ["> /dev/full 2>&1", "2> /dev/full", "<&- >&- 2>&-", "2>&- < /dev/full"])
@pytest.mark.parametrize("line", ["status", "agent get x", "no-such-command"])
def test_streams_that_take_nothing_are_no_fault(line: str, streams: str, bare: Quick) -> None:
    """There may be nowhere to say anything; the exit code says it all the same."""
    ran = _typed(f"PROGRAM {line} {streams}", bare)
    assert not ran.err, ran
    assert ran.code in ((1, 3) if line == "status" else (2, 3, 5) if line == "agent get x" else (1, 2)), ran


@pytest.mark.parametrize(
    "line", ["doctor -", "provider set-key openai", "agent mint --limit 5", "doctor 402"]
)
@pytest.mark.parametrize(
    "stdin", ["head -c 100000 /dev/urandom", "head -c 50000000 /dev/zero", "true", "printf '\\377'"]
)
def test_standard_input_of_any_kind_is_read_or_refused(line: str, stdin: str, shell: Shell) -> None:
    ran = _typed(f"{stdin} | PROGRAM {line} --no-spawn", shell, cold=False)
    assert not complaints(ran, line.split()), ran


@pytest.mark.parametrize(
    "line", ["status", "doctor --json", "config show", "ledger verify", "ledger backup here"]
)
def test_a_folder_that_is_gone_is_no_fault(line: str, shell: Shell) -> None:
    """The one that the command is typed in: it was deleted under the shell's feet."""
    ran = _typed(f'cd "$(mktemp -d)" && rmdir "$PWD" && PROGRAM {line}', shell)
    assert not complaints(ran, line.split()), ran


@pytest.mark.parametrize("home", ["gone", "relative/path", "~/below", "~nobody-of-this-name/x"])
def test_a_home_by_a_strange_name_is_no_fault(home: str, shell: Shell) -> None:
    """Where the folder that it is relative to is gone, too."""
    ran = _typed('cd "$(mktemp -d)" && rmdir "$PWD" && PROGRAM up', shell, SPENDGUARD_HOME=home, HOME="x")
    assert not complaints(ran, ["up"]), ran
