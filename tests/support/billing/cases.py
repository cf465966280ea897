"""A request as a client sends it, with the policy of its agent: what the strategies draw."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from spendguard_daemon.providers.policy import Policy

ORDINARY = datetime(2026, 11, 24, tzinfo=UTC)
BEFORE_A_CHANGE = tuple(
    datetime(year, month, 1, tzinfo=UTC) - timedelta(minutes=minutes)
    for year, month in ((2026, 12), (2027, 1))
    for minutes in (61, 30, 0)
)


@dataclass(frozen=True)
class Case:
    """`cap_share` says, in thousandths, how far between floor and wish a clamp leaves the output cap.

    `state_tokens` is the size of the earlier responses that the request goes on from, None where that is not
    known. `model` and `stream` are what the path says, where it names them (Gemini). `begins` is when the
    call does: on an ordinary day, or shortly before a published price changes.
    """

    provider: str
    endpoint: str
    body: dict[str, Any]
    ascii: bool
    policy: Policy
    cap_share: int
    headers: dict[str, str] = field(default_factory=dict)
    state_tokens: int | None = None
    model: str = ""
    stream: bool = False
    begins: datetime = ORDINARY

    @property
    def raw(self) -> bytes:
        """The body in bytes, its characters escaped or not."""
        return json.dumps(self.body, ensure_ascii=self.ascii).encode()


policies = st.builds(
    Policy,
    hosted_tools=st.sampled_from(["strip", "allow", "allow"]),
    hosted_tool_uses=st.integers(1, 6),
)
shares = st.integers(0, 1000)
moments = st.sampled_from([ORDINARY] * 6 + list(BEFORE_A_CHANGE))


def case(
    provider: str,
    endpoint: str,
    bodies: st.SearchStrategy[dict[str, Any]],
    *,
    headers: st.SearchStrategy[dict[str, str]] = st.just({}),  # noqa: B008 (a strategy is a constant)
    state_tokens: st.SearchStrategy[int | None] = st.none(),  # noqa: B008
    model: st.SearchStrategy[str] = st.just(""),  # noqa: B008
    stream: st.SearchStrategy[bool] = st.just(False),  # noqa: B008
) -> st.SearchStrategy[Case]:
    """Draw a case around these bodies."""
    return st.builds(
        Case,
        st.just(provider),
        st.just(endpoint),
        bodies,
        st.booleans(),
        policies,
        shares,
        headers,
        state_tokens,
        model,
        stream,
        moments,
    )
