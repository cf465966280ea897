"""The page that `watch --serve` gives a browser: a terminal, and a word where it is not there yet or no more.

Ours in place of textual-serve's, whose page asks another host for a font, and where no key is heard before
one clicks. What `static/js/textual.js` looks for in a page is named as it wants it: the terminal, with its
websocket and its size of letters, and the classes -first-byte and -closed that it puts on the body.
"""

import base64
import hashlib
from html import escape

TITLE = "spendguard watch"
LETTER_PIXELS = 16

SCRIPT = """
addEventListener("load", () => {
  const focus = () => document.querySelector(".xterm-helper-textarea")?.focus();
  const seen = new MutationObserver(() => {
    if (document.body.classList.contains("-first-byte")) { focus(); seen.disconnect(); }
  });
  seen.observe(document.body, { attributeFilter: ["class"] });
  document.querySelector("#again").addEventListener("click", () => location.reload());
});
"""
"""Keys go to the terminal as soon as it shows anything."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/css/xterm.css">
<script src="static/js/textual.js"></script>
<style>
body {{ background: #14171a; color: #d8dde3; font: 16px monospace; margin: 0; overflow: hidden; }}
.over {{ position: absolute; inset: 0; z-index: 10; background: #14171a; }}
.over {{ text-align: center; padding-top: 40vh; }}
.over button {{ font: inherit; padding: 4px 16px; cursor: pointer; }}
.ended, .-first-byte .opening {{ display: none; }}
.-closed .opening {{ display: none; }}
.-closed .ended {{ display: block; }}
</style>
</head>
<body>
<div class="over opening">spendguard watch is opening ...</div>
<div class="over ended"><p>This screen has ended. If nobody quit it, see where
spendguard watch --serve runs: it says why.</p>
<button id="again" type="button">open it again</button></div>
<div id="terminal" class="textual-terminal"
  data-session-websocket-url="{socket}" data-font-size="{pixels}"></div>
<script>{script}</script>
</body>
</html>
"""


def page(socket: str) -> str:
    """Return the page whose terminal speaks with that websocket."""
    return PAGE.format(title=TITLE, socket=escape(socket), pixels=LETTER_PIXELS, script=SCRIPT)


def headers(place: str) -> dict[str, str]:
    """Return what goes with all that is served at a place, a host with its port.

    Nothing comes from anywhere else, no page frames it, and no link tells another site the address.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{digest}'",
        "style-src": "'self' 'unsafe-inline'",  # the terminal sizes its cells by styles that it writes
        "img-src": "data:",
        "connect-src": f"ws://{place}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{of} {allowed}" for of, allowed in policy.items()),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
