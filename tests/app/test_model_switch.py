"""The handlers around a change of model, with what a hostile or unlucky browser sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from classifiers.loaded_models import LoadedModels
from classifiers.models.catalog import PREFERRED, ModelCard
from ui import model_menu, model_switch
from ui.create_section import EXAMPLES, language_notes
from ui.state import OwnClassifier, PictureInHand

OWN = [{"id": "0" * 32, "name": "Mine", "templates": ["a {}"], "classes": ["cat", "dog"]}]


@pytest.fixture
def models(tiny_model: str, tmp_path: Path) -> LoadedModels:
    return LoadedModels(tmp_path / "heads", tiny_model, offline=True, prepare_label_lists=False)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for module in (model_menu, model_switch):
        monkeypatch.setattr(module, "tell", lambda error: sentences.append(str(error)))
    return sentences


@pytest.mark.parametrize("name", ["hf-hub:../../etc", "local-dir:/etc", "x", PREFERRED])
def test_a_remembered_model_that_cannot_be_had_leaves_the_default_one_answering(
    models: LoadedModels, lion: str, told: list[str], name: str
) -> None:
    own, menu, now = model_switch.take_up(models, name, OWN, OWN[0]["id"], lion)
    assert now.model is None and now.embedding is not None and now.path == lion
    assert menu["value"] == own[0]["id"] != OWN[0]["id"], "rebuilt and still chosen"
    assert len(told) == 1 and told[0].endswith(".")


def test_fifty_classifiers_cost_a_switch_nothing_until_one_is_chosen(
    models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        OwnClassifier(str(n), f"No {n}", ("a {}",), (f"thing {n}", "other")).to_browser()
        for n in range(50)
    ]
    library = models.library()
    with monkeypatch.context() as patch:
        patch.setattr(library, "create", lambda *_: pytest.fail("it was built"))
        kept, menu, _ = model_switch.take_up(models, None, own, "7", None)
    assert len(kept) == 50 and menu["value"] == kept[7]["id"]
    assert library.find(kept[7]["id"]).classes == ("thing 7", "other")


def test_a_switch_that_fails_changes_nothing(models: LoadedModels, told: list[str]) -> None:
    in_hand = PictureInHand(model=None)
    outputs = model_switch.switch(models, PREFERRED, OWN, {"chosen": "nouns"}, "nouns", in_hand)
    assert all("value" not in update for update in outputs[:5])
    assert len(told) == 1


def test_a_picture_that_was_tidied_away_is_put_down(models: LoadedModels) -> None:
    *_, now = model_switch.take_up(models, None, [], "nouns", "/no/longer/there.png")
    assert now.path is None and now.embedding is None


@pytest.mark.parametrize("sent", [None, "", "  ", 7, ["builtin"], {"a": 1}])
def test_what_is_no_name_asks_for_nothing(models: LoadedModels, sent: Any) -> None:
    assert all(
        "value" not in update for update in model_menu.ask_for(models, sent, PictureInHand())
    )
    assert model_menu.describe(models, sent) == ""
    model_menu.compare(models, sent, PictureInHand(), "nouns", None)
    assert models._futures == {}


def test_comparing_never_begins_a_download(models: LoadedModels, lion: str) -> None:
    models.offline = False
    shown, button = model_menu.compare(models, PREFERRED, PictureInHand(lion), "nouns", None)
    assert "not on this machine yet (about 605 MB)" in shown["value"] and button["visible"]
    assert models._futures == {}


def test_the_download_that_the_start_began_is_shown(
    models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_menu.watch_background(models)[0] == ""
    with pytest.raises(Exception, match="offline"):
        models.preload(PREFERRED).result(60)
    assert model_menu.watch_background(models)[0] == PREFERRED
    status, switch, retry, *_ = model_menu.poll(models, PREFERRED, PictureInHand())
    assert "goes on answering" in status and retry["visible"] and not switch["visible"]


def test_other_scripts_are_remarked_on_under_an_english_model_only() -> None:
    english, many = ModelCard("a", "A", languages="English"), ModelCard("b", "B", languages="many")
    for words in (["фото: кошка"], ["猫"]):
        assert "multilingual" in language_notes(words, english)[0]
        assert language_notes(words, many) == []
    assert language_notes(["café, Ærø, naïve 7"], english) == []


def test_the_translator_trick_is_one_of_the_ideas() -> None:
    assert "This is {} in Russian" in [template for _, template, _ in EXAMPLES]
