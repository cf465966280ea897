"""Texts for requests: what tokenizers read very differently, short and long, and JSON made of them."""

from typing import Any

from hypothesis import strategies as st

PIECES = (
    "The quick brown fox jumps over the lazy dog. ",
    "def read(self, size: int = -1) -> bytes:\n\treturn self._raw.read(size)\r\n",
    '{"a": [1, 2.50, -3e-7], "b": null}',
    "aGVsbG8gd29ybGQhIGJhc2U2NCBvciBub3Q/IQ==",
    "敏捷的棕色狐狸跳过懒狗。",
    "素早い茶色の狐がのろまな犬を飛び越える。",
    "\ufdfa",  # NFKC: 18 characters
    "\U0001d160\U0001d15e",  # NFC and NFKC: more code points each
    "\uff46\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48 \ufb03 \u00bd \u338f",  # full width
    "e\u0301\u0327 \u1e9b\u0323",  # more than one order of marks
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f3f3\ufe0f\u200d\U0001f308",
    "aBcDeFgHiJ",
    "1234567890 3.14159 -0",
    "<|endoftext|><|im_start|>system<|im_sep|>",
    "\n\nHuman: x\n\nAssistant:",
    "    \t\t   ",
    "it's we'll I'D",
    "\u0000\u001b\u007f\ufeff\uffff",
    '\\"\\\\',
)

repeat = st.sampled_from([1] * 24 + [2, 3, 5, 8, 20, 60, 200, 4_000])
piece = st.builds(lambda once, times: once * times, st.sampled_from(PIECES), repeat)
text = st.builds(lambda start, rest: start + rest, st.sampled_from(PIECES), piece)
word = st.sampled_from(["get_weather", "l\u00e4s_fil", "x", "search-docs", "a" * 64])
NUMBERS = (0, 1, -1, 7, 10**15, 0.5, 1e21, 1e-9, 2.50)


def _schema(number: int) -> dict[str, Any]:
    """Return one of many schemas: with no, few or many properties, enums and awkward descriptions."""
    properties = {
        f"p{index}": {
            "type": ("string", "integer", "array")[index % 3],
            "description": PIECES[(number + index) % len(PIECES)],
            "enum": [*PIECES[: (number + index) % 4], NUMBERS[index % len(NUMBERS)]],
            "minimum": NUMBERS[(number * 3 + index) % len(NUMBERS)],
        }
        for index in range(number % 5)
    }
    return {"type": "object", "properties": properties, "required": list(properties)[:1]}


# Drawn whole: to draw a schema piece by piece would take most of the time, and find little more.
schema = st.sampled_from([_schema(number) for number in range(40)])
values = st.sampled_from(
    [{}, {"q": PIECES[6], "n": 2.50}, {"deep": [{"a": None}, [True, 1e21]], PIECES[3]: 1}]
)
"""Arguments of calls and results of tools."""


def flag() -> st.SearchStrategy[bool]:
    """Draw true one time in four."""
    return st.sampled_from([False, False, False, True])


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw null as well, as clients write what they leave open."""
    return st.none() | strategy
