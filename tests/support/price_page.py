"""A page on loopback that answers with one signed price document, for daemons that run by today's clock."""

import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import schema1_prices
from spendguard_daemon.pricing.trust import encode_base64

PUBLIC_KEY = encode_base64(schema1_prices.KEY.public_key)


def fresh(seconds: int = 300, **changes: Any) -> bytes:
    """Return a schema 1 document of this moment."""
    now = time.time()
    times = {"generated_at": now, "expires_at": now + seconds}
    said = {name: datetime.fromtimestamp(at, UTC).isoformat() for name, at in times.items()}
    return schema1_prices.document(**(said | changes))


class PricePage:
    """Serves `body` with `status` at any path; `seen` are the headers of each question."""

    def __init__(self) -> None:
        self.body, self.status, self.seen = fresh(), 200, list[dict[str, str]]()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.seen.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(page.status)
                self.send_header("content-length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/prices?team=secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def env(self) -> dict[str, str]:
        """The settings of a sidecar that takes its prices from here."""
        return {"CAP_PRICING_URL": self.url, "CAP_PRICING_SIGNING_PUBLIC_KEY": PUBLIC_KEY}

    def end(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
