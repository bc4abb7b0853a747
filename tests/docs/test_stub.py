"""``_kask.pyi`` says what the extension module has: the same names, and the same parameters."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import kask

STUB = Path(kask.__file__).with_name("_kask.pyi")
MODULE: ModuleType = importlib.import_module("kask._kask")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(name: str) -> bool:
    return not name.startswith("_") or name == "__version__"


def stubbed_names(body: list[ast.stmt]) -> set[str]:
    names = set()
    for node in body:
        if isinstance(node, ast.ClassDef | Function):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if public(name)}


def functions() -> Iterator[tuple[str, Function, object]]:
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, Function):
            yield node.name, node, getattr(MODULE, node.name)
        elif isinstance(node, ast.ClassDef):
            owner = getattr(MODULE, node.name)
            for member in node.body:
                if isinstance(member, Function) and public(member.name):
                    yield f"{node.name}.{member.name}", member, getattr(owner, member.name)
                elif isinstance(member, Function) and member.name == "__init__":
                    yield node.name, member, owner


def test_module_and_stub_have_the_same_names() -> None:
    here = {name for name in vars(MODULE) if public(name)}
    assert here == stubbed_names(ast.parse(STUB.read_text()).body)


@pytest.mark.parametrize(
    "node", [n for n in ast.parse(STUB.read_text()).body if isinstance(n, ast.ClassDef)], ids=lambda n: n.name
)
def test_classes_have_the_names_of_their_stub(node: ast.ClassDef) -> None:
    owner = getattr(MODULE, node.name)
    missing = {name for name in stubbed_names(node.body) if not hasattr(owner, name)}
    assert not missing
    extra = {name for name in vars(owner) if public(name)} - stubbed_names(node.body)
    assert not extra


@pytest.mark.parametrize(
    ("name", "node", "found"), list(functions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_functions_have_the_parameters_of_their_stub(name: str, node: Function, found: object) -> None:
    arguments = node.args
    several = [arguments.vararg] if arguments.vararg else []
    expected = [a.arg for a in [*arguments.posonlyargs, *arguments.args, *several, *arguments.kwonlyargs]]
    signature = inspect.signature(found)  # type: ignore[arg-type]
    actual = [parameter for parameter in signature.parameters if parameter != "self"]
    assert actual == [parameter for parameter in expected if parameter != "self"]
