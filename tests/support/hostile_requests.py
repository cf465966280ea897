"""Headers and bodies that no client of ours sends, as hypothesis draws them."""

import string

from hypothesis import strategies as st

_TEXT = st.text(string.printable.strip(), max_size=30)
HOSTILE: dict[str, st.SearchStrategy[str]] = {
    "host": st.sampled_from(["evil.example", "localhost", "127.0.0.1", "[::1]:1", "LOCALHOST:80", ""]),
    "origin": st.sampled_from(["null", "http://127.0.0.1", "https://evil.example"]),
    "sec-fetch-site": st.sampled_from(["cross-site", "same-origin", "none"]),
    "content-type": st.sampled_from(
        ["text/plain", "application/json; charset=utf-16", "multipart/form-data", "application/JSON", "x", ""]
    ),
    "content-encoding": st.sampled_from(["gzip", "identity", "br", "deflate, gzip", ""]),
    "accept": st.sampled_from(["text/html", "*/*;q=0", ""]),
    "expect": st.sampled_from(["100-continue", "200-ok"]),
    "anthropic-version": st.sampled_from(["2023-06-01", "", "x"]),
    "anthropic-beta": st.sampled_from(["context-1m-2025-08-07", "none-2020-01-01", ","]),
    "openai-beta": _TEXT,
    "x-goog-api-key": _TEXT,
    "x-api-key": _TEXT | st.just("sg_agent_0123456789abcdef.c2VjcmV0"),
    "authorization": st.sampled_from(["Bearer", "Bearer x", "Basic eDp5", "bearer sg_agent_1.x", "Bearer é"]),
    "x-cynsta-agent-id": _TEXT,
    "x-cynsta-run-id": _TEXT,
    "x-spendguard-actor": _TEXT,
    "idempotency-key": _TEXT | st.just("k" * 200),
    "x-http-method-override": st.sampled_from(["DELETE", "POST"]),
    "connection": st.sampled_from(["close", "upgrade", "host"]),
    "cookie": _TEXT,
}
"""By their names, what may stand in them; each takes the place of what was sent so."""

BODIES = st.sampled_from(
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "name": "b"}',
        b'{"topup_cents": 1e400, "hard_limit_cents": NaN}',
        b'{"topup_cents": ' + b"9" * 5_000 + b"}",
        b'{"model": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"a":' * 20_000,
        b'{"name": "' + b"x" * 70_000 + b'"}',
    ]
)
"""What is no JSON, no object, or more than anybody means."""
