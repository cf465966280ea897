"""Every path at which something is asked of a model, found by asking the table of routes itself. Pure.

What could be a path is put together from the tables of endpoints, verbs and providers; what is one, `match`
decides. So the document cannot say what the sidecar does not serve.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from spendguard_daemon.errors import SpendGuardError
from spendguard_daemon.gateway import google_paths
from spendguard_daemon.gateway.routes import COUNT_TAILS, MODEL_ROUTES, PROVIDERS, Route, match
from spendguard_daemon.providers import FORMATS

IN_RUN = "/v1/agents/{agent}/runs/{run}"

_SAMPLES = {"{agent}": "a", "{run}": "r", "{model}": "m"}


@dataclass(frozen=True, slots=True)
class ModelPath:
    """One path of agents: its method, its template, and the route that it is."""

    method: str
    template: str
    route: Route


def model_paths() -> Iterator[ModelPath]:
    """Yield the paths of all roots, those of the bare root first."""
    for run in ("", IN_RUN):
        for provider in ("", *PROVIDERS):
            root = "/".join(part for part in (run, provider) if part)
            root = root if root.startswith("/") or not root else f"/{root}"
            for method in ("GET", "HEAD"):
                yield from _found(method, root or "/")
            for version in ("", "v1", google_paths.VERSION):
                for method, tail in _tails():
                    yield from _found(method, "/".join(part for part in (root, version, tail) if part))


def _tails() -> Iterator[tuple[str, str]]:
    for endpoint in dict.fromkeys(endpoint for _, endpoint in FORMATS):
        yield "POST", endpoint
    for tail in COUNT_TAILS:
        yield "POST", "/".join(tail)
    yield "POST", google_paths.COMPATIBLE
    yield "GET", "models"
    yield "GET", "models/{model}"
    for kind in ("models", "tunedModels"):
        for verb in google_paths.VERBS:
            yield "POST", f"{kind}/{{model}}:{verb}"


def _found(method: str, template: str) -> Iterator[ModelPath]:
    template = template if template.startswith("/") else f"/{template}"
    path = template
    for name, sample in _SAMPLES.items():
        path = path.replace(name, sample)
    try:
        route = match(method, path)
    except SpendGuardError:
        return
    if route.name in MODEL_ROUTES or route.name == "root":
        yield ModelPath(method, template, route)
