"""Android's own resource compiler takes the labels and reads them back as they were."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_export import ODD_CLASSES

from classifiers.export.export import labels_xml, resource_name
from classifiers.heads.head import Head


def compiled(xml: str, folder: Path) -> Path:
    """`xml` as aapt2 compiles it; fails with aapt2's words."""
    aapt2 = shutil.which("aapt2")
    if aapt2 is None:
        pytest.skip("no aapt2 here (Debian: apt install aapt)")
    values = folder / "res" / "values"
    values.mkdir(parents=True)
    (values / "labels.xml").write_text(xml, encoding="utf-8")
    done = subprocess.run(
        [aapt2, "compile", "-o", folder, values / "labels.xml"], capture_output=True, text=True
    )
    assert done.returncode == 0, f"Android would not build: {done.stderr}"
    (flat,) = folder.glob("*.flat")
    return flat


def test_aapt2_reads_every_class_name_back(make_head: Callable[..., Head], tmp_path: Path) -> None:
    head = make_head(len(ODD_CLASSES), classes=ODD_CLASSES)
    compiled_bytes = compiled(labels_xml(head), tmp_path).read_bytes()
    start = 0
    for name in ODD_CLASSES:
        position = compiled_bytes.find(name.encode(), start)
        assert position >= 0, f"{name!r} is not in its place in what Android compiled"
        start = position + len(name.encode())


def test_an_unescaped_apostrophe_would_be_lost(
    make_head: Callable[..., Head], tmp_path: Path
) -> None:
    """Shows that the test above can fail."""
    xml = labels_xml(make_head(1, classes=("Côte d'Ivoire",))).replace("\\'", "'")
    try:
        data = compiled(xml, tmp_path).read_bytes()
    except AssertionError:
        return
    assert "Côte d'Ivoire".encode() not in data


@pytest.mark.parametrize("name", ["new", "Switch", "3 little pigs", "true", "猫", "Cat breeds"])
def test_every_resource_name_is_a_java_name(
    name: str, make_head: Callable[..., Head], tmp_path: Path
) -> None:
    compiled(labels_xml(make_head(1, name=name)), tmp_path)
    assert re.fullmatch("[a-z][a-z0-9_]*", resource_name(name))
