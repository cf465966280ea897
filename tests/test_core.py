"""The core suite and what it is held to: nothing that counts money is left out of it by mistake."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def assigned(path: Path, name: str) -> object:
    """Return the literal that a module assigns to a name."""
    (value,) = (
        node.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return ast.literal_eval(value)


def test_the_core_suite_has_every_test_of_the_ledger() -> None:
    """A file that is not listed neither counts branches nor kills mutants."""
    listed = (ROOT / "tests" / "core.txt").read_text(encoding="utf-8").splitlines()
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/sidecar/test_ledger*.py")}
    assert files <= set(listed)
    assert all((ROOT / name).is_file() for name in listed if name.startswith("tests/"))


def test_branches_are_counted_and_mutants_made_of_the_same_code() -> None:
    """What `coverage` measures is what `bench/mutate.py` changes."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
    targets = assigned(ROOT / "bench" / "mutate.py", "TARGETS")
    assert isinstance(targets, tuple)
    modules = {"spendguard_daemon." + name.removesuffix(".py").replace("/", ".") for name in targets}
    assert set(settings["run"]["source_pkgs"]) == modules
    assert (settings["run"]["branch"], settings["report"]["fail_under"]) == (True, 100)


def test_the_mutation_run_is_small_enough_to_be_read() -> None:
    """Files fit a sitting, functions fit a screen: as in the daemon."""
    for path in ROOT.glob("bench/mut*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 300
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or node.lineno) - node.lineno < 70, node.name
