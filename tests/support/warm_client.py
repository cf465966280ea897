"""One command of a process that has everything loaded (`warm.py`), for whoever can reach it by a Unix socket.

As a program it stands for `spendguard` in a shell: with the streams, the environment and the folder that it
has itself, and the exit code is its own. It loads next to nothing, with `python -I -S`.
"""

import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence

HEAD = struct.Struct("!III")
"""How many words and variables there are, and how many bytes they take, each ended by a zero byte."""

NUMBER = struct.Struct("!i")


def wish(
    path: str, words: Sequence[bytes], env: Mapping[bytes, bytes], streams: Sequence[int]
) -> socket.socket:
    """Wish for a command, its name first; return the line on which its pid and its exit code come."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)
    parts = [*words, *(name + b"=" + value for name, value in env.items()), os.getcwdb()]  # noqa: PTH109 - in bytes
    said = b"".join(part + b"\0" for part in parts)
    socket.send_fds(line, [HEAD.pack(len(words), len(env), len(said))], list(streams))
    line.sendall(said)
    return line


def number(line: socket.socket) -> int:
    """Read a number; the exit code of who was ended by a signal is below 0."""
    (said,) = NUMBER.unpack(line.recv(NUMBER.size, socket.MSG_WAITALL))
    return int(said)


if __name__ == "__main__":
    answer = wish(sys.argv[1], [os.fsencode(word) for word in sys.argv[2:]], os.environb, (0, 1, 2))
    number(answer)
    code = number(answer)
    sys.exit(code if code >= 0 else 128 - code)
