"""The C++ example, built against LibTorch 1.13, answers as the page does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from classifiers.export.export import export_head
from classifiers.heads.head import Head

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "libtorch"
SAME = 1e-5  # promised: the page's own numbers


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("cmake") and shutil.which("g++")):
        pytest.skip("no cmake and g++ here (Debian: apt install cmake g++)")
    if not Path("/usr/include/torch/script.h").exists():
        pytest.skip("no LibTorch here (Debian: apt install libtorch-dev)")
    build = tmp_path_factory.mktemp("libtorch")
    for command in (["cmake", "-S", EXAMPLE, "-B", build], ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return build / "classify"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_c_plus_plus_program_prints_the_page_s_five(
    precision: str, classify: Path, make_head: Callable[..., Head], tmp_path: Path
) -> None:
    from classifiers.export.precision import rounded_head

    classes = ("Côte d'Ivoire", "Piña colada", "猫", *(f"class {i}" for i in range(27)))
    head = make_head(30, classes=classes)
    path = export_head(head, tmp_path / "head.pt", precision=precision)
    for row in np.random.default_rng(5).normal(size=(3, 16)).astype(np.float32):
        row.tofile(tmp_path / "picture.f32")
        done = subprocess.run(
            [classify, path, tmp_path / "picture.f32"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        printed = [line.split("\t") for line in done.stdout.splitlines()]
        (prediction,) = rounded_head(head, precision).predict(row[None])
        assert [name for _, name in printed] == [guess.class_name for guess in prediction]
        np.testing.assert_allclose(
            [float(p) for p, _ in printed], [g.probability for g in prediction], atol=SAME
        )


def test_the_program_says_in_a_line_what_is_wrong(classify: Path, tmp_path: Path) -> None:
    done = subprocess.run([classify, tmp_path / "gone.pt", "x"], capture_output=True, text=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
