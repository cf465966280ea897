"""Scripts that use the providers' official SDKs, and know nothing of us, under `exec`.

The files below name no address, no key and no agent: what an SDK does without a setting is sent to the
sidecar, and paid by the key of the program.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from routed import CLIENTS, HELLO, Routed
from till import nusd

SCRIPTS = {
    "openai": """
from openai import OpenAI
print(OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}]).choices[0].message.content)
""",
    "openai, async": """
import asyncio
from openai import AsyncOpenAI
async def main():
    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}], stream=True)
        print("".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]))
asyncio.run(main())
""",
    "openai, for Grok": """
import os
from openai import OpenAI
client = OpenAI(base_url=os.environ["XAI_BASE_URL"], api_key=os.environ["XAI_API_KEY"])
print(client.chat.completions.create(
    model="grok-4.3", messages=[{"role": "user", "content": "Say hello."}]).choices[0].message.content)
""",
    "anthropic": """
from anthropic import Anthropic
print(Anthropic().messages.create(model="claude-haiku-4-5", max_tokens=100,
    messages=[{"role": "user", "content": "Say hello."}]).content[0].text)
""",
    "google-genai": """
from google import genai
client = genai.Client()
print(client.models.generate_content(model="gemini-2.5-flash", contents="Say hello.").text)
""",
    "langchain-openai": """
from langchain_openai import ChatOpenAI
print(ChatOpenAI(model="gpt-4o-mini").invoke("Say hello.").text)
""",
    "langchain-anthropic": """
from langchain_anthropic import ChatAnthropic
print(ChatAnthropic(model="claude-haiku-4-5", max_tokens=100).invoke("Say hello.").text)
""",
    "langchain-google-genai": """
from langchain_google_genai import ChatGoogleGenerativeAI
print(ChatGoogleGenerativeAI(model="gemini-2.5-flash").invoke("Say hello.").text)
""",
    "litellm, openai": """
import litellm
print(litellm.completion(model="openai/gpt-4o-mini",
    messages=[{"role": "user", "content": "Say hello."}]).choices[0].message.content)
""",
    "litellm, anthropic": """
import litellm
print(litellm.completion(model="anthropic/claude-haiku-4-5", max_tokens=100,
    messages=[{"role": "user", "content": "Say hello."}]).choices[0].message.content)
""",
}


PROGRAMS = {
    "openai": ("openai", "openai, async", "openai, for Grok"),
    "anthropic": ("anthropic",),
    "google-genai": ("google-genai",),
    "langchain": ("langchain-openai", "langchain-anthropic", "langchain-google-genai"),
    "litellm": ("litellm, openai", "litellm, anthropic"),
}
"""Which scripts follow each other in one program: what takes long is to load them."""


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    """The sidecar before the recorded provider; nothing that it sent was refused."""
    with Routed(tmp_path_factory.mktemp("routed")) as running:
        yield running
        assert running.provider.refused == []


def test_every_script_is_part_of_a_program() -> None:
    assert sorted(name for names in PROGRAMS.values() for name in names) == sorted(SCRIPTS)


@pytest.mark.parametrize("names", PROGRAMS.values(), ids=PROGRAMS)
def test_a_script_that_knows_nothing_of_us_is_paid_by_the_key(
    names: tuple[str, ...], routed: Routed, tmp_path: Path
) -> None:
    agent_id = routed.sidecar.agent(cents=10_000)
    script = tmp_path / "script.py"
    script.write_text("".join(SCRIPTS[name] for name in names))
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "HOME") if name in os.environ}
    home = {"SPENDGUARD_HOME": str(routed.sidecar.home.root), "HTTPS_PROXY": "http://127.0.0.1:1"}
    proxied = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    real = {"OPENAI_API_KEY": "sk-real-0123456789", "GOOGLE_API_KEY": "AIza-real-0123456789"}
    ran = subprocess.run(
        [sys.executable, "-m", "spendguard_cli", "exec", "--agent", agent_id, "--", sys.executable, script],
        cwd=tmp_path,
        env={**kept, **home, **proxied, **real, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (0, f"{HELLO}\n" * len(names)), ran.stderr
    costs = [CLIENTS[name].nusd for name in names]
    calls = routed.sidecar.calls(agent_id)[::-1]
    assert [(call["state"], nusd(call["cost_usd"])) for call in calls] == [
        ("settled", cost) for cost in costs
    ]
    (key,) = routed.sidecar.control("GET", f"/v1/agents/{agent_id}/keys")["keys"]
    assert (key["kind"], key["revoked"], nusd(key["settled_usd"])) == ("exec", True, sum(costs))
    assert f"in {len(names)} call{'s' * (len(names) > 1)}, 0 refused" in ran.stderr
