"""A JSON array on its way: cut into its elements as they arrive, without reading what is in them.

Owns the framing and nothing of what elements mean. Strings and their escapes are skipped, brackets counted;
whether an element is JSON is for its reader to say. Source: RFC 8259; Google's streams without `alt=sse`
(recording 35: elements between `,\\r\\n`). Invariant: never more than one element is kept, and an array is
closed only by the bracket that belongs to its first.
"""

import re

from spendguard_daemon.providers.sse import EVENT_BYTES_MAX

_SPACE = b" \t\r\n"
_MARK = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'["\\]')


class ArraySplitter:
    """Cuts chunks into the elements of one array. After a `problem` it cuts no more."""

    def __init__(self, element_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.closed = False
        self.problem: str | None = None
        self._element_bytes_max = element_bytes_max
        self._buffer = bytearray()
        self._at = 0
        self._depth = 0
        self._in_string = False
        self._elements = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return the elements that they complete."""
        if self.problem is not None:
            return []
        self._buffer += chunk
        found: list[bytes] = []
        while self._step(found):
            pass
        if len(self._buffer) > self._element_bytes_max:
            self.problem = "an element of the array is larger than can be read"
        if self.problem is not None:
            self._buffer.clear()
        return found

    def _step(self, found: list[bytes]) -> bool:
        """Go to the next mark; tell whether there was one."""
        if self._in_string:
            return self._in_a_string()
        if self._depth == 0:
            return self._outside()
        mark = _MARK.search(self._buffer, self._at)
        if mark is None:
            self._at = len(self._buffer)
            return False
        self._at = mark.end()
        match mark[0]:
            case b'"':
                self._in_string = True
            case b"[" | b"{":
                self._depth += 1
            case b"]" | b"}":
                self._depth -= 1
                if self._depth == 0:
                    self._close(mark[0], found)
            case _ if self._depth == 1:
                self._cut(found)
        return True

    def _in_a_string(self) -> bool:
        mark = _IN_STRING.search(self._buffer, self._at)
        if mark is None:
            self._at = len(self._buffer)
            return False
        if mark[0] == b'"':
            self._at, self._in_string = mark.end(), False
            return True
        if mark.end() == len(self._buffer):  # what is escaped comes with the next chunk
            self._at = mark.start()
            return False
        self._at = mark.end() + 1
        return True

    def _outside(self) -> bool:
        """Take what stands before and after the array: nothing but white space."""
        rest = self._buffer.lstrip(_SPACE)
        self._buffer, self._at = rest, 0
        if not rest:
            return False
        if self.closed or not rest.startswith(b"["):
            self.problem = "more after the end of the array" if self.closed else "the answer is no array"
            return False
        del self._buffer[:1]
        self._depth = 1
        return True

    def _cut(self, found: list[bytes]) -> None:
        """Take the element that ends at the mark just passed."""
        element = bytes(self._buffer[: self._at - 1]).strip(_SPACE)
        del self._buffer[: self._at]
        self._at = 0
        self._elements += 1
        if not element:
            self.problem = "the array has a comma without an element"
            return
        found.append(element)

    def _close(self, mark: bytes, found: list[bytes]) -> None:
        is_empty = not self._elements and not bytes(self._buffer[: self._at - 1]).strip(_SPACE)
        if mark != b"]":
            self.problem = "the array is closed by another bracket"
        elif is_empty:
            del self._buffer[: self._at]
            self._at = 0
        else:
            self._cut(found)
        self.closed = True
