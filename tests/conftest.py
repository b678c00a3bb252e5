"""Shared by all tests: a tiny model of random weights, and a real photograph."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

# The quick ones first; and the browser's last, since Playwright leaves an event loop running
# in its thread, in which no other test could start one.
ORDER = ("unit", "model", "app", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    items.sort(key=lambda item: ORDER.index(item.path.relative_to(root).parts[0]))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name under which `load_encoder` finds a tiny CLIP of random weights."""
    from tiny_model import make_tiny_model  # imports torch, which not every test wants

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def encoder(tiny_model: str):
    from classifiers.encoder.load import load_encoder

    return load_encoder(tiny_model)


@pytest.fixture(scope="session")
def photo() -> Path:
    """A photograph of a lion, from Gradio's wheel; found without importing Gradio."""
    spec = importlib.util.find_spec("gradio")
    assert spec is not None and spec.origin is not None, "gradio is not installed"
    return Path(spec.origin).parent / "media_assets" / "images" / "lion.jpg"
