"""The answer to a shell that completes a word: its kind on the first line, then what may stand there.

The scripts of `scripts.py` ask by starting the program with `_SPENDGUARD_COMPLETE` set to the shell's name.
Bash sends its line in `_SPENDGUARD_LINE` and what it replaces in `_SPENDGUARD_WORD`; zsh and fish send the
words as arguments, the one at the cursor last. Whatever goes wrong is silence.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from spendguard_cli.completing.line import Word, replacement, words_of
from spendguard_cli.completing.tree import Candidate, Kind, asked
from spendguard_cli.completing.values import values
from spendguard_cli.session import UUID

ASKED = "_SPENDGUARD_COMPLETE"
LINE, WORD = "_SPENDGUARD_LINE", "_SPENDGUARD_WORD"


def answer(root: Any, arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Write what may stand at the cursor to stdout."""
    with contextlib.suppress(Exception):
        sys.stdout.write("\n".join(_lines(root, arguments, env)) + "\n")
        sys.stdout.flush()


def _lines(root: Any, arguments: Sequence[str], env: Mapping[str, str]) -> list[str]:
    shell = env[ASKED]
    if shell == "bash":
        typed = words_of(env.get(LINE, ""))[1:] or [Word()]
        words, at_cursor = [word.text for word in typed[:-1]], typed[-1]
    else:
        words = [words_of(word)[-1].text if shell == "fish" else word for word in arguments[:-1] if word]
        at_cursor = words_of(arguments[-1] if arguments else "")[-1]
    wanted = asked(root, words, at_cursor.text)
    if wanted.kind is Kind.FILES:
        return ["files"]
    offered = [(wanted.before + value, text) for value, text in values(wanted, env)]
    offered = [(value, text) for value, text in offered if value.startswith(at_cursor.text)]
    if wanted.kind is Kind.AGENTS:
        offered = _without_ids(offered, wanted.before)
    if shell == "bash":
        return ["words", *(replacement(value, at_cursor, env.get(WORD, "")) for value, _ in offered)]
    return ["words", *(f"{value}\t{text}" if text else value for value, text in offered)]


def _without_ids(offered: list[Candidate], before: str) -> list[Candidate]:
    """Leave out the ids of agents whose names are offered: nobody wants both."""
    names = {value for value, _ in offered}
    return [
        (value, text)
        for value, text in offered
        if before + text not in names or not UUID.fullmatch(value.removeprefix(before))
    ]
