"""What a program inside `exec` cannot do to the sidecar, and what it can do all the same.

The program is of the same user, here even root, knows where everything is, and tries. Needs Landlock with
rules for ports and signals (Linux 6.12), as the machine of the tests has it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shell import Ran, Shell

SECRET = "sk-canary-0123456789abcdef"

ATTACKS = r"""
import ctypes, json, os, signal, socket, subprocess, sys
home, pid, port, code = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
libc = ctypes.CDLL(None, use_errno=True)
def call(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def reads(path): return lambda: open(path, "rb").read(64)
def writes(path): return lambda: open(path, "ab")
def connects(family, address, protocol=0):
    def attempt():
        with socket.socket(family, socket.SOCK_STREAM, protocol) as made:
            made.settimeout(5); made.connect(address)
    return attempt
def fast_open():
    with socket.socket() as made:
        made.settimeout(5); made.sendto(b"GET / HTTP/1.1\r\n\r\n", 0x20000000, ("127.0.0.1", port))
def through(link): os.symlink(home + "/admin.token", link); return open(link).read()
def raw():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP): pass
def bind_mount():
    os.makedirs("bound", exist_ok=True)
    call(libc.mount(home.encode(), b"bound", None, 4096, None))
def overlaid(): call(libc.unshare(0x10020000)); bind_mount()
proc = f"/proc/{pid}/"
disks = ["/dev/" + name for name in os.listdir("/dev") if name[:2] in ("vd", "sd", "nv")]
attempts = {
    "read the token": reads(home + "/admin.token"),
    "read the journal": reads(home + "/ledger/lock"),
    "change a file": writes(home + "/trust.toml"), "make a file": writes(home + "/config.toml"),
    "truncate": lambda: os.truncate(home + "/trust.toml", 0),
    "delete": lambda: os.unlink(home + "/admin.token"),
    "rename": lambda: os.rename(home + "/trust.toml", home + "/x"),
    "take out": lambda: os.rename(home + "/admin.token", "token"),
    "put in": lambda: (open("config.toml", "w"), os.rename("config.toml", home + "/config.toml")),
    "move the home": lambda: os.rename(home, home + "-2"),
    "move its folder": lambda: os.rename(os.path.dirname(home), os.path.dirname(home) + "-2"),
    "hardlink": lambda: os.link(home + "/admin.token", "hard"), "symlink": lambda: through("soft"),
    "make a folder": lambda: os.mkdir(home + "/x"), "bind mount": bind_mount, "own mounts": overlaid,
    "through /proc/self/root": reads("/proc/self/root" + home + "/admin.token"),
    "by the root of another": reads("/proc/1/root" + home + "/admin.token"),
    "environ": reads(proc + "environ"), "mem": reads(proc + "mem"), "maps": reads(proc + "maps"),
    "root": lambda: os.readlink(proc + "root"), "cwd": lambda: os.readlink(proc + "cwd"),
    "a descriptor": lambda: [os.readlink(proc + "fd/" + name) for name in os.listdir(proc + "fd")][0],
    "the environ of exec": reads(f"/proc/{os.getppid()}/environ"),
    "kill the daemon": lambda: os.kill(pid, signal.SIGKILL),
    "stop the daemon": lambda: os.kill(pid, signal.SIGSTOP),
    "kill exec": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "ptrace": lambda: call(libc.ptrace(16, pid, 0, 0)), "seize": lambda: call(libc.ptrace(0x4206, pid, 0, 0)),
    "read its memory": lambda: call(libc.process_vm_readv(pid, None, 0, None, 0, 0)) or reads(proc + "mem")(),
    "take a descriptor": lambda: call(libc.syscall(438, call(libc.syscall(434, pid, 0)), 5, 0)),
    "connect": connects(socket.AF_INET, ("127.0.0.1", port)),
    "connect by IPv6": connects(socket.AF_INET6, ("::1", port)),
    "connect by another name": connects(socket.AF_INET, ("127.0.0.2", port)),
    "multipath TCP": connects(socket.AF_INET, ("127.0.0.1", port), 262),
    "fast open": fast_open, "raw packets": raw,
    "io_uring": lambda: call(libc.syscall(425, 8, ctypes.create_string_buffer(248))),
    "change our code": writes(code + "/spendguard_cli/app.py"), "add to our code": writes(code + "/httpx.py"),
    "change a module": writes(os.path.join(sys.prefix, "pyvenv.cfg")),
    "add a module": writes(os.path.join(sys.prefix, "lib", "sitecustomize.py")),
    "a raw disk": lambda: [open(disk, "rb").read(1) for disk in disks][0],
}
done = {}
for name, attempt in attempts.items():
    try: done[name] = "done: " + repr(attempt())[:60]
    except (OSError, IndexError) as error: done[name] = "no: " + type(error).__name__
print(json.dumps(done))
"""

SOCKET = r"""
import json, os, socket, sys
def asked(*head):
    with socket.socket(socket.AF_UNIX) as made:
        made.settimeout(10); made.connect(sys.argv[1])
        asked = [{"role": "user", "content": "hello"}]
        body = json.dumps({"model": "mock-small", "messages": asked, "topup_cents": 1}).encode()
        lines = [*head, "host: localhost", "content-type: application/json", f"content-length: {len(body)}"]
        made.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return int(made.recv(64).split()[1])
agent, other, key = os.environ["SPENDGUARD_AGENT_ID"], sys.argv[2], os.environ["SPENDGUARD_AGENT_KEY"]
mine = f"authorization: Bearer {key}"
print(json.dumps([
    asked("GET /v1/agents HTTP/1.1"), asked("GET /v1/agents HTTP/1.1", mine),
    asked(f"POST /v1/agents/{agent}/budget/topup HTTP/1.1", mine),
    asked(f"POST /v1/agents/{agent}/keys HTTP/1.1", mine),
    asked("POST /v1/chat/completions HTTP/1.1", f"x-cynsta-agent-id: {other}"),
    asked("POST /v1/chat/completions HTTP/1.1", f"x-cynsta-agent-id: {other}", mine),
]))
"""

WORKS = r"""
set -e
git init -q . && git config user.email a@b.example && git config user.name a
echo one > one.txt && git add one.txt && git commit -qm one && git mv one.txt two.txt && git commit -qm two
mkdir -p deep/er && mv two.txt deep/er/ && ln -s deep/er/two.txt link && cat link && rm -r deep link
echo in-tmp > "$TMPDIR/file" && cat "$TMPDIR/file" && mktemp > /dev/null
sh -c 'exit 3' || echo "code $?"
cat <(echo process)
"$1" - <<'PY'
import asyncio, multiprocessing, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, urllib.request
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()): print("own server")
with tempfile.TemporaryDirectory() as folder:
    with socket.socket(socket.AF_UNIX) as made: made.bind(folder + "/s"); print("own socket")
    sqlite3.connect(folder + "/db").execute("create table t(a)"); print("own database")
own = subprocess.run([sys.executable, "-c", "print('own python')"], capture_output=True, text=True)
print(own.stdout.strip())
with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, [-1, -2])))
for host, port in (("127.0.0.1", 1), ("192.0.2.1", 443)):
    made = socket.socket(); made.settimeout(0.5)
    try: made.connect((host, port)); print("connected")
    except PermissionError: print("forbidden")
    except OSError: print("tried")
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); made.connect(("192.0.2.1", 53)); print("datagrams")
PY
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A sidecar that has a provider key in its environment."""
    shell = Shell(tmp_path_factory.mktemp("isolation") / "home", OPENAI_API_KEY=SECRET)
    shell.ok("up")
    yield shell
    shell.end()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to work in."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def run_in(folder: Path, shell: Shell, *words: str, **env: str) -> Ran:
    """Run a command of ours in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "spendguard_cli", *words],
        cwd=folder,
        env=shell.env | env,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def attacked(folder: Path, shell: Shell, agent_id: str, *options: str) -> dict[str, str]:
    daemon = shell.daemon()
    code = Path(__file__).parents[2]
    ran = run_in(
        folder,
        shell,
        *("exec", "--agent", agent_id, *options, "--", sys.executable, "-c", ATTACKS),
        *(str(shell.home), str(daemon["pid"]), str(daemon["port"]), str(code)),
    )
    done: dict[str, str] = json.loads(ran.out)
    return done


def test_nothing_of_the_sidecar_is_in_reach(shell: Shell, project: Path) -> None:
    agent_id = shell.agent("attacker", cents=100)
    before = {path: path.read_bytes() for path in shell.home.rglob("*.toml")}
    pid = shell.daemon()["pid"]
    done = attacked(project, shell, agent_id, "--isolate")
    assert {name: said for name, said in done.items() if not said.startswith("no: ")} == {}
    assert {path: path.read_bytes() for path in shell.home.rglob("*.toml")} == before
    assert shell.ok("status", "--json").json["pid"] == pid
    assert shell.ok("budget", "get", "--agent", agent_id).keys["remaining_usd"] == "1.00"


def test_its_unix_socket_opens_nothing_without_the_token(shell: Shell, project: Path) -> None:
    """Landlock knows no rule for such sockets, so the sidecar itself must refuse."""
    agent_id, other_id = shell.agent("knocks", cents=100), shell.agent("other", cents=100)
    words = ("exec", "--agent", agent_id, "--", sys.executable, "-c", SOCKET)
    ran = run_in(project, shell, *words, str(shell.home / "run" / "daemon.sock"), other_id)
    assert json.loads(ran.out) == [401, 401, 401, 401, 401, 403]
    for one in (agent_id, other_id):
        assert shell.ok("budget", "get", "--agent", one).keys["remaining_usd"] == "1.00"


REFUSED_INSIDE = """budget set --agent {0} --limit 999
budget topup --agent {0} --amount 1
budget adjust --call c --to 0
budget daemon set --off
agent create
agent set {0} --concurrency shared
agent unfreeze {0}
agent key {0}
agent delete {0} --yes
agent list
config set access.control open-loopback
config allow a.b:c
provider set-key openai
provider list
pricing refresh
ledger restore nothing --yes
up
down --now
restart
exec --limit 5 -- true
status"""
READ_INSIDE = ["budget get", "budget get --agent {0}", "run list --agent {0}"]

VERBS = """
import contextlib, io, json, os, sys
from spendguard_cli.app import _outcome
sys.stdin, done = open(os.devnull), {}
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = int(_outcome(words.split()))
    done[words] = (code, said.getvalue())
print(json.dumps(done))
"""
"""All in one process, as each would need most of a second to start."""


@pytest.mark.parametrize("isolation", ["--isolate", "--no-isolate"])
def test_verbs_of_operators_are_refused_inside(isolation: str, shell: Shell, project: Path) -> None:
    agent_id = shell.agent(f"inside {isolation}", cents=100)
    refused = [words.format(agent_id) for words in REFUSED_INSIDE.splitlines()]
    read = [words.format(agent_id) for words in READ_INSIDE]
    program = (sys.executable, "-c", VERBS, json.dumps(refused + read))
    ran = run_in(project, shell, "exec", "--agent", agent_id, isolation, "--", *program)
    said = json.loads(ran.out)
    done = {words: (code, "Not allowed here" in text) for words, (code, text) in said.items()}
    assert done == {**dict.fromkeys(refused, (5, True)), **dict.fromkeys(read, (0, False))}
    assert said["status"][1].endswith(f"try: spendguard agent get {agent_id}\n")
    assert shell.ok("budget", "get", "--agent", agent_id).keys["remaining_usd"] == "1.00"


def test_what_programs_do_works(shell: Shell, project: Path) -> None:
    script = project.parent / "works.sh"
    script.write_text(WORKS)
    words = ("exec", "--limit", "5", "--isolate", "--", "bash", str(script), sys.executable)
    ran = run_in(project, shell, *words)
    assert ran.code == 0, ran
    assert ran.out.splitlines() == [
        *("one", "in-tmp", "code 3", "process"),
        *("own server", "own socket", "own database", "own python", "3", "tried", "tried", "datagrams"),
    ]
    assert list(Path(os.environ.get("TMPDIR", "/tmp")).glob("spendguard-exec-*/tmp/file")) == []


def test_a_folder_with_the_home_in_it_is_told_of(shell: Shell, project: Path) -> None:
    home = project / ".spendguard"
    inner = Shell(home)
    try:
        ran = run_in(project, inner, "exec", "--limit", "5", "--", "sh", "-c", "touch new || echo refused")
        assert (ran.code, ran.out) == (0, "refused\n")
        (told,) = [line for line in ran.err.splitlines() if "nothing can be made, removed," in line]
        assert f"directly in {project} " in told
        assert str(home) in told
        assert "--no-isolate" in told
        ran = run_in(project, inner, "exec", "--limit", "5", "--no-isolate", "--", "touch", "new")
        assert (ran.code, (project / "new").exists()) == (0, True)
    finally:
        inner.end()


def test_the_folder_of_the_user_is_told_of_elsewhere_too(shell: Shell, project: Path) -> None:
    """In one line, which names it: it is there that tools keep their files."""
    agent_id, user = shell.agent("elsewhere", cents=5), str(shell.home.parent)
    edit = 'echo a > "$HOME/new" || sed -i s/a/b/ "$HOME/old" || echo refused'
    (shell.home.parent / "old").write_text("a\n")
    ran = run_in(project, shell, "exec", "--agent", agent_id, "--", "sh", "-c", edit, HOME=user)
    assert ran.out == "refused\n"
    (told,) = [line for line in ran.err.splitlines() if line.startswith("spendguard: isolated")]
    assert "directly in ~ nothing can be made, removed, renamed or replaced" in told
    assert f"because of ~/{shell.home.name}" in told
    assert user not in told


WITHOUT_LANDLOCK = """
import ctypes, os, sys
class Step(ctypes.Structure):
    _fields_ = tuple(zip("cabk", (ctypes.c_uint16, ctypes.c_uint8, ctypes.c_uint8, ctypes.c_uint32)))
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(Step)))
refuse = Step(6, 0, 0, 0x50000 | 38)
steps = (Step * 4)(Step(0x20, 0, 0, 0), Step(0x15, 0, 1, 444), refuse, Step(6, 0, 0, 0x7FFF0000))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.byref(Program(4, steps)), 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "spendguard_cli", *sys.argv[1:]])
"""
"""A system call filter that has no Landlock, as some containers have it."""


def test_without_landlock_it_goes_on_and_says_so_unless_it_must(shell: Shell, project: Path) -> None:
    agent_id = shell.agent("bare", cents=5)

    def filtered(*words: str) -> Any:
        command = [sys.executable, "-c", WITHOUT_LANDLOCK, "exec", "--agent", agent_id, *words]
        return subprocess.run(command, cwd=project, env=shell.env, capture_output=True, text=True)

    ran = filtered("--", "echo", "ran")
    assert (ran.returncode, ran.stdout) == (0, "ran\n")
    assert "spendguard: not isolated: this system has no Landlock" in ran.stderr
    ran = filtered("--isolate", "--", "echo", "ran")
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "not isolated" in ran.stderr
    ran = filtered("--no-isolate", "--", "echo", "ran")
    assert (ran.returncode, ran.stdout) == (0, "ran\n")
    assert "not isolated" not in ran.stderr
    listed = shell.ok("agent", "key", agent_id, "--list", "--json").json
    assert [key["revoked"] for key in listed] == [True] * 3
