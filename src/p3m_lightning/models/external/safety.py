"""Inspection of TorchScript and torch.export files before PyTorch reads them, since loading either can run code.

PyTorch itself warns of both. `torch.jit.load` runs `__setstate__`, and operators can open files;
`torch.export.load` unpickles, evaluates the expressions of sizes, and looks up functions by name. So an archive is
refused unless everything in it is of the kinds below. ONNX has no such risk: its graph only names operators.
"""

from __future__ import annotations

import ast
import io
import json
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from p3m_lightning.schema import InputError

SCRIPT_GLOBALS = re.compile(
    r"__torch__(\.\w+)+|torch\._utils _rebuild_tensor_v2|torch\.jit\._pickle (build_\w+list|restore_type_tag)"
    r"|torch \w+Storage|collections OrderedDict"
)
"""Allowed globals of `data.pkl`, as "module name": classes of the program itself, tensors, lists."""
SCRIPT_REFUSED = (
    (r"\b__setstate__\b", "runs code while it is loaded (__setstate__)"),
    (r"\bfrom_file\b", "opens files (from_file)"),
    (r"\btorch\.(save|load|jit)\b", "reads or writes files"),
    (r"\b__torch__\.torch\.classes\b", "uses compiled classes"),
    (r"\bops\.(?!aten\b|prim\b|prims\b|torchvision\b)\w+", "uses operators that are not PyTorch's"),
)
TARGETS = re.compile(r"torch\.ops\.(aten|prims)\.\w+(\.\w+)?|_operator\.(\w+)|math\.(\w+)|torch\.sym_\w+")
FILES = re.compile(r"from_file|save|load|open")
OPERATORS = {"getitem", "add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "pow", "and_", "or_", "not_"}
OPERATORS |= {"eq", "ne", "lt", "le", "gt", "ge", "trunc", "ceil", "floor", "sqrt"}
SYMPY = {"Symbol", "Integer", "Float", "Rational", "Mul", "Add", "Pow", "Max", "Min", "Mod", "PythonMod", "FloorDiv"}
SYMPY |= {"CleanDiv", "CeilDiv", "ModularIndexing", "IntTrueDiv", "FloatTrueDiv", "TruncToInt", "FloorToInt", "Abs"}
SYMPY |= {"CeilToInt", "RoundToInt", "ToFloat", "Identity", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not"}
SYMPY |= {"StrictLessThan", "StrictGreaterThan", "LessThan", "GreaterThan", "Equality", "Unequality"}
SPECS = {None, "builtins.list", "builtins.tuple", "builtins.dict", "collections.OrderedDict"}
NAME = re.compile(r"[\w.:\-/+ ]*")
FREE = {"metadata", "guards_code", "torch_version", "range_constraints"}
"""Keys of the graph whose texts are never evaluated: notes on its origin, and conditions (`check_guards`)."""


def verify_torchscript(path: Path) -> None:
    """Refuse a TorchScript archive that could do more than arithmetic when it is loaded or run.

    Raises:
        InputError: another kind of file, or an unsafe one.
    """
    archive = _archive(path, "constants.pkl", "a TorchScript program (torch.jit.save)")
    for name, content in archive.items():
        if name.endswith(".pkl") and not name.endswith("debug_pkl"):
            for named in _globals(content, path):
                if not SCRIPT_GLOBALS.fullmatch(named):
                    raise InputError(f"{path}: refused, because loading it could run code: it names {named}")
        if "/code/" in name and name.endswith(".py"):
            for pattern, why in SCRIPT_REFUSED:
                if re.search(pattern, content.decode(errors="replace")):
                    raise InputError(f"{path}: refused, because it {why}; export the network to ONNX")


def verify_exported(path: Path) -> None:
    """Refuse a torch.export archive that could do more than arithmetic when it is loaded or run.

    Raises:
        InputError: another kind of file, or an unsafe one.
    """
    archive = _archive(path, "archive_format", "an exported program (torch.export.save)")
    for name, content in archive.items():
        inner = name.partition("/")[2]
        if "aotinductor" in inner or inner.endswith((".so", ".cubin", ".cpp")):
            raise InputError(f"{path}: refused, because it holds compiled code ({inner})")
        if inner.endswith(".json"):
            _verify_graph(_json(content, path), path)
        elif content.startswith((b"PK", b"\x80")) and not _is_plain(content):
            raise InputError(f"{path}: refused, because loading it could run code: {inner} holds more than tensors")


def _archive(path: Path, mark: str, what: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise InputError(f"{path}: refused, because two of its parts have the same name")
            content = {name: archive.read(name) for name in names}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except Exception as error:  # a broken archive fails in many ways
        raise InputError(f"{path}: incomplete, or not {what} ({error})") from None
    if not any(name.partition("/")[2] == mark for name in names):
        raise InputError(f"{path}: not {what}; if it holds weights only, give model=NAME")
    return content


def _globals(content: bytes, path: Path) -> Iterator[str]:
    """Yield the functions and classes that a pickle names, as "module name"."""
    try:
        operations = list(pickletools.genops(content))
    except Exception as error:  # a broken pickle fails in many ways
        raise InputError(f"{path}: damaged ({error})") from None
    for operation, argument, _ in operations:
        if operation.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield f"{module}.{name}" if module.startswith("__torch__") else f"{module} {name}"
        elif operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):  # PyTorch's writer has none of these
            yield operation.name


def _is_plain(content: bytes) -> bool:
    """Return whether a pickle holds only tensors and plain containers."""
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # a faulty pickle is not loaded either
        return content[:2] not in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    return True


def _json(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: damaged (its graph is not JSON)") from None


def _verify_graph(node: Any, path: Path) -> None:
    for key, value in _strings(node):
        if not CHECKS.get(key, _is_name)(value):
            raise InputError(
                f"{path}: refused, because loading it could run code: {key} is {' '.join(value.split())[:60]!r}"
            )


def _strings(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of a graph with its key, including keys of mappings."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            if name not in FREE:
                yield "a name", name
                yield from _strings(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child, key)
    elif isinstance(node, str):
        yield key, node


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None


def _is_identifier(text: str) -> bool:
    return text == "" or text.isidentifier()


def _is_target(text: str) -> bool:
    match = TARGETS.fullmatch(text)
    if not match or FILES.search(text):
        return False
    function = match[3] or match[4]
    return function is None or function in OPERATORS


def _is_expression(text: str) -> bool:
    """Return whether a text is arithmetic over symbols, since sympy evaluates it as Python."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    allowed: tuple[type, ...] = (
        ast.Expression,
        ast.Call,
        ast.Name,
        ast.Constant,
        ast.keyword,
        ast.operator,
        ast.unaryop,
        ast.Load,
    )
    allowed += (ast.BinOp, ast.UnaryOp, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop)
    for node in ast.walk(tree):
        if not isinstance(node, allowed):
            return False
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in SYMPY):
            return False
        if isinstance(node, ast.Name) and not (node.id in SYMPY or re.fullmatch(r"[a-z]{1,2}\d+|True|False", node.id)):
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not re.fullmatch(r"\w+", node.value):
            return False
    return True


def _is_spec(text: str) -> bool:
    """Return whether nested inputs and outputs are plain containers, since others would be imported by name."""
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        return text == ""
    pending = spec[1:] if isinstance(spec, list) else [spec]
    while pending:
        node = pending.pop()
        if not isinstance(node, Mapping) or node.get("type") not in SPECS:
            return False
        pending += node.get("children_spec") or []
    return True


CHECKS: dict[str, Callable[[str], bool]] = {
    "target": _is_target,
    "expr_str": _is_expression,
    "in_spec": _is_spec,
    "out_spec": _is_spec,
    "forward_arg_names": _is_identifier,
}
