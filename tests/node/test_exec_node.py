"""The JavaScript SDKs under `spendguard exec`: programs that know nothing of us, and no setting beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_programs import PACKAGES, DeadEnd, Place
from routed import CLIENTS, HELLO, Routed
from shell import PROGRAM
from till import nusd

PROGRAMS = {
    "openai": """
import OpenAI from "openai";
const answer = await new OpenAI().chat.completions.create({
  model: "gpt-4o-mini", messages: [{ role: "user", content: "Say hello." }] });
console.log(answer.choices[0].message.content);
""",
    "anthropic": """
import Anthropic from "@anthropic-ai/sdk";
const answer = await new Anthropic().messages.create({
  model: "claude-haiku-4-5", max_tokens: 100, messages: [{ role: "user", content: "Say hello." }] });
console.log(answer.content[0].text);
""",
    "google-genai": """
import { GoogleGenAI } from "@google/genai";
const answer = await new GoogleGenAI({}).models.generateContent({
  model: "gemini-2.5-flash", contents: "Say hello." });
console.log(answer.text);
""",
}


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecar before the recorded provider; nothing that it sent was refused."""
    with Routed(tmp_path_factory.mktemp("routed")) as running:
        yield running
        assert running.provider.refused == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_knows_nothing_of_us_is_paid_by_the_key(
    name: str, routed: Routed, tmp_path: Path
) -> None:
    agent_id = routed.sidecar.agent(cents=1_000)
    with DeadEnd() as dead_end:
        place = Place(tmp_path / "home", dead_end, {})
        place.put("work/program.mjs", PROGRAMS[name])
        (place.work / "node_modules").symlink_to(PACKAGES)
        ended = place.execute(
            *(*PROGRAM, "exec", "--agent", agent_id, "--", "node", "program.mjs"),
            SPENDGUARD_HOME=str(routed.sidecar.home.root),
            PYTHONPATH=os.environ.get("PYTHONPATH", ""),
        )
        assert (ended.code, ended.out, ended.beyond) == (0, f"{HELLO}\n", ()), ended.err
    (call,) = routed.sidecar.calls(agent_id)
    assert (call["state"], nusd(call["cost_usd"])) == ("settled", CLIENTS[name].nusd)
    (key,) = routed.sidecar.control("GET", f"/v1/agents/{agent_id}/keys")["keys"]
    assert (key["kind"], key["revoked"], nusd(key["settled_usd"])) == ("exec", True, CLIENTS[name].nusd)
