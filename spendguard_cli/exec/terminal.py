"""The terminal that this command was typed in, and which group of processes has it.

Without a terminal, or where another group has it, every method does nothing.
"""

import contextlib
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal that was ours at the start; descriptor None where it was not. SIGTTOU must be blocked."""

    descriptor: int | None
    group: int

    @classmethod
    def ours(cls) -> "Terminal":
        """Open the controlling terminal, if our group is in front."""
        group = os.getpgrp()
        try:
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError:
            return cls(None, group)
        try:
            if os.tcgetpgrp(descriptor) == group:
                return cls(descriptor, group)
        except OSError:
            pass
        os.close(descriptor)
        return cls(None, group)

    def is_ours(self) -> bool:
        """Tell whether our group is in front."""
        return self._front() == self.group

    def give(self, group: int) -> None:
        """Put another group in front."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self.descriptor, group)

    def take_back(self) -> None:
        """Put our group in front again."""
        if self.descriptor is not None and self._front() != self.group:
            self.give(self.group)

    def _front(self) -> int | None:
        if self.descriptor is None:
            return None
        try:
            return os.tcgetpgrp(self.descriptor)
        except OSError:
            return None
