"""Models are loaded in the background, once, and the page does not wait for torch."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from classifiers import loaded_models
from classifiers.errors import ModelError
from classifiers.loaded_models import LoadedModels
from classifiers.models import memory
from classifiers.models.catalog import PREFERRED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def models(tiny_model: str, tmp_path: Path) -> LoadedModels:
    return LoadedModels(tmp_path / "heads", default=tiny_model, prepare_label_lists=False)


def test_a_model_is_loaded_once_for_all_who_ask(models: LoadedModels, tiny_model: str) -> None:
    assert not models.is_loaded()
    first, second = models.preload(), models.preload(tiny_model)
    assert first is second
    library = models.library()
    assert models.library(tiny_model) is library and first.result() is library
    assert models.is_loaded() and models.is_loaded(tiny_model)
    assert library.encoder.model_name == tiny_model


def test_asking_for_a_model_returns_at_once_and_its_failure_is_told_to_who_waits(
    models: LoadedModels,
) -> None:
    future = models.preload("local-dir:/no/such/folder")
    with pytest.raises(ModelError, match=r"open_clip_config\.json"):
        future.result(60)
    with pytest.raises(ModelError, match="no/such/folder"):
        models.library("local-dir:/no/such/folder")
    assert not models.is_loaded("local-dir:/no/such/folder")


def test_a_model_that_failed_can_be_tried_again(tiny_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    models = LoadedModels(
        tmp_path / "heads", default=f"local-dir:{folder}", prepare_label_lists=False
    )
    with pytest.raises(ModelError):
        models.library()
    folder.symlink_to(tiny_model.removeprefix("local-dir:"))
    assert models.library().encoder.embed_dim == 48
    assert models.is_loaded()


def test_one_model_s_failure_leaves_the_other_at_work(models: LoadedModels) -> None:
    with pytest.raises(ModelError):
        models.library("no such name")
    assert models.library().create("x", ["a {}"], ["cat"]).classes == ("cat",)


def test_names_that_visitors_make_up_are_not_remembered_for_ever(
    models: LoadedModels, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_models, "MAX_FAILURES", 5)
    models.library()
    going_on = hold_up_loading(models, monkeypatch)
    slow = models.preload(f"{tiny_model}/.")
    for nth in range(40):
        made_up = f"made up {nth}"
        with pytest.raises(ModelError):
            models.preload(made_up).result(60)
        assert models.status(made_up).state == "failed"
    # The last thread may not have come to forget the oldest yet; the next one who asks will.
    models.preload()
    kept = {f"made up {nth}" for nth in range(35, 40)}
    assert set(models._futures) == set(models._statuses) == {tiny_model, f"{tiny_model}/.", *kept}
    assert models.is_loaded() and models.status(f"{tiny_model}/.").state == "loading"
    assert models.status("made up 0").state == "failed", "said again when it is asked for"
    going_on.set()
    assert slow.result(60).encoder.embed_dim == 48


def hold_up_loading(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Reading a model into memory waits for the event that this returns."""
    going_on, read = threading.Event(), LoadedModels._read

    def held_up(self: LoadedModels, *arguments: Any) -> Any:
        assert going_on.wait(60)
        return read(self, *arguments)

    monkeypatch.setattr(LoadedModels, "_read", held_up)
    return going_on


def test_a_default_s_failure_is_remembered_however_many_fail_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_models, "MAX_FAILURES", 2)
    default = "local-dir:/no/such/default"
    models = LoadedModels(tmp_path / "heads", default=default, prepare_label_lists=False)
    for name in (default, *"abcdef"):
        with pytest.raises(ModelError):
            models.preload(name).result(60)
    assert default in models._futures and default in models._statuses


@pytest.mark.parametrize(
    "name",
    ["x" * 501, "x" * 1_000_000, "a\0b", "\ud800/openai"],
    ids=["long", "huge", "nul", "half"],
)
def test_a_name_that_no_model_can_have_is_refused_and_not_remembered(
    name: str, models: LoadedModels
) -> None:
    for ask in (models.preload, models.library):
        with pytest.raises(ModelError, match="is no model name"):
            ask(name)
    assert not models._futures and not models._statuses


def test_the_same_folder_under_many_names_leaves_nothing_behind(
    models: LoadedModels, tiny_model: str
) -> None:
    for nth in range(4):
        models.library(tiny_model + "/." * nth)
    gc.collect()
    assert len(models._futures) == len(models._statuses) == len(models._weight_bytes) == 2


def test_label_sets_are_prepared_in_the_background(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifiers.heads.library import HeadLibrary

    prepared = threading.Event()
    monkeypatch.setattr(HeadLibrary, "build_label_lists", lambda self: prepared.set())
    LoadedModels(tmp_path / "heads", default=tiny_model).preload()
    assert prepared.wait(60), "the first visitor would wait for the label sets"


def test_typed_names_are_refused_where_only_curated_ones_are_allowed(
    tiny_model: str, tmp_path: Path
) -> None:
    models = LoadedModels(
        tmp_path / "heads", tiny_model, any_model=False, offline=True, prepare_label_lists=False
    )
    for name in ("hf-hub:org/repo", "ViT-H-14/laion2b_s32b_b79k", "local-dir:/etc"):
        for ask in (models.preload, models.library):
            with pytest.raises(ModelError, match="choose a model of the menu"):
                ask(name)
    assert models.may_choose(PREFERRED) and models.may_choose(tiny_model)
    assert models.library() is models.library(tiny_model)


@pytest.fixture
def three(tiny_model: str, tmp_path: Path) -> list[str]:
    """Three names of the tiny model."""
    folder = Path(tiny_model.removeprefix("local-dir:"))
    for name in ("a", "b", "c"):
        (tmp_path / name).symlink_to(folder)
    return [f"local-dir:{tmp_path / name}" for name in ("a", "b", "c")]


def test_the_least_recently_used_model_goes_first(three: list[str], tmp_path: Path) -> None:
    a, b, c = three
    models = LoadedModels(tmp_path / "heads", a, max_models=2, prepare_label_lists=False)
    for name in (a, b, a, c):
        models.library(name)
    assert [models.is_loaded(name) for name in three] == [True, False, True]
    assert models.status(b).state == "local"
    models.library(b)
    assert [models.is_loaded(name) for name in three] == [False, True, True]


def test_no_more_than_max_models_are_ever_loaded_at_once(three: list[str], tmp_path: Path) -> None:
    models = LoadedModels(tmp_path / "heads", three[0], max_models=1, prepare_label_lists=False)
    for future in [models.preload(name) for name in three]:
        future.result(60)
    assert sum(models.is_loaded(name) for name in three) == 1


def test_a_model_that_still_works_is_not_thrown_away(three: list[str], tmp_path: Path) -> None:
    a, b, _ = three
    models = LoadedModels(tmp_path / "heads", a, max_models=1, prepare_label_lists=False)
    working = models.library(a)
    models.library(b)
    assert not models.is_loaded(a)
    assert working.create("x", ["a {}"], ["cat"]).classes == ("cat",)
    assert models.library(a) is working, "loaded a second time beside the first"


def test_a_model_too_large_for_memory_is_refused_with_figures(
    three: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _ = three
    models = LoadedModels(tmp_path / "heads", a, prepare_label_lists=False)
    models.library(a)
    monkeypatch.setattr(memory, "_available_bytes", lambda: 50_000_000)
    with pytest.raises(ModelError, match=r"needs about 0\.1 GB of memory and 0\.1 GB are free"):
        models.preload(b).result(60)
    assert models.library(a).create("x", ["a {}"], ["cat"]).classes == ("cat",)
    monkeypatch.undo()
    models.preload(b).result(60)  # the button, after something was closed


@pytest.mark.parametrize(
    "module",
    [
        "classifiers",
        "classifiers.errors",
        "classifiers.export.export",
        "classifiers.heads.head",
        "classifiers.images",
        "classifiers.loaded_models",
        "classifiers.words.label_lists",
        "classifiers.words.prompts",
    ],
)
def test_the_page_can_be_served_before_torch_is_imported(module: str) -> None:
    slow = ("torch", "open_clip", "gradio")
    code = f"import sys, {module}; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]", "seconds until the page is there"


def test_the_public_names_are_all_there() -> None:
    import classifiers

    for name in classifiers.__all__:
        assert getattr(classifiers, name) is not None
    with pytest.raises(AttributeError, match="nosuch"):
        _ = classifiers.nosuch  # type: ignore[attr-defined]
