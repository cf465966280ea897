"""What can be changed in a module so that a good test must notice: mutants of its syntax tree.

Comparisons, arithmetic, boolean operators, constants by one, conditions negated, statements and operands
left out, `return None`, `min` for `max`. Left out: annotations, texts, and keywords that only say what form a
class has, for no test should hold those. Reads source files; runs nothing.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

DAEMON = Path(__file__).resolve().parents[1] / "daemon" / "spendguard_daemon"


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the node it changes (as its number in a walk of the tree), and how.

    `line` is the node's own, `statement_line` that of the statement it stands in.
    """

    number: int
    file: str
    node: int
    variant: int
    line: int
    statement_line: int
    what: str
    in_function: bool


COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.Pow: ast.Mult,
}
SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
"""Named functions that have a natural opposite."""


def variants(node: ast.AST) -> list[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    """Return the changes that make sense for a node: what each is, and how to make it on a copy.

    A change that returns None removes the statement.
    """
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return [
            (f"{_name(node.ops[0])} -> {new.__name__}", _setter("ops", [new()]))
            for new in COMPARE[type(node.ops[0])]
        ]
    if isinstance(node, ast.Compare):
        return [
            (
                f"{_name(op)} -> {new.__name__} at {at}",
                _setter("ops", [*node.ops[:at], new(), *node.ops[at + 1 :]]),
            )
            for at, op in enumerate(node.ops)
            for new in COMPARE[type(op)]
        ]
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        if isinstance(node, ast.BinOp) and _is_union(node):
            return []
        new_op = ARITHMETIC[type(node.op)]
        return [(f"{_name(node.op)} -> {new_op.__name__}", _setter("op", new_op())), *_dropped(node)]
    if isinstance(node, ast.BoolOp):
        new_bool = ast.Or if isinstance(node.op, ast.And) else ast.And
        return [
            (f"{_name(node.op)} -> {new_bool.__name__}", _setter("op", new_bool())),
            *[(f"drop operand {at}", _without_operand(at)) for at in range(len(node.values))],
        ]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return [(f"drop {_name(node.op)}", lambda copied: copied.operand)]  # type: ignore[attr-defined]
    if isinstance(node, ast.Constant):
        return _of_constant(node)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        negated = ast.UnaryOp(ast.Not(), node.test)
        return [("negate the condition", _setter("test", negated))]
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        return [("return None", _setter("value", ast.Constant(None)))]
    if isinstance(node, ast.Break):
        return [("break -> continue", lambda _: ast.Continue())]
    if isinstance(node, ast.Continue):
        return [("continue -> break", lambda _: ast.Break())]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SWAPPED_CALLS:
        opposite = ast.Name(SWAPPED_CALLS[node.func.id], ast.Load())
        return [(f"{node.func.id} -> {opposite.id}", _setter("func", opposite))]
    return _dropped(node)


def _dropped(node: ast.AST) -> list[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    """Offer to leave a statement out, where the rest still makes sense without it."""
    removable = isinstance(node, ast.AugAssign | ast.Delete | ast.Raise | ast.Assign)
    if isinstance(node, ast.Expr) and ast.unparse(node).startswith("assert_never("):
        return []
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await | ast.YieldFrom)
    if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Attribute | ast.Subscript):
        return []
    return [("drop the statement", lambda _: None)] if removable or call else []


def _of_constant(node: ast.Constant) -> list[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    value = node.value
    if isinstance(value, bool):
        return [(f"{value} -> {not value}", _setter("value", not value))]
    if isinstance(value, int):
        return [(f"{value} -> {value + step}", _setter("value", value + step)) for step in (1, -1)]
    return []


def _setter(name: str, value: Any) -> Callable[[ast.AST], ast.AST]:
    def change(copied: ast.AST) -> ast.AST:
        setattr(copied, name, value)
        return copied

    return change


def _without_operand(at: int) -> Callable[[ast.AST], ast.AST]:
    def change(copied: Any) -> ast.AST:
        values = [*copied.values[:at], *copied.values[at + 1 :]]
        return values[0] if len(values) == 1 else ast.BoolOp(copied.op, values)

    return change


def _name(op: ast.AST) -> str:
    return type(op).__name__


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_union(node: ast.BinOp) -> bool:
    """Tell whether this is a type, `A | B`, not arithmetic."""

    def is_type(part: ast.AST) -> bool:
        if isinstance(part, ast.BinOp):
            return is_type(part.left) and is_type(part.right)
        if isinstance(part, ast.Subscript):
            part = part.value
        if isinstance(part, ast.Attribute):
            return part.attr[:1].isupper()
        return _is_none(part) or (isinstance(part, ast.Name) and (part.id[:1].isupper() or part.id in _TYPES))

    return isinstance(node.op, ast.BitOr) and is_type(node)


FORM = {"strict", "frozen", "slots", "kw_only", "repr", "compare", "eq", "gc"}
_TYPES = {"int", "str", "bool", "bytes", "float", "dict", "list", "tuple", "set", "frozenset"}


@dataclass(frozen=True)
class Spot:
    """A node that may be changed, and its place in its parent: a field, and of a list which entry."""

    node: ast.AST
    parent: ast.AST
    field: str
    entry: int | None
    in_function: bool
    statement_line: int


def walk(tree: ast.Module) -> Iterator[Spot]:
    """Yield every node that may be changed."""
    yield from _below(tree, in_function=False, statement_line=0)


def _below(node: ast.AST, *, in_function: bool, statement_line: int) -> Iterator[Spot]:
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment", "type_params"):
            continue
        # Defaults and decorators run where the function is defined.
        inside = in_function or (is_function and field not in ("args", "decorator_list"))
        for entry, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr) or _is_form(child):
                continue
            line = child.lineno if isinstance(child, ast.stmt) else statement_line
            spot = Spot(child, node, field, entry, inside, line)
            yield spot
            yield from _below(child, in_function=inside, statement_line=line)


def _is_form(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg in FORM


def mutants_of(file: str) -> list[Mutant]:
    """Return all mutants of a file."""
    tree = ast.parse((DAEMON / file).read_text(encoding="utf-8"))
    found: list[Mutant] = []
    for index, spot in enumerate(walk(tree)):
        for variant, (what, _) in enumerate(variants(spot.node)):
            line = getattr(spot.node, "lineno", spot.statement_line)
            found.append(Mutant(0, file, index, variant, line, spot.statement_line, what, spot.in_function))
    return found


def all_mutants(files: list[str]) -> list[Mutant]:
    """Return every mutant of these files, numbered."""
    found = [mutant for file in files for mutant in mutants_of(file)]
    return [replace(mutant, number=number) for number, mutant in enumerate(found)]


def mutated(mutant: Mutant) -> ast.Module:
    """Return the module's tree with the one change in it."""
    tree = ast.parse((DAEMON / mutant.file).read_text(encoding="utf-8"))
    spot = next(islice(walk(tree), mutant.node, None))
    _, change = variants(spot.node)[mutant.variant]
    new = change(copy.copy(spot.node)) or ast.Pass()
    ast.copy_location(new, spot.node)
    if spot.entry is None:
        setattr(spot.parent, spot.field, new)
    else:
        getattr(spot.parent, spot.field)[spot.entry] = new
    return ast.fix_missing_locations(tree)


def module_name(file: str) -> str:
    """Return the module that a file is."""
    return "spendguard_daemon." + file.removesuffix(".py").replace("/", ".")


def told(mutant: Mutant) -> str:
    """Return what a mutant changes, for people; the same as long as its line stays the same."""
    source = (DAEMON / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
    return f"{mutant.file}: {mutant.what}: {source}"
