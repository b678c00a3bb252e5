"""Which models there are, and that a name from a visitor can do no harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import open_clip
import pytest

from classifiers.errors import ModelError
from classifiers.loaded_models import LoadedModels
from classifiers.models.catalog import BUILTIN, PREFERRED, curated_models, find_model

ROOT = Path(__file__).resolve().parents[3]
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
