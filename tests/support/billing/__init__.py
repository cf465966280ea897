"""Providers that bill all that their documentation lets them, and the hold beside the bill.

`openai`, `anthropic`, `gemini` and `grok` read a request as it left us and say the most that it may be
billed; they are written from costs.md and what it cites, and import nothing of the code under test. `texts`
and the `*_requests` modules draw requests, `holds` puts hold and bill side by side.
"""
