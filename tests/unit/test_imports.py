"""Which way imports go, and what the page does without until it is served."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "classifiers").rglob("*.py")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_nothing_under_classifiers_knows_of_the_web(path: Path) -> None:
    assert not imported_by(path) & {"gradio", "fastapi", "starlette", "ui", "server", "app"}


@pytest.mark.parametrize("path", sorted((ROOT / "server").glob("*.py")), ids=lambda path: path.stem)
def test_the_server_knows_nothing_of_the_page(path: Path) -> None:
    assert not imported_by(path) & {"ui", "app", "settings"}


def test_the_page_is_built_without_torch() -> None:
    code = (
        "import sys, server.app, ui.page, ui.theme\n"
        "print(*{'torch', 'torchvision', 'open_clip', 'timm', 'transformers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "", "the page would wait for these imports"
