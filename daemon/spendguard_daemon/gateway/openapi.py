"""`GET /openapi.json`: the document (OpenAPI 3.1), made from the tables that the sidecar goes by. Pure.

Its bytes depend on the code alone. What a route refuses stands in `operations`, what the answers are in
`openapi_shapes`, which model routes there are in `model_paths`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cache

from spendguard_daemon import __version__
from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code
from spendguard_daemon.gateway import access, asked, daemon_control, google_paths, identity
from spendguard_daemon.gateway import openapi_shapes as shapes
from spendguard_daemon.gateway.feed_stream import LAST_ID_HEADER, LAST_ID_LENGTH_MAX
from spendguard_daemon.gateway.model_paths import ModelPath, model_paths
from spendguard_daemon.gateway.openapi_shapes import Schema, ref
from spendguard_daemon.gateway.operations import CONTROL, MODEL, Operation, refusals
from spendguard_daemon.gateway.routes import OPEN, QUERIES, control_patterns
from spendguard_daemon.providers import speaker_of
from spendguard_daemon.settings import PROVIDERS

JSON = "application/json"

_PARAMETER = re.compile(r"\{(\w+)\}")
_PAGE: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}
_TEXT: Schema = {"type": "string"}
_PLAIN: Schema = {"text/plain": {"schema": _TEXT}}
_QUERY: dict[str, Schema] = {
    "after": {"type": "string", "maxLength": LAST_ID_LENGTH_MAX},
    "limit": _PAGE,
    "pageSize": _PAGE,
    "pageToken": {"type": "string", "pattern": "^[0-9]{1,6}$"},
}
"""What of query parameters is checked; others may be any text."""

_WHOSE: dict[str, tuple[str, Schema]] = {
    identity.AGENT_HEADER: ("For which agent, unless the path or a key says so", _TEXT),
    identity.RUN_HEADER: ("Which run of the agent, unless the path says so", shapes.ID),
    identity.SESSION_HEADER: ("A client's own session, taken as the run where none is named", shapes.ID),
}
_ACTOR = {"type": "string", "pattern": f"^{asked.ACTOR.pattern}$"}
_WAIT: Schema = {"type": "integer", "minimum": 0, "maximum": access.WAIT_SECONDS_MAX}
_LAST_ID: Schema = {"type": "string", "maxLength": LAST_ID_LENGTH_MAX}
_KEY = {"type": "string", "pattern": f"^{access.IDEMPOTENCY_KEY.pattern}$"}


@cache
def document() -> bytes:
    """Return the document as JSON."""
    book = _Book()
    paths: dict[str, Schema] = defaultdict(dict)
    for pattern, name in control_patterns().items():
        method, path = pattern.split(" ")
        paths[f"/{path}"][method.lower()] = book.control(name, path)
    for found in model_paths():
        paths[found.template][found.method.lower()] = book.model(found)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "SpendGuard sidecar", "version": __version__, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": shapes.schemas(),
            "responses": {"provider": _PROVIDERS_OWN, **dict(sorted(book.responses.items()))},
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }
    return json.dumps(whole, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


_HEADERS: Schema = {
    "source": {
        "description": "Who speaks",
        "required": True,
        "schema": {"type": "string", "enum": ["spendguard", "provider"]},
    },
    "call": {"description": "The id to name to an operator", "required": True, "schema": _TEXT},
}
_SAID: Schema = {
    "x-spendguard-source": {"$ref": "#/components/headers/source"},
    "x-spendguard-call-id": {"$ref": "#/components/headers/call"},
}
_PROVIDERS_OWN: Schema = {
    "description": "What the provider answered, as it came",
    "headers": _SAID,
    "content": {JSON: {"schema": ref("ProvidersOwn")}, "text/event-stream": {}, "*/*": {}},
}
_RELAYED: Schema = {"$ref": "#/components/responses/provider"}
_SECURITY: Schema = {
    "adminToken": {"type": "http", "scheme": "bearer", "description": "The home's admin.token"},
    "adminKey": {"type": "apiKey", "in": "header", "name": access.KEY_HEADERS[0]},
    "agentKey": {"type": "http", "scheme": "bearer", "description": "An agent key, sg_agent_..."},
    "agentApiKey": {"type": "apiKey", "in": "header", "name": access.KEY_HEADERS[0]},
    "agentGoogleKey": {"type": "apiKey", "in": "header", "name": access.KEY_HEADERS[1]},
}
_OPERATOR: list[Schema] = [{"adminToken": []}, {"adminKey": []}]
_OF_AGENT: list[Schema] = [{}, {"agentKey": []}, {"agentApiKey": []}, {"agentGoogleKey": []}]


class _Book:
    """Writes operations, and keeps the refusals that many of them share."""

    def __init__(self) -> None:
        self.responses: dict[str, Schema] = {}

    def control(self, name: str, path: str) -> Schema:
        """Return the operation of a route of operators."""
        row = CONTROL[name]
        parameters = [*_in_path(path), *(_in_query(query) for query in sorted(QUERIES.get(name, ())))]
        if name == "health":
            parameters.append(
                _header(
                    daemon_control.NONCE_HEADER,
                    "Asks for a proof of who answers; ignored unless 16 to 128 of A-Z a-z 0-9 _ -",
                    _TEXT,
                )
            )
        if name == "events":
            parameters.append(_header(LAST_ID_HEADER, "Goes on after this message", _LAST_ID))
        if name not in OPEN:
            parameters.append(_header(asked.ACTOR_HEADER, "Who acts, for the journal", _ACTOR))
        written = self._operation(row, name, name, parameters, dialect="")
        if row.asks is not None:
            schema = ref(shapes.shape_name(row.asks))
            empty = not shapes.needs_body(row.asks)
            written["requestBody"] = {"required": not empty, "content": {JSON: {"schema": schema}}}
        answer = {JSON: {"schema": ref(shapes.shape_name(row.answer))}} if row.answer else _PLAIN
        answer = {"text/event-stream": {}} if name == "events" else answer
        written["responses"] |= {"200": _answer("Done", answer)}
        for status, shape in row.also.items():
            content = {JSON: {"schema": ref(shapes.shape_name(shape))}}
            written["responses"][str(status)] = _answer("Not now", content)
        return _sorted(written) | {"security": [] if name in OPEN else _OPERATOR}

    def model(self, found: ModelPath) -> Schema:
        """Return the operation of a route of agents."""
        name, route = found.route.name, found.route
        dialect = shapes.dialect_of(route.speaker, route.endpoint) if route.endpoint else ""
        parameters = [*_in_path(found.template), *_queries(found)]
        if name != "root":
            parameters += [_header(header, *what) for header, what in _WHOSE.items()]
        if name == "call":
            parameters.append(_header(access.WAIT_HEADER, "How long it may wait for money or a lock", _WAIT))
        words = re.findall(r"[A-Za-z0-9]+", found.template) or ["root"]
        operation_id = "_".join([found.method.lower(), *words])
        written = self._operation(MODEL[name], operation_id, name, parameters, dialect=dialect)
        if found.method == "POST":
            written["requestBody"] = {"required": True, "content": {JSON: {"schema": {"type": "object"}}}}
        responses = written["responses"]
        if name == "root":
            responses["200"] = _answer("There is one", _PLAIN)
        elif name in ("models", "model"):
            kind = "Models" if name == "models" else "Model"
            told = (dialect,) if dialect else shapes.DIALECTS
            listed = {"anyOf": [ref(f"{one}{kind}") for one in told]}
            responses["200"] = _answer("What can be called", {JSON: {"schema": listed}})
        else:
            for status in ("200", "2XX", "3XX", "4XX", "5XX"):
                responses[status] = _RELAYED
        return _sorted(written) | {"security": [] if name == "root" else _OF_AGENT}

    def _operation(
        self, row: Operation, operation_id: str, name: str, parameters: list[Schema], *, dialect: str
    ) -> Schema:
        by_status: dict[int, set[Code]] = defaultdict(set)
        for code in refusals(name, has_parameters=any(one["in"] == "path" for one in parameters)):
            by_status[TABLE[code].status].add(code)
        if row.repeats:
            parameters = [*parameters, _header(access.IDEMPOTENCY_HEADER, "Makes it happen once", _KEY)]
        responses = {
            str(status): self._refused(status, codes, dialect, relays=row.relays)
            for status, codes in sorted(by_status.items())
        }
        kind = "models" if name in MODEL else "control"
        return {
            "operationId": operation_id,
            "summary": row.summary,
            "tags": [kind],
            "parameters": parameters,
            "responses": responses,
        }

    def _refused(self, status: int, codes: Collection[Code], dialect: str, *, relays: bool) -> Schema:
        written = {
            "description": "; ".join(TABLE[code].title for code in sorted(codes)),
            "headers": _SAID,
            "content": {JSON: {"schema": shapes.refusal(codes, dialect, relays=relays)}},
        }
        alike = [key for key, other in self.responses.items() if key.startswith(f"{status}-")]
        key = next((key for key in alike if self.responses[key] == written), f"{status}-{len(alike) + 1}")
        self.responses[key] = written
        return {"$ref": f"#/components/responses/{key}"}


def _sorted(operation: Schema) -> Schema:
    return operation | {"responses": dict(sorted(operation["responses"].items()))}


def _answer(description: str, content: Schema) -> Schema:
    return {"description": description, "content": content}


def _in_path(template: str) -> Iterator[Schema]:
    """Yield the parameters of a path; what stands behind one in its segment leaves it less room."""
    for segment in template.split("/"):
        for name in _PARAMETER.findall(segment):
            room = shapes.SEGMENT_MAX - len(segment) + len(name) + 2
            schema = shapes.ID | {"maxLength": room} | ({"enum": [*PROVIDERS]} if name == "provider" else {})
            yield {"name": name, "in": "path", "required": True, "schema": schema}


def _queries(found: ModelPath) -> Iterator[Schema]:
    """Yield what the query of a route of agents may hold, as `routes` reads it."""
    route = found.route
    if route.name in ("call", "count") and route.endpoint == "messages":
        yield _in_query("beta", {"type": "string", "enum": ["true"]})
        return
    if route.endpoint and speaker_of(route.provider, route.endpoint) == google_paths.PROVIDER:
        yield _in_query("alt", {"type": "string", "enum": sorted(google_paths.ALT[route.stream])})
        yield _in_query(google_paths.KEY)
        names = google_paths.PAGE if route.name == "models" else frozenset[str]()
    else:
        names = QUERIES.get(route.name, frozenset())
    for name in sorted(names):
        yield _in_query(name)


def _in_query(name: str, schema: Schema | None = None) -> Schema:
    return {"name": name, "in": "query", "schema": schema or _QUERY.get(name, _TEXT)}


def _header(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": schema}
