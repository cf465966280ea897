"""What the operator lets calls do beyond the plain case: what of `[policy]` readers of requests need.

Data only. The defaults are the careful ones: what has no bound is taken out or refused, never sent unbounded.
"""

from dataclasses import dataclass
from typing import Literal

HostedTools = Literal["strip", "refuse", "allow"]
ServerState = Literal["window", "refuse"]
ExactCount = Literal["on_deny", "never"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one agent's requests are read (design 5.2, 5.3).

    `hosted_tools`: tools that run at the provider are taken out, refused, or allowed with at most
    `hosted_tool_uses` uses each. Their bound rests on what providers say of their loops, which is less than a
    proof: Anthropic's makes ten rounds by default, how often OpenAI's ignores further attempts nobody says
    (`anthropic_tools.LOOP_PASSES`, `openai_responses.PASSES_PER_CALL`, `grok.GrokResponses`,
    `gemini_tools.GROUNDED_PASSES`). `server_state`: input that lies at the provider (earlier responses,
    files, PDFs) is held at the context window, or refused. `exact_count`: whether the provider's free count
    endpoint is asked before a call is refused for money. `allow` widens the allow-lists by features, each
    named as refusals name it: `openai.chat.field:foo`, `anthropic.tool:bash_20250124`,
    `anthropic.beta:foo-2026-01`; of xAI some rule out what is held beside a cap
    (`grok.chat.cap:reasoning`).
    """

    hosted_tools: HostedTools = "strip"
    hosted_tool_uses: int = 5
    server_state: ServerState = "window"
    exact_count: ExactCount = "on_deny"
    allow: frozenset[str] = frozenset()


CAREFUL = Policy()
"""The policy in force where an operator has set nothing."""
