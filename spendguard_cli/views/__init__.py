"""Terminal views: which function shows which kind of result. Loaded only when a person looks."""

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from spendguard_cli import shapes
from spendguard_cli.explain import story
from spendguard_cli.ledger import results
from spendguard_cli.pricing import results as prices
from spendguard_cli.views import (
    accounts,
    completions,
    diagnosis,
    explaining,
    ink,
    keys,
    ledger,
    pricing,
    sidecar,
    watching,
)
from spendguard_cli.watch import seen
from spendguard_daemon import wire

ONE: dict[type, Callable[[Any], RenderableType]] = {
    prices.Card: pricing.card,
    prices.Compared: pricing.compared,
    prices.KeyMade: pricing.key_made,
    prices.Recomputed: pricing.recomputed,
    prices.Serving: pricing.serving,
    prices.SignedDocument: pricing.signed,
    prices.Trusted: pricing.trusted,
    results.BackedUp: ledger.backed_up,
    results.Exported: ledger.exported,
    results.PutBack: ledger.put_back,
    results.Verified: ledger.verified,
    shapes.AgentDetail: accounts.agent_detail,
    shapes.BudgetDetail: accounts.budget_detail,
    shapes.CompletionsInstalled: completions.installed,
    shapes.Config: sidecar.config,
    shapes.CheckName: diagnosis.check,
    shapes.Diagnosis: diagnosis.diagnosis,
    shapes.DiagnosisDetail: diagnosis.detail,
    shapes.KeyMinted: keys.minted,
    shapes.KeySet: sidecar.key_set,
    shapes.KeyShown: keys.shown_once,
    shapes.Overview: sidecar.overview,
    shapes.Probed: diagnosis.probed,
    shapes.Setting: sidecar.setting,
    shapes.Sidecar: sidecar.sidecar,
    shapes.StatusDetail: sidecar.status,
    seen.Glance: watching.glance,
    story.Story: explaining.story,
    wire.Agent: accounts.agent,
    wire.AgentCreated: accounts.agent_created,
    wire.AgentDeleted: accounts.agent_deleted,
    wire.AgentKey: keys.key,
    wire.Budget: accounts.budget,
    wire.Call: accounts.call,
    wire.DaemonBudget: accounts.daemon_budget,
    wire.Pricing: pricing.in_force,
    wire.ProviderTest: sidecar.provider_test,
    wire.Run: accounts.run,
}
MANY: dict[type, Callable[[Any], RenderableType]] = {
    shapes.CheckName: diagnosis.checks,
    wire.Agent: accounts.agents,
    wire.AgentKey: keys.keys,
    wire.Call: accounts.calls,
    wire.Provider: sidecar.providers,
    wire.Run: accounts.runs,
}


def view(value: object) -> RenderableType:
    """Return how a result looks on a terminal; a list looks as its items' table."""
    if isinstance(value, list):
        return MANY[type(value[0])](value) if value else Text("none yet", style=ink.QUIET)
    return ONE[type(value)](value)
