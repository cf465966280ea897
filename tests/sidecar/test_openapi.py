"""The document that the sidecar gives of itself: whole, and saying nothing that the code does not."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from spendguard_daemon.codes import TABLE
from spendguard_daemon.errors import Code, SpendGuardError
from spendguard_daemon.gateway import openapi
from spendguard_daemon.gateway.model_paths import model_paths
from spendguard_daemon.gateway.operations import CONTROL, MODEL, refusals
from spendguard_daemon.gateway.routes import MODEL_ROUTES, OPEN, control_patterns, match
from spendguard_daemon.providers import FORMATS

DOCUMENT = json.loads(openapi.document())
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
ELSEWHERE = {
    Code.USAGE,
    Code.NO_DAEMON,
    Code.UNPROVEN_DAEMON,
    Code.AMBIGUOUS_NAME,
    Code.NOT_ALLOWED,
    Code.EXEC_FAILED,
    Code.PORT_TAKEN,
    Code.HOME_UNSAFE,
    Code.LEDGER_DAMAGED,
    Code.LEDGER_LOCKED,
    Code.LEDGER_NEWER,
    Code.LEDGER_REFUSED,
}
"""Codes of the command line and of a daemon that does not start: no answer over HTTP has them. A command that
the ledger refuses is a fault of ours, as INTERNAL is."""


def codes_of(operation: dict[str, Any]) -> set[str]:
    """Return every code that an operation is documented to give."""
    found = set[str]()
    for response in operation["responses"].values():
        whole = json.dumps(resolved(response).get("content", {}))
        for listed in re.findall(r'"code": \{"enum": \[([^]]*)\]', whole):
            found |= set(json.loads(f"[{listed}]"))
    return found


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response, or the component that it refers to."""
    if "$ref" not in response:
        return response
    found: dict[str, Any] = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def references(value: Any) -> set[str]:
    """Return all that a part of the document refers to."""
    return set(re.findall(r'"\$ref": "#/components/([^"]+)"', json.dumps(value)))


def test_every_control_route_is_there() -> None:
    """A new route needs its row in `operations.CONTROL`, and a row its route."""
    assert set(CONTROL) == set(control_patterns().values())
    for pattern in control_patterns():
        method, path = pattern.split(" ")
        assert method.lower() in DOCUMENT["paths"][f"/{path}"]


def test_every_model_route_is_there() -> None:
    """Each format at each root, count routes, lists and verbs; what is there is served."""
    assert set(MODEL) == MODEL_ROUTES | {"root"}
    found = list(model_paths())
    assert {(f.route.provider, f.route.endpoint) for f in found if f.route.name == "call"} >= set(FORMATS)
    for path in ("/v1/responses", "/grok/v1/responses", "/v1beta/models/{model}:streamGenerateContent"):
        assert "post" in DOCUMENT["paths"][path]
        assert "post" in DOCUMENT["paths"][f"/v1/agents/{{agent}}/runs/{{run}}{path}"]
    for one in found:
        assert one.method.lower() in DOCUMENT["paths"][one.template]
        filled = re.sub(r"\{\w+\}", "x", one.template)
        assert match(one.method, filled).name == one.route.name


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_other_method_is_served(method: str) -> None:
    """What the document does not have at its paths is refused."""
    for path, methods in DOCUMENT["paths"].items():
        if method.lower() in methods or (method == "GET" and ":" in path):
            continue  # a model's name may hold a colon: then it is GET .../models/{model}
        with pytest.raises(SpendGuardError) as refused:
            match(method, re.sub(r"\{\w+\}", "x", path))
        assert refused.value.code in (Code.METHOD_NOT_ALLOWED, Code.ROUTE_NOT_FOUND), path


def test_each_operation_has_its_own_name_and_parameters() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    for _, path, operation in OPERATIONS:
        in_path = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)


def test_all_that_is_referred_to_is_there_and_nothing_else() -> None:
    parts = DOCUMENT["components"]
    there = {f"{kind}/{name}" for kind in ("schemas", "responses", "headers") for name in parts[kind]}
    assert references(DOCUMENT) == there


def test_operations_name_the_codes_of_the_table_under_their_status() -> None:
    """The documented status of a code is that of the codes table."""
    for _, _, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            codes = codes_of({"responses": {status: response}})
            assert all(str(TABLE[Code(code)].status) == status for code in codes)


def test_every_code_is_given_somewhere_and_none_that_cannot_be() -> None:
    named = {code for _, _, operation in OPERATIONS for code in codes_of(operation)}
    assert named == {code.value for code in Code if code not in ELSEWHERE}


@pytest.mark.parametrize("pattern", control_patterns())
def test_control_routes_name_only_what_they_can_give(pattern: str) -> None:
    """No token asked for, no 401; no body read, no 413; nothing written, no full disk; no id, no 404."""
    method, path = pattern.split(" ")
    name = control_patterns()[pattern]
    codes, row = refusals(name, has_parameters="{" in path), CONTROL[name]
    assert (Code.UNAUTHORIZED in codes) == (name not in OPEN)
    assert (Code.BODY_TOO_LARGE in codes) == (method in ("POST", "PATCH"))
    assert (Code.ROUTE_NOT_FOUND in codes) == ("{" in path)
    assert (Code.AGENT_NOT_FOUND in codes) == ("{agent}" in path)
    assert (Code.CALL_NOT_FOUND in codes) == ("{call}" in path)
    assert method != "GET" or not codes & {Code.LEDGER_FULL, Code.IDEMPOTENCY_MISMATCH}
    assert row.repeats or Code.IDEMPOTENCY_MISMATCH not in codes
    assert not codes & (MODEL["call"].refuses - MODEL["models"].refuses) - {
        *(Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA, Code.PROVIDER_KEY_MISSING),
        *(Code.IDEMPOTENCY_MISMATCH, Code.IDEMPOTENCY_DONE),
        *(Code.DISK_FAILED, Code.LEDGER_FULL, Code.SHUTTING_DOWN),
    }


def test_its_bytes_depend_on_the_code_alone() -> None:
    """Another process, with another seed of its hashes, writes the same."""
    script = "from spendguard_daemon.gateway.openapi import document; print(document().decode(), end='')"
    told = []
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True)
        told.append(done.stdout)
    assert told == [openapi.document()] * 2


def test_a_field_says_what_is_checked() -> None:
    """Beyond the types of `wire`: the bounds that `bodies` holds requests to."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["GrantBudget"]["properties"]["hard_limit_cents"]["maximum"] == 900_719_925
    assert schemas["TopUp"]["required"] == ["topup_cents"]
    assert schemas["Agent"]["required"] == list(schemas["Agent"]["properties"])
    assert "warnings" not in schemas["Ready"]["required"]
    (choice, _) = schemas["NewAgent"]["properties"]["concurrency"]["anyOf"]
    assert choice["enum"] == ["exclusive", "shared"]


def test_a_nonce_may_be_anything() -> None:
    """One that is none is ignored, so that the document must not say how it looks (found by schemathesis)."""
    (nonce,) = DOCUMENT["paths"]["/health"]["get"]["parameters"]
    assert (nonce["name"], nonce["schema"]) == ("x-spendguard-nonce", {"type": "string"})
