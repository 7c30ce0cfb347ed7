"""Public functions with three or more parameters say what each of them is: units, shapes, time zones."""

import ast
from collections.abc import Iterator
from pathlib import Path

import kmdb_dagster

PACKAGE = Path(kmdb_dagster.__file__).parent
MIN_PARAMETERS = 3
FRAMEWORKS = ("click.", "callback", "dg.")
"""In a decorator: the framework calls the function, and says what it passes."""
CONTEXTS = {"ctx", "_ctx"}
"""click passes them, to callbacks and types of parameters."""
STAGES = PACKAGE / "sample" / "journey.py"
"""Its functions have one signature, which `Stage` describes."""


def public_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the functions and methods that others may call, except those that a framework calls."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from public_functions(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            decorators = "".join(map(ast.unparse, child.decorator_list))
            if not any(framework in decorators for framework in FRAMEWORKS):
                yield child


def parameters(function: ast.FunctionDef) -> list[str]:
    """Return the names of a function's parameters."""
    given = function.args
    more = [argument for argument in (given.vararg, given.kwarg) if argument]
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, *more)]
    return [name for name in names if name not in {"self", "cls"}]


def test_public_functions_with_many_parameters_describe_each_of_them() -> None:
    found = [
        (f"{path.relative_to(PACKAGE)}: {function.name}", parameters(function), ast.get_docstring(function) or "")
        for path in PACKAGE.rglob("*.py")
        if path != STAGES and "migrations" not in path.parts
        for function in public_functions(ast.parse(path.read_text()))
    ]
    checked = [
        (name, given, text)
        for name, given, text in found
        if len(given) >= MIN_PARAMETERS and CONTEXTS.isdisjoint(given)
    ]
    assert len(checked) > 100
    assert [name for name, _, text in checked if "Args:" not in text] == []
    missing = [
        f"{name}({parameter})" for name, given, text in checked for parameter in given if f"{parameter}:" not in text
    ]
    assert missing == []
