"""The load of bench/watch.py: so many calls a second, spread over agents. Prints one JSON object.

    watch_load.py <base url> <calls a second> <seconds> < ids, one a line

The mock models of the sidecar answer. A call begins when it is due, whether or not others have ended.
"""

import asyncio
import json
import sys
import time

import aiohttp

BODY = {"model": "mock-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}


async def call(http: aiohttp.ClientSession, url: str, agent_id: str, statuses: dict[int, int]) -> None:
    """Make one call, and count its status."""
    async with http.post(url, json=BODY, headers={"x-cynsta-agent-id": agent_id}) as answer:
        await answer.read()
        statuses[answer.status] = statuses.get(answer.status, 0) + 1


async def main(base_url: str, rate: float, seconds: float, ids: list[str]) -> None:
    """Put the load on."""
    statuses: dict[int, int] = {}
    began = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as calls:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            url = f"{base_url}/v1/chat/completions"
            calls.create_task(call(http, url, ids[number * 7919 % len(ids)], statuses))
    took = time.perf_counter() - began
    done = statuses.get(200, 0)
    print(json.dumps({"calls": done, "calls_per_second": round(done / took, 1), "statuses": statuses}))


if __name__ == "__main__":
    base_url, rate, seconds = sys.argv[1:]
    asyncio.run(main(base_url, float(rate), float(seconds), sys.stdin.read().split()))
