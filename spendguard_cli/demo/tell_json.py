"""The demo for a machine: silence, then one JSON value."""

from spendguard_cli.demo.scenes import Reckoning, Scene, Verdict
from spendguard_cli.output import Output


class JsonTeller:
    """Says nothing until all is known."""

    def __init__(self, out: Output):
        self._out = out

    def opening(self) -> None:
        """Say nothing."""

    def scene(self, number: int, scene: Scene) -> None:
        """Say nothing."""

    def reckoning(self, number: int, table: Reckoning) -> None:
        """Say nothing."""

    def closing(self, verdict: Verdict) -> None:
        """Print the verdict."""
        self._out.show(verdict)
