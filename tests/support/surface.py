"""Everything that the sidecar's own document says can be asked, asked as schemathesis draws it, and worse.

    python tests/support/surface.py <seed> <examples> <share> <shares>

asks one share of the operations so often each, and prints a line of JSON for each: how often which answer
came. It is a process of its own, since schemathesis changes hypothesis for all that runs beside it.

A real daemon, and a provider on loopback that plays recordings; nothing else is reached. An example is drawn
from the schema, or against it. In part of them ids are those of agents, runs and calls that exist, and bodies
those of recorded calls, so that what lies behind the first refusal is asked too; in part there are hostile
headers beside them, or hostile bytes in their place. Every answer must be one that the document has: its
status, type, headers, shape, and its code among those of the operation. None may be a 5xx. `shutdown` is not
asked, as it would end the daemon, nor `events`, which has no end.
"""

import json
import string
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Self

import hypothesis
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from hostile_requests import BODIES, HOSTILE
from recorded import RecordedUpstream
from replies import Recording, load_all
from sidecar import Sidecar

LEFT_OUT = frozenset({"shutdown", "events"})
AGENTS = 24
"""Of each kind, so that the pace of one does not hide what lies behind it."""

CALLS_MAX = 40

MOCK = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
CONFORMS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_NAMES = ("x-cynsta-agent-id", "x-cynsta-run-id")
MOSTLY = st.sampled_from([True, True, True, False])
"""What comes first here, hypothesis tries first."""

WAIT, WAIT_SECONDS_MAX = "x-spendguard-wait", 600

REJECTED = frozenset({400, 413, 415})

schemathesis.openapi.format("printable", st.text(string.ascii_letters + string.digits + " .-", min_size=1))
schemathesis.openapi.format("usd", st.decimals(0, 9_000, places=4).map(lambda amount: f"{amount:f}"))
load_all_checks()


class SurfaceError(Exception):
    """An answer that the document does not have, a 5xx, or none."""


class World:
    """A sidecar with agents, runs and calls, and the document that it gives of itself."""

    def __init__(self, folder: Path) -> None:
        self._upstream = RecordedUpstream()
        self._folder = folder
        self._session = requests.Session()
        self._session.trust_env = False
        self._doomed = list[str]()
        self._moved = False

    def __enter__(self) -> Self:
        self._upstream.__enter__()
        self.sidecar = Sidecar(self._folder / "home", self._upstream.base_url)
        try:
            self.sidecar.start()
            self._people()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self.sidecar.stop()
        self._upstream.__exit__()

    def _people(self) -> None:
        sidecar = self.sidecar
        self.mocks = [sidecar.agent(mock=True, concurrency="shared") for _ in range(AGENTS)]
        self.payers = [sidecar.agent(concurrency="shared") for _ in range(AGENTS)]
        self.poor = sidecar.agent(cents=None)
        self.calls = [
            sidecar.chat(agent, MOCK, run="seen").headers["x-spendguard-call-id"] for agent in self.mocks[:4]
        ]
        self.models = [
            "mock-small",
            "gpt-4o-mini",
            "claude-haiku-4-5",
            "gemini-2.5-flash",
            "models",
            "grok-4",
        ]
        self.document = sidecar.control("GET", "/openapi.json")
        for path in self.document["paths"].values():
            for operation in path.values():
                del operation["security"]  # whose key is sent is for us to say
        self.schema = schemathesis.openapi.from_dict(self.document)

    def operations(self) -> list[Any]:
        """Return the operations of the document that are probed."""
        found = [operation.ok() for operation in self.schema.get_all_operations()]
        return [one for one in found if one.definition.raw["operationId"] not in LEFT_OUT]

    def renew(self, operation_id: str) -> None:
        """Give everyone money, and thaw whom an earlier operation froze."""
        sidecar = self.sidecar
        sidecar.control("POST", "/v1/daemon/budget", {"hard_limit_cents": None})
        if operation_id == "delete_agent":
            self._doomed = [sidecar.agent() for _ in range(AGENTS)]
        for agent in (*self.mocks, *self.payers) if self._moved else ():
            sidecar.control("PATCH", f"/v1/agents/{agent}", {"frozen": False, "concurrency": "shared"})
            sidecar.control(
                "POST", f"/v1/agents/{agent}/budget", {"hard_limit_cents": 5000, "topup_cents": 5000}
            )
        self._moved = operation_id in ("change_agent", "grant_budget", "confirm_agent")

    def probe(self, operation: Any, *, seed: int, examples: int) -> Counter[str]:
        """Ask one operation so often; return how often which answer came, by status and code.

        Raises SurfaceError with the first that does not fit.
        """
        raw = operation.definition.raw
        self.renew(raw["operationId"])
        answers, found = Counter[str](), list[str]()
        drawn = {
            mode: operation.as_strategy(generation_mode=mode)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        }

        modes = [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if _has_input(operation) else [])]

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
            verbosity=hypothesis.Verbosity.quiet,
        )
        @hypothesis.given(st.data())
        def ask(data: st.DataObject) -> None:
            mode = data.draw(st.sampled_from(modes))
            case = data.draw(drawn[mode])
            try:
                answers[self._ask(case, mode, data)] += 1
            except (AssertionError, requests.RequestException) as error:
                found.append(f"{type(error).__name__}: {error}")
                raise
            except FailureGroup as group:
                told = "\n".join(f"{one}: {one.message}" for one in group.exceptions)
                found.append(f"{told}\n{case.as_curl_command()}")
                raise

        try:
            ask()
        except (Exception, FailureGroup) as error:
            # Hypothesis tries what failed once more. What came before it is part of it, so that may go well.
            if not found:
                raise
            raise SurfaceError(f"{raw['operationId']}, seed {seed}: {found[0]}") from error
        return answers

    def _ask(self, case: Any, mode: GenerationMode, data: st.DataObject) -> str:
        tame, control = True, "control" in case.operation.definition.raw["tags"]
        if data.draw(MOSTLY) and self._real_ids(case, data):
            tame = mode is GenerationMode.POSITIVE
        headers: dict[str, Any] = {}
        if control:
            headers["authorization"] = self.sidecar.admin["authorization"]
        else:
            headers |= self._as_agent(case, data)
        if not data.draw(MOSTLY):
            names = data.draw(st.lists(st.sampled_from(sorted(HOSTILE)), min_size=1, max_size=3, unique=True))
            headers |= {name: data.draw(HOSTILE[name]).encode() for name in names}
            tame = False
        sent = case.as_transport_kwargs(self.sidecar.base, headers)
        if case.method == "POST" and not data.draw(MOSTLY) and not data.draw(MOSTLY):
            sent = {name: value for name, value in sent.items() if name != "json"}
            sent["data"] = data.draw(BODIES)
            sent["headers"].setdefault("content-type", "application/json")
            tame = False
        wait = str(sent["headers"].get(WAIT, ""))
        if wait.isdecimal() and int(wait) <= WAIT_SECONDS_MAX:
            sent["headers"][WAIT] = str(int(wait) % 2)  # a poor agent's call would wait for ten minutes
        answer = self._session.request(**sent, timeout=30, allow_redirects=False)
        assert answer.status_code < 500, (
            f"{answer.status_code}: {answer.text}\n{case.as_curl_command(headers)}"
        )
        strict = ["negative_data_rejection"] if tame and control else []
        checks = [CHECKS.get_one(name) for name in (*CONFORMS, *strict)]
        case.validate_response(answer, checks=checks, headers=headers)
        if tame and control and mode is GenerationMode.POSITIVE and answer.status_code in REJECTED:
            assert _beyond_schema(answer.json()), f"{answer.text}\n{case.as_curl_command(headers)}"
        speaker = answer.headers.get("x-spendguard-source")
        if speaker == "provider" and len(self.calls) < CALLS_MAX:
            self.calls.append(answer.headers["x-spendguard-call-id"])
        if speaker != "spendguard" or case.method == "HEAD" or answer.status_code < 400:
            return str(answer.status_code)
        return f"{answer.status_code} {answer.json()['spendguard']['code']}"

    def _real_ids(self, case: Any, data: st.DataObject) -> bool:
        """Put what exists where the path names something; tell whether it does."""
        deletes = case.operation.definition.raw["operationId"] == "delete_agent"
        known = {
            "agent": self._doomed if deletes else [*self.mocks, *self.payers, self.poor],
            "run": ["seen", "run-1"],
            "call": self.calls,
            "model": self.models,
        }
        named = [name for name in case.path_parameters or {} if name in known]
        for name in named:
            case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        return bool(named)

    def _as_agent(self, case: Any, data: st.DataObject) -> dict[str, Any]:
        """Name an agent that exists, and in most cases send a body that its endpoint takes from it."""
        headers, agent = {}, (case.path_parameters or {}).get("agent")
        chats = _ending(case.path) == "completions"
        if data.draw(MOSTLY):
            for name in _NAMES:
                case.headers.pop(name, None)
        if agent is None and data.draw(MOSTLY | st.just(True)):
            agent = data.draw(st.sampled_from([*self.mocks, *self.payers] if chats else self.payers))
            headers = {"x-cynsta-agent-id": agent}
        if case.method == "POST" and data.draw(MOSTLY):
            bodies = [MOCK] if agent in self.mocks and chats else _BODIES.get(_ending(case.path), [MOCK])
            body = dict(data.draw(st.sampled_from(bodies)))
            if not data.draw(MOSTLY) and isinstance(case.body, dict):
                body |= case.body
            case.body, case.media_type = body, "application/json"
        return headers


def _beyond_schema(told: dict[str, Any]) -> bool:
    """Tell whether data that fit the schema were refused for what no schema can say.

    JSON Schema takes 100.0 for an integer; for money we do not. Of agents, only restored ones are confirmed.
    """
    why = told["spendguard"]
    return "got `float`" in why.get("expected", "") or why.get("path") == "agent"


def _has_input(operation: Any) -> bool:
    raw = operation.definition.raw
    return bool(raw["parameters"]) or "requestBody" in raw


def _ending(path: str) -> str:
    return path.rpartition(":")[2] if ":" in path else path.rpartition("/")[2]


def _is_plain(recording: Recording) -> bool:
    """Tell whether a recorded answer is one to be passed on, and of the type that it names."""
    reply = recording.reply
    torn = "json" in reply.headers["content-type"] and reply.body.startswith(b"data:")
    return reply.status != 401 and not torn  # what a provider says to a key that is none, is a 503 of ours


_BODIES: dict[str, list[dict[str, Any]]] = {}
for _one in load_all():
    if _one.request and _is_plain(_one):
        _BODIES.setdefault(_ending(_one.path), []).append(_one.request)


def main(seed: int, examples: int, share: int, shares: int) -> None:
    """Probe every so-manieth operation."""
    failures = list[str]()
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        for number, operation in enumerate(world.operations()):
            if number % shares == share:
                try:
                    answers = world.probe(operation, seed=seed + number, examples=examples)
                except SurfaceError as error:
                    failures.append(str(error))
                    continue
                print(json.dumps([operation.definition.raw["operationId"], answers]), flush=True)
    sys.exit("\n\n".join(failures) or 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
