"""The record of a refusal as the call that the sidecar would show. Pure."""

from spendguard_daemon import wire
from spendguard_daemon.ledger import events as ev


def call_of(event: ev.Refused) -> wire.Call:
    """Return the call of a record as the sidecar tells it, which ended when the last one like it did."""
    return wire.Call(
        call_id=event.call_id,
        agent_id=event.agent_id,
        run_id=event.run_id,
        provider=event.provider,
        endpoint=event.endpoint,
        model=event.model,
        state="refused",
        hold_usd="0",
        cost_usd="0",
        usage=None,
        lines=[],
        changed=[],
        document_sha256=None,
        http_status=event.http_status,
        code=event.code,
        reason=event.detail,
        created_at=event.at,
        ended_at=event.until,
        count=event.count,
        facts=dict(event.facts),
    )
