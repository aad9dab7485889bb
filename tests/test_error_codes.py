"""docs/errors.md and the source name the same error codes, with the same classes."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fleet_api.errors import CLASSES

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agent/fleet_agent", "controller/fleet_controller", "cli/fleet_cli", "proto/fleet_api")
CODE = re.compile(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)*")
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| ([A-Za-z, -]+) \| .+ \|$", re.MULTILINE)
OTHER_CARRIERS = {"Verdict": "outcome", "_Plain": "", "raise_if_any": "BadRequest", "FleetError": ""}
"""Calls besides the constructors of errors that are given a code; the class where it is known."""
NAMED_BY = {
    "proto/fleet_api/unreachable.py": "Unavailable",
    "proto/fleet_api/door.py": "",
    "controller/fleet_controller/core/burden.py": "Broken",
}
"""Modules that give their codes names, and the class that most of these have."""


@cache
def codes_in_source() -> dict[str, set[str]]:
    """Each code that the source uses, with its classes."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "_pb2" not in path.name:
                module = str(path.relative_to(ROOT))
                for code, cls in codes_of(ast.parse(path.read_text(encoding="utf-8")), module):
                    found[code].add(cls)
    return {code: {cls for cls in classes if cls} or {"-"} for code, classes in found.items()}


def codes_of(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """The codes of one module and the class each is raised with, "" when only the program knows."""
    names: dict[str, str] = {}
    if module in NAMED_BY:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                value = node.value.value
                if isinstance(value, str) and CODE.fullmatch(value) and isinstance(node.targets[0], ast.Name):
                    names[node.targets[0].id] = value
                    yield value, NAMED_BY[module]
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        callee = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if callee == "ErrorRow":
            code_of = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            yield from ((code, "") for code in constants(code_of, names))
        if callee not in CLASSES and callee not in OTHER_CARRIERS:
            continue
        cls = callee if callee in CLASSES else OTHER_CARRIERS[callee]
        if callee == "_Plain" and isinstance(call.args[0], ast.Name):
            cls = call.args[0].id
        for code in constants(call.args[:3] if callee in {"_Plain", "Verdict"} else call.args[:1], names):
            yield code, cls


def constants(arguments: list[ast.expr], names: dict[str, str]) -> Iterator[str]:
    for argument in arguments:
        for node in [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                yield node.value
            elif isinstance(node, ast.Name) and node.id in names:
                yield names[node.id]


def documented() -> dict[str, set[str]]:
    rows = ROW.findall((ROOT / "docs" / "errors.md").read_text(encoding="utf-8"))
    assert len({code for code, _ in rows}) == len(rows), "a code has two rows"
    return {code: set(classes.split(", ")) for code, classes in rows}


def test_the_source_is_read() -> None:
    found = codes_in_source()
    assert found["BAD_HOST_EXPRESSION"] == {"BadRequest"}
    assert found["CONNECTION_REFUSED"] == {"Unavailable"}
    assert found["SPAWN_ERROR"] == {"outcome"}
    assert len(found) > 100


def test_every_code_of_the_source_is_documented_and_no_other() -> None:
    used, told = set(codes_in_source()), set(documented())
    assert sorted(used - told) == [], "add a row to docs/errors.md"
    assert sorted(told - used) == [], "nobody uses these any more"


def test_classes_are_told_as_they_are() -> None:
    used, told = codes_in_source(), documented()
    assert {code: (told[code], used[code]) for code in used.keys() & told if told[code] != used[code]} == {}
