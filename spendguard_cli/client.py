"""The control API as typed calls (design 6): one method a route, `wire` shapes in and out.

Every failure leaves as a SpendGuardError: the sidecar's own refusals with their code, everything else as what
it means to a person at a command line.
"""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx
import msgspec

from spendguard_cli.line import ANSWER_SECONDS, Line
from spendguard_daemon import wire
from spendguard_daemon.errors import Code, SpendGuardError

T = TypeVar("T")
Body = Mapping[str, object]

PROVIDER_TEST_SECONDS = 90.0
PRICE_REFRESH_SECONDS = 90.0
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What an answer may raise that is no JSON, of another form, or nested without end."""


class Control(Line):
    """The calls that one sidecar answers, over one connection."""

    def not_ready(self) -> list[str]:
        """Return why the sidecar takes no calls yet; nothing when it does."""
        status, raw = self._exchange("GET", "/ready", None, {}, ANSWER_SECONDS)
        if status == httpx.codes.OK:
            return []
        try:
            reasons = msgspec.json.decode(raw, type=_NotReady).reasons
        except UNREADABLE:
            reasons = []
        return reasons or [f"GET /ready answered {status}"]

    def status(self) -> wire.Status:
        """Return the daemon at a glance."""
        return self._get("/v1/status", wire.Status)

    def agents(self) -> list[wire.Agent]:
        """Return all agents that were not deleted."""
        return self._get("/v1/agents", wire.Agents).agents

    def agent(self, agent_id: str) -> wire.Agent:
        """Return one agent; raise AGENT_NOT_FOUND."""
        return self._get(_agent(agent_id), wire.Agent)

    def create_agent(self, body: Body) -> wire.AgentCreated:
        """Create an agent from the given fields of `wire.NewAgent`."""
        return self._send("POST", "/v1/agents", body, wire.AgentCreated)

    def change_agent(self, agent_id: str, body: Body) -> wire.Agent:
        """Change the given fields of `wire.ChangeAgent`."""
        return self._send("PATCH", _agent(agent_id), body, wire.Agent)

    def delete_agent(self, agent_id: str) -> wire.AgentDeleted:
        """Hide an agent for good; its history stays."""
        return self._send("DELETE", _agent(agent_id), None, wire.AgentDeleted)

    def confirm_restored(self, agent_id: str, spent_usd: str, reason: str) -> wire.Agent:
        """Enter what an agent spent between a backup and its restore; RESTORE_UNCONFIRMED is over then."""
        body = {"spent_usd": spent_usd} | ({"reason": reason} if reason else {})
        return self._send("POST", f"{_agent(agent_id)}/confirm", body, wire.Agent)

    def budget(self, agent_id: str) -> wire.Budget:
        """Return an agent's money; raise BUDGET_NOT_FOUND before the first grant."""
        return self._get(f"{_agent(agent_id)}/budget", wire.Budget)

    def grant(self, agent_id: str, limit_cents: int, topup_cents: int | None) -> wire.Budget:
        """Set the limit of an agent's balance, and add to it."""
        body = {"hard_limit_cents": limit_cents} | (
            {} if topup_cents is None else {"topup_cents": topup_cents}
        )
        return self._send("POST", f"{_agent(agent_id)}/budget", body, wire.Budget)

    def top_up(self, agent_id: str, amount_cents: int) -> wire.Budget:
        """Add to an agent's balance, up to its limit."""
        return self._send(
            "POST", f"{_agent(agent_id)}/budget/topup", {"topup_cents": amount_cents}, wire.Budget
        )

    def deeds(self, agent_id: str) -> wire.Deeds:
        """Return what was done to an agent's budget lately, newest first."""
        return self._get(f"{_agent(agent_id)}/budget/history", wire.Deeds)

    def keys(self, agent_id: str) -> list[wire.AgentKey]:
        """Return an agent's keys, oldest first; never a secret."""
        return self._get(f"{_agent(agent_id)}/keys", wire.AgentKeys).keys

    def key(self, agent_id: str, key_id: str) -> wire.AgentKey:
        """Return one of an agent's keys; raise KEY_NOT_FOUND."""
        return self._get(_key(agent_id, key_id), wire.AgentKey)

    def create_key(self, agent_id: str, body: Body) -> wire.KeyMade:
        """Make a key from the given fields of `wire.NewKey`; its secret is in this answer alone."""
        return self._send("POST", f"{_agent(agent_id)}/keys", body, wire.KeyMade)

    def rotate_key(self, agent_id: str, key_id: str) -> wire.KeyMade:
        """Give a key another secret; the old one, and what was made from it, end now."""
        return self._send("POST", f"{_key(agent_id, key_id)}/rotate", {}, wire.KeyMade)

    def revoke_key(self, agent_id: str, key_id: str) -> wire.AgentKey:
        """End a key, and all that were made from it."""
        return self._send("DELETE", _key(agent_id, key_id), None, wire.AgentKey)

    def runs(self, agent_id: str) -> list[wire.Run]:
        """Return an agent's runs, newest first."""
        return self._get(f"{_agent(agent_id)}/runs", wire.Runs).runs

    def create_run(self, agent_id: str, run_id: str | None) -> wire.Run:
        """Name a run, with a fresh id unless one is given."""
        body = {} if run_id is None else {"run_id": run_id}
        return self._send("POST", f"{_agent(agent_id)}/runs", body, wire.Run)

    def calls(self, agent_id: str, limit: int) -> list[wire.Call]:
        """Return an agent's latest calls, newest first."""
        return self._get(f"{_agent(agent_id)}/calls?limit={limit}", wire.Calls).calls

    def call(self, call_id: str) -> wire.Call:
        """Return one call; raise CALL_NOT_FOUND."""
        return self._get(f"/v1/calls/{quote(call_id, safe='')}", wire.Call)

    def adjust(self, call_id: str, cost_usd: str, reason: str) -> wire.Call:
        """Set what an ended call was charged; raise CALL_NOT_FOUND."""
        path = f"/v1/calls/{quote(call_id, safe='')}/adjust"
        return self._send("POST", path, {"cost_usd": cost_usd, "reason": reason}, wire.Call)

    def abort(self, call_id: str) -> wire.Call:
        """Cut a call in flight and return what became of it; raise CALL_NOT_FOUND or CALL_NOT_OPEN."""
        return self._send("POST", f"/v1/calls/{quote(call_id, safe='')}/abort", {}, wire.Call)

    def daemon_budget(self) -> wire.DaemonBudget:
        """Return the cap above all agents."""
        return self._get("/v1/daemon/budget", wire.DaemonBudget)

    def set_daemon_budget(self, limit_cents: int | None, topup_cents: int | None) -> wire.DaemonBudget:
        """Set the cap above all agents; None switches it off."""
        body: dict[str, int | None] = {"hard_limit_cents": limit_cents}
        if topup_cents is not None:
            body["topup_cents"] = topup_cents
        return self._send("POST", "/v1/daemon/budget", body, wire.DaemonBudget)

    def top_up_daemon(self, amount_cents: int) -> wire.DaemonBudget:
        """Add to the cap above all agents."""
        body = {"topup_cents": amount_cents}
        return self._send("POST", "/v1/daemon/budget/topup", body, wire.DaemonBudget)

    def pricing(self) -> wire.Pricing:
        """Return the price document in force; raise PRICING_UNAVAILABLE or PRICING_EXPIRED for none."""
        return self._get("/v1/pricing", wire.Pricing)

    def refresh_prices(self) -> wire.Pricing:
        """Make the sidecar fetch or sign its prices now; raise what was wrong with them."""
        return self._send("POST", "/v1/pricing/refresh", {}, wire.Pricing, PRICE_REFRESH_SECONDS)

    def providers(self) -> list[wire.Provider]:
        """Return the providers and where each takes its key from."""
        return self._get("/v1/providers", wire.Providers).providers

    def reload_keys(self) -> list[wire.Provider]:
        """Make the sidecar read secrets.toml again."""
        return self._send("POST", "/v1/providers/reload", {}, wire.Providers).providers

    def test_provider(self, name: str) -> wire.ProviderTest:
        """Make the sidecar ask the provider for its model list, which is free."""
        path = f"/v1/providers/{quote(name, safe='')}/test"
        return self._send("POST", path, {}, wire.ProviderTest, PROVIDER_TEST_SECONDS)

    def shut_down(self, *, now: bool) -> wire.Stopping:
        """Make the daemon end; `now` charges calls in flight at their hold."""
        return self._send("POST", "/v1/daemon/shutdown", {"now": now}, wire.Stopping)

    def _get(self, path: str, shape: type[T]) -> T:
        return self._send("GET", path, None, shape)

    def _send(
        self, method: str, path: str, body: Body | None, shape: type[T], seconds: float = ANSWER_SECONDS
    ) -> T:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        status, raw = self._exchange(method, path, content, headers, seconds)
        if not httpx.codes.is_success(status):
            raise self._refusal(status, raw)
        try:
            return msgspec.json.decode(raw, type=shape)
        except UNREADABLE as error:
            raise SpendGuardError(
                Code.INTERNAL,
                f"The answer to {method} {path} is not of the form this version knows: {error}",
                remedy="spendguard restart, if the sidecar is of another version",
            ) from error


class _NotReady(msgspec.Struct, frozen=True):
    reasons: list[str] = []


def _agent(agent_id: str) -> str:
    return f"/v1/agents/{quote(agent_id, safe='')}"


def _key(agent_id: str, key_id: str) -> str:
    return f"{_agent(agent_id)}/keys/{quote(key_id, safe='')}"
