"""The whole demo: stage, acts, reckoning, and a teller for whoever watches."""

from collections.abc import Mapping
from typing import Protocol

from spendguard_cli.demo.acts import Cast, acts
from spendguard_cli.demo.reckoning import reckon
from spendguard_cli.demo.scenes import Reckoning, Scene, Verdict
from spendguard_cli.demo.stage import Stage
from spendguard_cli.output import Form, Output


class Teller(Protocol):
    """Whoever tells the story as it happens."""

    def opening(self) -> None:
        """Say what is going to be shown."""

    def scene(self, number: int, scene: Scene) -> None:
        """Tell one act that has been played."""

    def reckoning(self, number: int, table: Reckoning) -> None:
        """Show the closing table."""

    def closing(self, verdict: Verdict) -> None:
        """End, when the stage is empty again."""


def perform(out: Output, env: Mapping[str, str]) -> bool:
    """Play the demo; return whether every claim was borne out by what was seen."""
    teller = _teller(out)
    scenes: list[Scene] = []
    with Stage(env) as stage:
        teller.opening()
        stage.start()
        cast = Cast(stage)
        for number, scene in enumerate(acts(cast), 1):
            scenes.append(scene)
            teller.scene(number, scene)
        table = reckon(cast)
        teller.reckoning(len(scenes) + 1, table)
    checks = [check for scene in scenes for check in scene.checks] + table.checks
    verdict = Verdict(ok=all(check.ok for check in checks), scenes=scenes, reckoning=table)
    teller.closing(verdict)
    for check in checks:
        if not check.ok:
            claim = f"The demo did not show what it claims: {check.claim}"
            out.fail("demo_failed", claim, "spendguard demo --json")
    return verdict.ok


def _teller(out: Output) -> Teller:
    if out.form is Form.JSON:
        from spendguard_cli.demo.tell_json import JsonTeller

        return JsonTeller(out)
    if out.form is Form.TERMINAL:
        from spendguard_cli.demo.tell_rich import RichTeller

        return RichTeller()
    from spendguard_cli.demo.tell_plain import PlainTeller

    return PlainTeller()
