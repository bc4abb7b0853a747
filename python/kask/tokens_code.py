"""Tokens of functions, classes, modules and the plain types of the standard library.

A function or class that can be imported is its name. Any other (a lambda, a closure, something of ``__main__``) is its code: byte code,
constants, names, defaults, what it closes over, and the globals it reads, which are what cloudpickle would carry along.
"""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import os
import pathlib
import sys
import types
import weakref
from typing import Any

_codes: weakref.WeakKeyDictionary[types.CodeType, tuple[tuple, tuple[str, ...]]] = weakref.WeakKeyDictionary()
_UNTOLD = {"__weakref__", "__dict__", "__module__", "__doc__", "_abc_impl", "__abstractmethods__", "__qualname__"} | {
    "__dataclass_fields__", "__dataclass_params__", "__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__",
}  # fmt: skip


def importable(value: Any, name: str) -> bool:
    """Whether ``value`` is found under its own name in its own module, in any process."""
    module = getattr(value, "__module__", None)
    if module is None or module == "__main__" or module not in sys.modules or _by_value(module):
        return False
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return found is value


def _by_value(module: str) -> bool:
    # Modules that the user told cloudpickle to carry along.
    if "cloudpickle" not in sys.modules:
        return False
    # A real import waits for another thread that is still at it; what is in sys.modules may be half made.
    import cloudpickle

    registered = cloudpickle.list_registry_pickle_by_value()
    return any(module == name or module.startswith(name + ".") for name in registered)


def describe_function(function: types.FunctionType) -> Any:
    """Its name if it can be imported, otherwise its code and all that the code uses."""
    from kask.tokens import describe_part

    if importable(function, function.__qualname__):
        return ("kask:function", function.__module__, function.__qualname__)
    code, names = _describe_code(function.__code__)
    cells = [_contents(cell) for cell in function.__closure__ or ()]
    scope = function.__globals__
    label = f"the function {function.__name__}"
    return (
        "kask:code",
        function.__name__,
        describe_part(code, ""),
        describe_part(function.__defaults__, f"{label}, defaults"),
        describe_part(function.__kwdefaults__, f"{label}, keyword defaults"),
        [
            describe_part(value, f"{label}, variable {name}")
            for name, value in zip(function.__code__.co_freevars, cells, strict=True)
        ],
        {name: describe_part(scope[name], f"{label}, global {name}") for name in names if name in scope},
        describe_part(function.__dict__, f"{label}, attributes"),
    )


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ("kask:empty cell",)


def _describe_code(code: types.CodeType) -> tuple[tuple, tuple[str, ...]]:
    """What the code does, and which globals it reads. File and line numbers do not count."""
    known = _codes.get(code)
    if known is not None:
        return known
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner, inner_names = _describe_code(constant)
            constants.append(("kask:code", inner))
            names.update(inner_names)
        else:
            constants.append(constant)
    described = (
        code.co_code,
        code.co_exceptiontable if sys.version_info >= (3, 11) else b"",
        constants,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
    )
    _codes[code] = (described, tuple(sorted(names)))
    return _codes[code]


def _describe_builtin(function: Any) -> Any:
    owner = function.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return ("kask:builtin", function.__module__ or "", function.__qualname__)
    return ("kask:method", function.__name__, owner)


def _describe_slot(function: Any) -> Any:
    return ("kask:slot", function.__objclass__, function.__name__)


def _describe_class(cls: type) -> Any:
    from kask.tokens import describe_part

    # An extension's class may carry a module name under which it cannot be found; it is still the same class everywhere.
    if importable(cls, cls.__qualname__) or not cls.__flags__ & (1 << 9):
        return ("kask:class", cls.__module__, cls.__qualname__)
    label = f"the class {cls.__name__}"
    members = {
        name: value
        for name, value in vars(cls).items()
        if name not in _UNTOLD and not isinstance(value, types.MemberDescriptorType)
    }
    if isinstance(cls, enum.EnumMeta):
        named: dict[str, Any] = dict(cls.__members__)
        values = [(name, describe_part(member.value, f"{label}, {name}")) for name, member in named.items()]
        return ("kask:enum class", cls.__name__, values)
    return (
        "kask:class body",
        cls.__name__,
        [describe_part(base, f"{label}, base") for base in cls.__bases__],
        {name: describe_part(_bare(value), f"{label}, {name}") for name, value in members.items()},
    )


def _bare(member: Any) -> Any:
    if isinstance(member, staticmethod | classmethod):
        return ("kask:" + type(member).__name__, member.__func__)
    if isinstance(member, property):
        return ("kask:property", member.fget, member.fset, member.fdel)
    return member


def describe_dataclass(value: Any) -> Any:
    """Its class, its fields, and what else was put on it."""
    from kask.tokens import describe_part

    names = [field.name for field in dataclasses.fields(value)]
    fields = {name: describe_part(getattr(value, name), f".{name}") for name in names if hasattr(value, name)}
    extra = {
        name: describe_part(item, f".{name}")
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in fields
    }
    return ("kask:dataclass", describe_part(type(value), "its class"), fields, extra)


def is_plain_dataclass(kind: type) -> bool:
    """Whether the fields of its instances say all."""
    return dataclasses.is_dataclass(kind) and not any(
        hook in vars(base) for base in kind.__mro__[:-1] for hook in ("__reduce__", "__reduce_ex__")
    )


def register(registry: Any) -> None:
    """Teach ``kask.tokens`` these types."""
    add = registry.register
    add(types.FunctionType, describe_function)
    add(types.BuiltinFunctionType, _describe_builtin)
    add(types.MethodType, lambda m: ("kask:method", m.__func__, m.__self__))
    add((types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType), _describe_slot)
    add((types.GetSetDescriptorType, types.MemberDescriptorType), _describe_slot)
    add(types.MethodWrapperType, lambda m: ("kask:method", m.__name__, m.__self__))
    add(types.ModuleType, lambda m: ("kask:module", m.__name__))
    add(types.MappingProxyType, dict)
    add(type, _describe_class)
    add(functools.partial, lambda p: ("kask:partial", type(p), p.func, p.args, p.keywords))
    add(types.CodeType, lambda code: ("kask:code", _describe_code(code)[0]))
    add(types.CellType, lambda cell: ("kask:cell", _contents(cell)))
    add(staticmethod, _bare)
    add(classmethod, _bare)
    add(property, _bare)
    add(enum.Enum, lambda e: ("kask:enum", type(e), e.name))
    add(enum.Flag, lambda e: ("kask:enum", type(e), e.value))
    add(pathlib.PurePath, lambda p: ("kask:path", type(p).__name__, os.fspath(p)))
    add(range, lambda r: ("kask:range", r.start, r.stop, r.step))
    add(slice, lambda s: ("kask:slice", s.start, s.stop, s.step))
    add(bytearray, lambda b: ("kask:bytearray", bytes(b)))
    add(memoryview, lambda m: ("kask:memoryview", m.format, m.shape, m.tobytes()))
    add(type(Ellipsis), lambda _: ("kask:ellipsis",))
    add(type(NotImplemented), lambda _: ("kask:notimplemented",))
