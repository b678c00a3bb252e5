"""“Open a head”, as a visitor of the page and as a client meets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from classifiers import Encoder, Head, build_zero_shot_head, export_head
from classifiers.loaded_models import LoadedModels
from ui.create_section import rename
from ui.import_head import open_file
from ui.model_switch import take_up
from ui.state import OwnClassifier

Uploaded = Callable[[Head, str], str]


@pytest.fixture(scope="module")
def trained(encoder: Encoder) -> Head:
    """As a probe that was trained elsewhere: no words make its weights."""
    head = build_zero_shot_head(encoder, ("healthy", "pneumonia"), ("a {}",), name="Pneumonia")
    return replace(head, kind="prototype", templates=())


@pytest.fixture
def models(tiny_model: str, tmp_path: Path) -> LoadedModels:
    return LoadedModels(tmp_path / "heads", tiny_model, prepare_label_lists=False)


@pytest.fixture
def uploaded(uploads: Path) -> Uploaded:
    """The head, exported in that format and uploaded."""
    return lambda head, suffix: str(export_head(head, uploads / f"head.{suffix}"))


@pytest.fixture
def warnings_shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: shown.append(text))
    return shown


def test_an_opened_head_answers_over_http_by_its_id(
    client: Client,
    classify: Callable[..., dict[str, float]],
    trained: Head,
    encoder: Encoder,
    photo: Path,
    tmp_path: Path,
) -> None:
    path = export_head(trained, tmp_path / "pneumonia.safetensors")
    made, summary = client.predict(handle_file(str(path)), api_name="/import")
    assert "Pneumonia: 2 classes" in summary
    assert set(classify(photo, made)) == {"healthy", "pneumonia"}


def test_a_torchscript_upload_is_refused_over_http_with_the_reason(
    client: Client,
    sentence_of: Callable[[Callable[[], object]], str],
    trained: Head,
    tmp_path: Path,
) -> None:
    path = handle_file(str(export_head(trained, tmp_path / "head.pt")))
    assert "runs the code" in sentence_of(lambda: client.predict(path, api_name="/import"))
    assert "Send a" in sentence_of(lambda: client.predict(None, api_name="/import"))


def test_an_opened_head_is_chosen_and_survives_a_reload(
    models: LoadedModels, trained: Head, uploaded: Uploaded
) -> None:
    own, menu = open_file(models, uploaded(trained, "safetensors"), [])
    assert menu["value"] == own[0]["id"]
    assert ("Pneumonia (opened, 2)", own[0]["id"]) in menu["choices"]
    kept, menu, _ = take_up(models, None, own, own[0]["id"], None)
    assert kept == own and menu["value"] == own[0]["id"]


def test_an_opened_head_keeps_its_nature_under_a_new_name(
    models: LoadedModels, trained: Head, uploaded: Uploaded
) -> None:
    own, _ = open_file(models, uploaded(trained, "safetensors"), [])
    own, *_ = rename(own, own[0]["id"], "Lungs", "nouns")
    (kept,) = OwnClassifier.list_from(own)
    assert kept.opened and kept.name == "Lungs"


def test_an_opened_head_that_is_gone_is_said_to_be_and_not_made_of_its_words(
    models: LoadedModels,
    trained: Head,
    uploaded: Uploaded,
    tmp_path: Path,
    tiny_model: str,
    warnings_shown: list[str],
) -> None:
    own, _ = open_file(models, uploaded(trained, "safetensors"), [])
    emptied = LoadedModels(tmp_path / "emptied", tiny_model, prepare_label_lists=False)
    kept, _, _ = take_up(emptied, None, own, own[0]["id"], None)
    assert kept == own, "it stays in the menu, to be opened again"
    (sentence,) = warnings_shown
    assert "Pneumonia" in sentence and "open the file again" in sentence


def test_what_is_wrong_with_a_file_is_shown_and_nothing_changes(
    models: LoadedModels, trained: Head, uploaded: Uploaded, warnings_shown: list[str]
) -> None:
    answer = open_file(models, uploaded(trained, "pt"), [])
    assert answer == (gr.skip(), gr.skip())
    assert "runs the code" in warnings_shown[0]


def test_an_opened_head_counts_as_a_new_one_and_once(
    models: LoadedModels, trained: Head, encoder: Encoder, uploads: Path
) -> None:
    """Else whoever may make no more classifiers would open files with their words."""
    counted: list[tuple[int, int]] = []

    def opened(head: Head) -> None:
        path = export_head(head, uploads / "opened.safetensors")
        open_file(models, str(path), [], None, lambda *numbers: counted.append(numbers))

    opened(trained)
    opened(trained)
    assert counted == [(2, 2)]
    forged = build_zero_shot_head(encoder, ("a", "b", "c"), ("a {}", "the {}"), name="Forged")
    opened(replace(forged, weights=forged.weights[::-1].copy()))
    assert (3, 6) in counted, "the head of its words was built and not counted"
