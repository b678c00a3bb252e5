"""Which models there are, and that a name from a visitor can do no harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import open_clip
import pytest

from classifiers.errors import ModelError
from classifiers.loaded_models import LoadedModels
from classifiers.models import memory
from classifiers.models.catalog import BUILTIN, PREFERRED, curated_models, find_model
from classifiers.models.memory import check_memory

ROOT = Path(__file__).resolve().parents[2]
CURATED = [card for card in curated_models() if card.name != BUILTIN]


@pytest.mark.parametrize("card", CURATED, ids=lambda card: card.name)
def test_a_curated_model_is_what_open_clip_knows_under_its_name(card) -> None:
    architecture, tag = card.name.split("/")
    settings = open_clip.get_pretrained_cfg(architecture, tag)
    assert find_model(card.name).repository == settings["hf_hub"].rstrip("/")
    assert card.embed_dim == open_clip.get_model_config(architecture)["embed_dim"]
    assert card.summary and card.licence and card.languages and card.parameters
    assert card.download_mb == pytest.approx(card.parameters * 4 / 1e6, rel=0.02)


def test_the_menu_has_the_classic_a_sigmoid_model_a_small_one_and_a_multilingual_one() -> None:
    names = {card.name for card in CURATED}
    assert {PREFERRED, "RN50/openai", "ViT-L-14-336/openai", "MobileCLIP2-S0/dfndr2b"} <= names
    assert any("SigLIP2" in name for name in names)
    assert any(card.languages == "many" for card in CURATED)
    assert 10 <= len(CURATED) <= 15


def test_any_other_name_of_open_clip_is_found() -> None:
    assert (
        find_model("ViT-H-14/laion2b_s32b_b79k").repository
        == "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    )
    assert find_model("hf-hub:org/repo").repository == "org/repo"


@pytest.mark.parametrize(
    "name",
    [
        "", "   ", "x", "/", "//", "a/", "/b", "ViT-B-32/no-such-tag", "no-such/openai",
        "hf-hub:", "hf-hub:a", "hf-hub:a/b/c", "hf-hub:../..", "hf-hub:../../etc",
        "hf-hub:a b/c", "hf-hub:a/..", "hf-hub:https://evil/x", "local-dir:", "local-dir:/etc",
        "local-dir:../../../etc", "local-dir:/proc/self", "local-dir:" + "x" * 400,
        "local-dir:/" + "y" * 5000, "local-dir:\0", "a\nb/c", "<script>alert(1)</script>",
        None, 7, ["builtin"], {"a": 1},
    ],
    ids=repr,
)  # fmt: skip
def test_a_bad_name_is_a_sentence(name, tiny_model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(name)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "\0" not in sentence
    models = LoadedModels(tmp_path / "heads", tiny_model, prepare_label_lists=False)
    if isinstance(name, str) and name.strip():
        assert models.status(name).state == "failed"
        assert models.card(name).title == name


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


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP_DIR", tmp_path)
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("900000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    check_memory("small", 70_000_000)
    with pytest.raises(ModelError, match=r"0\.2 GB"):
        check_memory("large", 90_000_000)
    check_memory("large", 90_000_000, freed_bytes=100_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    check_memory("large", 90_000_000)


def test_the_table_is_known_without_torch_and_transformers() -> None:
    code = (
        "import sys; from classifiers.models.catalog import *; curated_models(); "
        f"find_model({PREFERRED!r}); "
        "print([m for m in ('torch', 'open_clip', 'transformers', 'huggingface_hub') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
