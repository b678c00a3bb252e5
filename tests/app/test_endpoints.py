"""The endpoints of a running app, as `gradio_client` and plain HTTP see them."""

from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
from browser.running_app import RunningApp
from gradio_client import Client, handle_file
from PIL import Image
from torch.jit.mobile import _load_for_lite_interpreter

from classifiers import Encoder, open_picture
from classifiers.words.label_lists import label_list_ids, load_label_list

Classify = Callable[..., dict[str, float]]
SentenceOf = Callable[[Callable[[], object]], str]


def create(client: Client, classes: str, template: str = "a photo of a {}", name: str = "") -> str:
    return client.predict(name, template, classes, api_name="/create_classifier")[0]


def export(client: Client, classifier: str, suffix: str) -> Path:
    return Path(client.predict(classifier, suffix, api_name="/export_classifier"))


def test_only_the_endpoints_of_the_contract_have_names(client: Client) -> None:
    described = client.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {
        "/classify",
        "/create_classifier",
        "/export_classifier",
        "/import",
        "/list_classifiers",
    }
    assert not described["unnamed_endpoints"]


def test_arguments_have_the_names_of_the_contract(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    names = {
        endpoint: [parameter["parameter_name"] for parameter in form["parameters"]]
        for endpoint, form in endpoints.items()
    }
    assert names == {
        "/classify": ["image", "classifier"],
        "/create_classifier": ["name", "template", "classes"],
        "/export_classifier": ["classifier", "format"],
        "/import": ["file"],
        "/list_classifiers": [],
    }


def test_list_classifiers_gives_every_label_set(client: Client) -> None:
    listed = client.predict(api_name="/list_classifiers")
    assert [entry["id"] for entry in listed] == list(label_list_ids())
    for entry in listed:
        labels = load_label_list(entry["id"])
        assert entry == {
            "id": labels.id,
            "name": labels.name,
            "description": labels.description,
            "n_classes": len(labels.classes),
            "templates": list(labels.templates),
        }


@pytest.mark.parametrize("classifier", label_list_ids())
def test_a_label_set_answers_with_its_five_likeliest_classes(
    classify: Classify, photo: Path, classifier: str
) -> None:
    answer = classify(photo, classifier)
    assert len(answer) == 5
    assert set(answer) <= set(load_label_list(classifier).classes)
    assert list(answer.values()) == sorted(answer.values(), reverse=True)
    assert 0 < sum(answer.values()) <= 1 + 1e-6


def test_a_created_classifier_answers_by_its_id(
    client: Client, classify: Classify, photo: Path
) -> None:
    answer = classify(photo, create(client, "cat, dog\ngoldfish"))
    assert set(answer) == {"cat", "dog", "goldfish"}
    assert sum(answer.values()) == pytest.approx(1, abs=1e-6)


def test_the_summary_of_a_new_classifier_tells_what_it_is(client: Client) -> None:
    _, summary = client.predict("Pets", "a {}", "cat, Cat, dog", api_name="/create_classifier")
    assert "Pets" in summary and "2 classes" in summary and "1 repeated left out" in summary


def test_the_same_words_are_the_same_classifier_and_other_words_another(client: Client) -> None:
    first = create(client, "cat, dog", name="Pets")
    assert create(client, "cat\ndog", name="Animals at home") == first
    assert create(client, "dog\ncat") != first
    assert create(client, "cat\ndog", template="a drawing of a {}") != first


def test_an_id_cannot_be_guessed_or_listed(
    client: Client, photo: Path, classify: Classify, sentence_of: SentenceOf
) -> None:
    made = create(client, "a secret class, another one")
    assert len(made) == 32 and int(made, 16) >= 0
    assert made not in json.dumps(client.predict(api_name="/list_classifiers"))
    near = made[:-1] + ("0" if made[-1] != "0" else "1")
    assert "no classifier" in sentence_of(lambda: classify(photo, near))


@pytest.mark.parametrize("suffix", ["pt", "ptl"])
@pytest.mark.parametrize("which", ["created", "cat_breeds", "nouns"])
def test_an_exported_file_gives_the_numbers_of_the_page(
    client: Client, classify: Classify, photo: Path, encoder: Encoder, suffix: str, which: str
) -> None:
    classifier = which
    if which == "created":
        classifier = create(client, "cat, dog, lion, piña colada, Côte d'Ivoire, spider")
    path = export(client, classifier, suffix)
    assert path.suffix == f".{suffix}"
    module = (_load_for_lite_interpreter if suffix == "ptl" else torch.jit.load)(str(path))
    labels = _extra_file(path, "labels.txt").splitlines()

    embedding = encoder.encode_images([open_picture(photo, for_size=encoder.image_size)])
    probabilities, indices = module(torch.from_numpy(embedding))
    exported = {
        labels[index]: probability
        for index, probability in zip(indices[0].tolist(), probabilities[0].tolist(), strict=True)
    }
    # Float32 arithmetic against the page's float64 softmax: the contract's tolerance.
    assert exported == pytest.approx(classify(photo, classifier), abs=1e-5)
    assert json.loads(_extra_file(path, "manifest.json"))["n_classes"] == len(labels)


def _extra_file(module: Path, name: str) -> str:
    """What travels inside a TorchScript file, which is a zip archive."""
    with zipfile.ZipFile(module) as archive:
        (member,) = (m for m in archive.namelist() if m.endswith(f"extra/{name}"))
        return archive.read(member).decode("utf-8")


def test_every_other_format_is_written(client: Client) -> None:
    made = create(client, "cat, Côte d'Ivoire, Q&A", name="Odd names")
    assert export(client, made, "txt").read_text(encoding="utf-8").splitlines() == [
        "cat",
        "Côte d'Ivoire",
        "Q&A",
    ]
    assert json.loads(export(client, made, "json").read_text(encoding="utf-8"))["id"] == made
    items = ElementTree.parse(export(client, made, "xml")).getroot().iter("item")
    assert [item.text for item in items] == ["cat", "Côte d\\'Ivoire", "Q&A"]
    assert export(client, made, "safetensors").stat().st_size > 0
    with zipfile.ZipFile(export(client, made, "zip")) as archive:
        suffixes = {Path(name).suffix for name in archive.namelist()}
        assert suffixes >= {".pt", ".ptl", ".safetensors", ".xml", ".txt", ".json", ".md"}


def test_a_turned_photograph_gives_the_answer_of_the_upright_one(
    classify: Classify, photo: Path, tmp_path: Path
) -> None:
    upright = Image.open(photo).convert("RGB").resize((120, 80))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90° clockwise to see it upright
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png")
    expected = classify(tmp_path / "upright.png")
    assert classify(tmp_path / "turned.png") == pytest.approx(expected, abs=1e-6)
    assert classify(tmp_path / "lying.png") != pytest.approx(expected, abs=1e-6)


def test_many_visitors_at_once_get_the_same_answer(classify: Classify, photo: Path) -> None:
    alone = classify(photo, "cocktails")
    with ThreadPoolExecutor(12) as pool:
        for answer in pool.map(lambda _: classify(photo, "cocktails"), range(24)):
            # Threads may add up float32 in another order.
            assert answer == pytest.approx(alone, abs=1e-6)


def test_one_request_over_plain_http_is_enough(
    http: httpx.Client, app: RunningApp, photo: Path
) -> None:
    uploaded = http.post("/gradio_api/upload", files={"files": ("lion.jpg", photo.read_bytes())})
    picture = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
    begun = http.post("/gradio_api/call/classify", json={"data": [picture, "ages"]}).json()
    events = http.get(f"/gradio_api/call/classify/{begun['event_id']}").text
    assert "event: complete" in events
    answer = json.loads(events.rpartition("data: ")[2])[0]
    assert answer["label"] in load_label_list("ages").classes


def test_a_picture_may_come_as_bytes_of_a_data_url(http: httpx.Client, photo: Path) -> None:
    buffer = io.BytesIO()
    Image.open(photo).resize((40, 40)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    picture = {"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}
    begun = http.post("/gradio_api/call/classify", json={"data": [picture, "ages"]}).json()
    events = http.get(f"/gradio_api/call/classify/{begun['event_id']}").text
    assert "event: complete" in events, events


def test_handle_file_is_all_a_client_needs(client: Client, photo: Path) -> None:
    answer = client.predict(
        image=handle_file(str(photo)), classifier="dog_breeds", api_name="/classify"
    )
    assert answer["label"] == answer["confidences"][0]["label"]
