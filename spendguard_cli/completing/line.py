"""A line as bash has it, read up to the cursor, and words written back so that bash reads them as they are.

Pure. Bash hands over its line unread; zsh and fish split it themselves and quote what they get.
"""

from dataclasses import dataclass

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,")
ENDS_WORDS = frozenset(" \t\n")
BEGINS_COMMANDS = frozenset(";|&(")
IN_DOUBLE_QUOTES = frozenset('"\\$`!')


@dataclass(slots=True)
class Word:
    """One word: as it was typed, what it means, and the quote that is still open in it."""

    typed: str = ""
    text: str = ""
    quote: str = ""


def words_of(line: str) -> list[Word]:
    """Return the words of the last command on a line; the last one is the one at the cursor, maybe empty."""
    words, current, position = [], Word(), 0
    while position < len(line):
        character = line[position]
        if not current.quote and character in ENDS_WORDS:
            if current.typed:
                words.append(current)
            current, position = Word(), position + 1
            continue
        if not current.quote and character in BEGINS_COMMANDS:
            words, current, position = [], Word(), position + 1
            continue
        taken = _take(current, line[position : position + 2])
        current.typed += line[position : position + taken]
        position += taken
    return [*words, current]


def _take(word: Word, ahead: str) -> int:
    """Read one character, or an escaped one, into a word; return how many were typed for it."""
    character = ahead[0]
    if character == "\\" and word.quote != "'":
        escaped = ahead[1:2]
        kept = "" if not word.quote or escaped in IN_DOUBLE_QUOTES else "\\"
        word.text += kept + escaped
        return len(ahead)
    if character == word.quote:
        word.quote = ""
    elif not word.quote and character in "'\"":
        word.quote = character
    else:
        word.text += character
    return 1


def written(value: str, quote: str = "") -> str:
    """Return a value as it is typed in bash, behind an open quote where there is one."""
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return "".join(f"\\{c}" if c in IN_DOUBLE_QUOTES else c for c in value)
    return "".join(c if c in PLAIN or not c.isascii() else f"\\{c}" for c in value)


def replacement(value: str, at_cursor: Word, replaced: str) -> str:
    """Return what takes the place of the part of the word that bash replaces.

    Bash cuts words at `=` and `:` as well, so that part, `replaced`, may be the end of the word alone.
    """
    before = at_cursor.typed.removesuffix(replaced) if replaced else at_cursor.typed
    kept = words_of(before)[-1].text if before.strip("\"'") else ""
    return written(value[len(kept) :], at_cursor.quote)
