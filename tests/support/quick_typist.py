"""An operator who types only commands of ours, in this process: for most remedies are nothing else."""

import shlex

from shell import Quick, Ran, Shell
from typist import Typist


class QuickTypist(Typist):
    """Types each line as a shell would read it, which must be one command of ours and nothing more.

    What starts a sidecar is a process of its own all the same.
    """

    def __init__(self, shell: Quick):
        self.shell, self.env = shell, shell.env

    def type(self, line: str, stdin: str = "") -> Ran:
        """Type one line."""
        program, *words = shlex.split(line)
        assert program == "spendguard", line
        assert not set(line) & set(";&|<>$`"), line
        starts = words[0] in ("up", "restart")
        return Shell.run(self.shell, *words) if starts else self.shell.run(*words, stdin=stdin)
