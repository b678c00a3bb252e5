"""The README's examples of asking over HTTP, run as they stand but for address and cost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser.running_app import ROOT, RunningApp

ADDRESS = "http://127.0.0.1:7860"


def examples() -> list[tuple[str, str]]:
    """Language and code of each example of the section."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Over HTTP\n")[2].partition("\n## ")[0]
    return re.findall(r"```(sh|python)\n(.*?)```", section, re.DOTALL)


def named(part: str) -> str:
    """The one example that holds `part`."""
    (code,) = [code for _, code in examples() if part in code]
    return code


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """A folder with the picture that the examples speak of."""
    shutil.copy(photo, tmp_path / "photo.jpg")
    return tmp_path


def run(command: list[str], code: str, app: RunningApp, folder: Path) -> str:
    assert ADDRESS in code
    # The nouns are 4,000 classes; any other set shows the same in less time.
    code = code.replace(ADDRESS, app.url).replace("nouns", "ages")
    done = subprocess.run([*command, code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_by_a_test() -> None:
    assert len(examples()) == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(app: RunningApp, folder: Path) -> None:
    output = run(["sh", "-ec"], named("curl"), app, folder)
    assert len(json.loads(output)["guesses"]) == 5
    for name in ("pets.pt", "cats.zip", "encoder.ptl"):
        assert (folder / name).read_bytes()[:2] == b"PK", f"{name} is no file of the kind"


def test_httpx(app: RunningApp, folder: Path) -> None:
    output = run([sys.executable, "-c"], named("import httpx"), app, folder)
    assert "Washington, D.C." in output


def test_gradio_client(app: RunningApp, folder: Path) -> None:
    checks = "\nassert opened == classifier and len(sets) > 5 and answer['label']"
    run([sys.executable, "-c"], named("gradio_client") + checks, app, folder)


def test_mcp(app: RunningApp, folder: Path) -> None:
    assert "confidence" in run([sys.executable, "-c"], named("ClientSession"), app, folder)
