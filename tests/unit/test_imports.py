"""Which way imports go, and what the page does without until it is served."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What each room of classifiers/ may import beside itself.  `base` is every module that lies in
# no room, but for the two that stand above all rooms.
BASE = "base"
MAY_IMPORT = {
    BASE: set(),
    "words": {BASE},
    "models": {BASE, "words"},
    "encoder": {BASE, "words", "models"},
    "heads": {BASE, "words", "models", "encoder"},
    "export": {BASE, "words", "models", "encoder", "heads"},
    "decoding": {BASE},
    "loaded_models": {BASE, "words", "models", "encoder", "heads"},
    "__init__": {BASE, "words", "models", "encoder", "heads", "export"},
}
ABOVE_ALL_ROOMS = {"loaded_models", "__init__"}

# The same for the top level.
OURS = {"classifiers", "server", "ui", "settings", "app", "training"}
MAY_IMPORT_AT_THE_TOP = {
    "classifiers": {"classifiers"},
    "server": {"classifiers", "server"},
    "ui": {"classifiers", "server", "ui"},
    "settings": {"server"},
    "app": {"classifiers", "server", "ui", "settings"},
    "training": {"classifiers", "training"},
}

TORCH = {"torch", "torchvision", "open_clip", "timm"}
ROOMS_OF_TORCH = {"encoder", "export"}
# Inside functions, for the few calls that need it.
LATE_TORCH = {"classifiers/models/catalog.py": {"open_clip"}}

GRADIO = {"gradio", "gradio_client"}
WEB = {"fastapi", "starlette", "uvicorn", "httpx"}


class Import(NamedTuple):
    """One name that a module imports: `classifiers.words.prompts`, or `torch.nn.Linear`."""

    name: str
    is_late: bool  # inside a function

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def below(self) -> tuple[str, ...]:
        return tuple(self.name.split(".")[1:])


def imports_of(path: Path) -> Iterator[Import]:
    yield from _imports_in(ast.parse(path.read_text(encoding="utf-8")), is_late=False)


def _imports_in(node: ast.AST, is_late: bool) -> Iterator[Import]:
    is_late = is_late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, is_late) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "relative imports hide where they lead"
        yield from (Import(f"{node.module}.{alias.name}", is_late) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(child, is_late)


def room_of(parts: tuple[str, ...]) -> str:
    """The row of the table for a module of classifiers/, named without `classifiers.`."""
    first = parts[0] if parts else "__init__"
    if first in MAY_IMPORT:
        return first
    is_module = (ROOT / "classifiers" / f"{first}.py").exists()
    return BASE if is_module else "__init__"  # `from classifiers import Head` asks the face


def files(*names: str) -> list[Path]:
    """The Python files of the top-level folders and modules of these names."""
    found = [path for name in names for path in (ROOT / name).rglob("*.py")]
    return sorted(found + [ROOT / f"{name}.py" for name in names if not (ROOT / name).is_dir()])


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


LIBRARY = pytest.mark.parametrize("path", files("classifiers"), ids=short)
PRODUCT = pytest.mark.parametrize("path", files(*sorted(OURS)), ids=short)


@LIBRARY
def test_imports_between_rooms_go_down(path: Path) -> None:
    parts = path.relative_to(ROOT / "classifiers").with_suffix("").parts
    room = room_of(parts)
    allowed = MAY_IMPORT[room] | ({room} - ABOVE_ALL_ROOMS)
    upwards = {
        imported.name
        for imported in imports_of(path)
        if imported.top == "classifiers" and room_of(imported.below) not in allowed
    }
    assert not upwards, f"{room} must not know of {', '.join(sorted(upwards))}"


@PRODUCT
def test_imports_of_the_product_go_down(path: Path) -> None:
    top = path.relative_to(ROOT).with_suffix("").parts[0]
    upwards = {each.top for each in imports_of(path)} & OURS - MAY_IMPORT_AT_THE_TOP[top]
    assert not upwards, f"{top} must not know of {', '.join(sorted(upwards))}"


@pytest.mark.parametrize("path", files("classifiers", "server", "ui", "settings", "app"), ids=short)
def test_torch_stays_in_its_rooms(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "classifiers" and parts[1] in ROOMS_OF_TORCH:
        return
    late = LATE_TORCH.get(short(path), set())
    found = {
        each.name
        for each in imports_of(path)
        if each.top in TORCH and not (each.is_late and each.top in late)
    }
    assert not found, "only encoder/ and export/ may import it"


@pytest.mark.parametrize("path", files("classifiers", "server", "settings", "training"), ids=short)
def test_gradio_stays_in_the_page_and_the_program(path: Path) -> None:
    found = {each.top for each in imports_of(path)} & GRADIO
    assert not found, "only ui/ and app.py may import it"


@LIBRARY
def test_nothing_under_classifiers_knows_of_the_web(path: Path) -> None:
    found = {each.top for each in imports_of(path)} & WEB
    assert not found, "only server/ and ui/ may import it"


def test_every_room_is_in_the_table_and_every_folder_of_unit_tests_is_a_room() -> None:
    rooms = {path.parent.name for path in (ROOT / "classifiers").glob("*/__init__.py")}
    assert rooms | {BASE} | ABOVE_ALL_ROOMS == set(MAY_IMPORT)
    folders = {path.parent.name for path in (ROOT / "tests" / "unit").glob("*/test_*.py")}
    assert folders <= rooms | OURS, "a test lies where nobody looks for it"


def test_the_page_is_built_without_torch() -> None:
    code = (
        "import sys, server.app, ui.page, ui.theme\n"
        "print(*{'torch', 'torchvision', 'open_clip', 'timm', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "", "the page would wait for these imports"


def test_the_server_is_built_without_gradio() -> None:
    code = "import sys, server.app; print('gradio' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
