"""A provider on loopback that knows one key: it lists models, and answers calls with two letters."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RIGHT_KEY = "sk-right-0123456789abcdef"
_WRONG = {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "x"}}

_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
}


class ModelsPage:
    """Listens on a port that stays the same over `end` and `start`."""

    def __init__(self) -> None:
        self._port = 0
        self.start()

    def start(self) -> None:
        """Answer from now on."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.headers["authorization"] == f"Bearer {RIGHT_KEY}"
                self._say(200 if known else 401, {"data": []} if known else _WRONG)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                known = self.headers["authorization"] == f"Bearer {RIGHT_KEY}"
                answer = _RESPONSE if self.path.endswith("/responses") else _CHAT
                self._say(200 if known else 401, {**answer, "model": asked["model"]} if known else _WRONG)

            def _say(self, status: int, value: object) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def base_url(self) -> str:
        """Return its address, as OpenAI's SDK writes it."""
        return f"http://127.0.0.1:{self._port}/v1"

    def end(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
