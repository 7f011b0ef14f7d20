"""The package reads one thought at a time: what ruff has no rule for."""

import ast
from functools import cache
from pathlib import Path

import pytest

import dailytalk_contiguous

PACKAGE = Path(dailytalk_contiguous.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

#: Names that say nothing of the thing they name.
VAGUE = {
    "at",
    "by",
    "found",
    "given",
    "gone",
    "known",
    "of",
    "one",
    "own",
    "place",
    "rest",
    "said",
    "there",
    "told",
    "what",
}

#: Verbs and adjectives that don't say, as the name of a function or an attribute, what it returns or holds.
VAGUE_MEMBERS = VAGUE | {
    "again",
    "alone",
    "apart",
    "asked",
    "done",
    "drawn",
    "earlier",
    "fit",
    "foreseen",
    "good",
    "heard",
    "held",
    "kept",
    "late",
    "left_over",
    "made",
    "met",
    "needed",
    "other",
    "others",
    "same",
    "seen",
    "several",
    "shown",
    "taken",
    "used",
    "wanted",
}

#: Names that stay, because people's own files call them (`given`, `shown`), or files have them as keys.
PUBLIC = {
    "core/records/run_record.py: by",
    "core/settings.py: shown",
    "core/style/emotions.py: alone",
    "run/progress.py: at",
    "run/progress.py: done",
    "sources/folder.py: given",
}

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def is_truth(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare | ast.BoolOp) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )


def unpacks_a_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple | ast.List)


def counts_with_a_truth(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.BoolOp | ast.UnaryOp) and is_truth(node.slice)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Add | ast.Sub):
        return False
    return is_truth(node.left) or is_truth(node.right)


def assigns_several(node: ast.AST) -> bool:
    """A swap, and the unpacking of one value, are one thought."""
    if not isinstance(node, ast.Assign):
        return False
    if len(node.targets) > 1:
        return True
    (target,) = node.targets
    if not isinstance(target, ast.Tuple) or not isinstance(node.value, ast.Tuple):
        return False
    names = {ast.unparse(element) for element in target.elts}
    return names != {ast.unparse(element) for element in node.value.elts}


def assigns_inside(node: ast.AST) -> bool:
    return isinstance(node, ast.NamedExpr)


def nests_comprehensions(node: ast.AST) -> bool:
    if not isinstance(node, COMPREHENSIONS):
        return False
    return any(isinstance(inner, COMPREHENSIONS) for inner in ast.walk(node) if inner is not node)


@cache
def bodies_of_classes() -> list[tuple[ast.ClassDef, bool]]:
    """The classes of the package, and whether each is a typed dictionary, whose keys are those of rows or JSON."""
    classes = [node for path in FILES for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)]
    kinds = {"TypedDict"}
    before = 0
    while len(kinds) > before:
        before = len(kinds)
        kinds |= {node.name for node in classes if any(ast.unparse(base) in kinds for base in node.bases)}
    return [(node, node.name in kinds) for node in classes]


@cache
def fields_of_classes(is_key: bool) -> set[ast.AST]:
    """The names of annotated fields: keys of typed dictionaries, or attributes of other classes."""
    fields: set[ast.AST] = set()
    for node, has_keys in bodies_of_classes():
        if has_keys == is_key:
            fields |= {field.target for field in node.body if isinstance(field, ast.AnnAssign)}
    return fields


def is_vague(node: ast.AST) -> bool:
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Store):
        return False
    fields = fields_of_classes(is_key=True) | fields_of_classes(is_key=False)
    return node.id in VAGUE and node not in fields


#: How many of each the package may have.
ALLOWED = {
    unpacks_a_literal: 0,
    counts_with_a_truth: 0,
    assigns_several: 0,
    assigns_inside: 0,
    nests_comprehensions: 0,
    is_vague: 0,
}


@pytest.mark.parametrize(("rule", "allowed"), ALLOWED.items(), ids=[rule.__name__ for rule in ALLOWED])
def test_statements_hold_one_thought(rule, allowed) -> None:
    met = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if rule(node)
    ]
    assert len(met) <= allowed, met


def test_functions_and_attributes_are_named_after_what_they_return_or_hold() -> None:
    names: list[tuple[Path, str]] = []
    attributes = fields_of_classes(is_key=False)
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.append((path, node.name))
            elif isinstance(node, ast.Name) and node in attributes:
                names.append((path, node.id))
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.append((path, node.attr))
    vague = {f"{path.relative_to(PACKAGE)}: {name}" for path, name in names if name.strip("_") in VAGUE_MEMBERS}
    assert vague == PUBLIC
