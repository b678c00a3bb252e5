"""Whole journeys of a visitor.  The fixture also checks hosts, console and dialogs of each."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from browser.visitor import Visitor, one_of
from PIL import Image
from playwright.sync_api import expect

from classifiers import Encoder, open_picture
from classifiers.words.label_lists import label_list_ids, load_label_list
from ui.render import percent

OpenPage = Callable[..., Visitor]


def test_from_a_picture_to_a_file_for_the_phone(
    visitor: Visitor, photo: Path, encoder: Encoder, tmp_path: Path
) -> None:
    page = visitor.page
    visitor.upload(photo)
    visitor.has_answers()
    assert set(visitor.answers()) <= set(load_label_list("nouns").classes)

    visitor.choose_set("Cocktails")
    expect(page.get_by_text(load_label_list("cocktails").description)).to_be_visible()
    expect(visitor.best).to_have_text(one_of("cocktails"))
    expect(visitor.card("Cocktails")).to_contain_text(visitor.best.inner_text())

    expect(visitor.cards).to_have_count(len(label_list_ids()))
    for card in visitor.cards.all():
        expect(card).to_contain_text("%")
    visitor.card("Animals").click()
    expect(visitor.label_set).to_have_value(re.compile(r"^Animals \("))
    expect(visitor.best).to_have_text(one_of("animals"))
    expect(visitor.card("Animals")).to_contain_text(visitor.best.inner_text())

    visitor.template.fill("a photo of a {}")
    visitor.classes.fill("cat, dog, Cat\nlion, " + "long " * 60)
    expect(visitor.preview).to_contain_text("a photo of a lion")
    expect(visitor.preview).to_contain_text("repeated, left out: Cat")
    expect(visitor.preview).to_contain_text("longer than the model reads, cut: a photo of a long")
    visitor.classes.fill("cat, dog\nlion, Cat")
    expect(visitor.preview).to_contain_text("3 classes")
    visitor.name.fill("Pets")
    visitor.create_button.click()
    expect(visitor.label_set).to_have_value("Pets (mine, 3)")
    visitor.has_answers(3)
    answers = visitor.answers()
    assert set(answers) == {"cat", "dog", "lion"}
    expect(visitor.guesses.first.locator(".hs-percent")).to_be_in_viewport()

    page.reload()
    expect(visitor.label_set).to_have_value("Pets (mine, 3)")
    visitor.has_answers(3)
    assert visitor.answers() == answers
    expect(visitor.template).to_have_value("a photo of a {}")
    expect(visitor.classes).to_have_value("cat, dog\nlion, Cat")
    expect(visitor.name).to_have_value("Pets")
    expect(visitor.picture).to_be_visible()
    for card in visitor.cards.all():
        expect(card).to_contain_text("%")

    page.get_by_role("button", name="My classifiers").click()
    page.get_by_role("combobox", name="Classifier", exact=True).click()
    page.get_by_role("option", name="Pets").click()
    page.get_by_role("textbox", name="New name").fill("Côte d'Ivoire & Tiere")
    page.get_by_role("button", name="Rename").click()
    expect(visitor.label_set).to_have_value("Côte d'Ivoire & Tiere (mine, 3)")
    assert visitor.answers() == answers

    file = visitor.download(tmp_path)
    assert re.fullmatch(r"c[a-z_]*_tiere\.pt", file.name)
    with zipfile.ZipFile(file) as archive:
        (labels,) = (name for name in archive.namelist() if name.endswith("labels.txt"))
        classes = archive.read(labels).decode("utf-8").splitlines()
        (manifest,) = (name for name in archive.namelist() if name.endswith("manifest.json"))
        assert json.loads(archive.read(manifest))["name"] == "Côte d'Ivoire & Tiere"
    embedding = torch.from_numpy(
        encoder.encode_images([open_picture(photo, for_size=encoder.image_size)])
    )
    probabilities, indices = torch.jit.load(str(file))(embedding)
    assert [classes[index] for index in indices[0].tolist()] == answers
    shown = visitor.guesses.locator(".hs-percent").all_inner_texts()
    assert [percent(probability) for probability in probabilities[0].tolist()] == shown

    page.get_by_role("button", name="Remove", exact=True).click()
    expect(visitor.label_set).to_have_value(re.compile(r"^Nouns \("))
    visitor.has_answers()
    visitor.label_set.click()
    expect(page.get_by_role("option")).to_have_count(len(label_list_ids()))


def test_an_example_is_answered_at_a_click(visitor: Visitor) -> None:
    visitor.page.locator("#hs-examples").get_by_role("button").first.click()
    visitor.has_answers()
    expect(visitor.picture).to_be_visible()


def test_removing_the_picture_brings_the_hint_back(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    visitor.page.get_by_role("button", name="Remove Image").click()
    expect(visitor.page.get_by_text("Give me a picture")).to_be_visible()
    visitor.has_answers(0)
    for card in visitor.cards.all():
        expect(card).not_to_contain_text("%")


def test_an_idea_fills_the_form_and_works(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    visitor.page.locator("#hs-ideas").get_by_role("button", name="Moods").click()
    expect(visitor.preview).to_contain_text("cheerful")
    visitor.create_button.click()
    expect(visitor.label_set).to_have_value(re.compile(r"^Moods \(mine"))
    expect(visitor.best).to_have_text(re.compile("cheerful|gloomy|calm|tense|romantic|eerie"))


def test_a_photo_from_a_phone_is_shown_and_survives_a_reload(
    visitor: Visitor, photo: Path, tmp_path: Path
) -> None:
    import pillow_heif

    heic = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.open(photo).convert("RGB")).save(heic)
    visitor.upload(heic)
    visitor.has_answers()
    answers = visitor.answers()
    visitor.picture_is_drawn()
    visitor.page.reload()
    visitor.has_answers()
    visitor.picture_is_drawn()
    assert visitor.answers()[0] == answers[0]  # the picture shown is a JPEG of the original


def test_a_file_that_is_no_picture_leaves_picture_and_answers(
    visitor: Visitor, photo: Path, tmp_path: Path
) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    answers = visitor.answers()
    broken = tmp_path / "broken.jpg"
    broken.write_text("I am a picture, believe me.")
    visitor.upload(broken)
    expect(visitor.notice).to_contain_text("This file is not a picture that can be read")
    visitor.picture_is_drawn()
    visitor.has_answers()
    assert visitor.answers() == answers
    visitor.choose_set("Ages")
    expect(visitor.best).to_have_text(one_of("ages"))


def test_a_mistake_in_the_form_loses_nothing(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    answers = visitor.answers()
    visitor.create("cat, dog", template="a photo", name="My name")
    sentence = "has no place for the class; put {} where its name belongs."
    expect(visitor.notice).to_contain_text(sentence)
    expect(visitor.preview).to_contain_text(sentence)
    expect(visitor.template).to_have_value("a photo")
    expect(visitor.classes).to_have_value("cat, dog")
    expect(visitor.name).to_have_value("My name")
    assert visitor.answers() == answers
    visitor.template.fill("a photo of a {}")
    visitor.create_button.click()
    expect(visitor.label_set).to_have_value("My name (mine, 2)")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pets.txt", "cat\n\ndog, Cat\ngoldfish\n"),
        ("pets.csv", "class,count\ncat,3\ndog,4\ngoldfish,5\n"),
    ],
)
def test_a_file_of_classes_fills_the_box(
    visitor: Visitor, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.get_by_role("button", name="Classes from a .txt or .csv file").click()
    chooser.value.set_files(str(tmp_path / name))
    expect(visitor.classes).to_have_value("cat\ndog\ngoldfish")
    expect(visitor.preview).to_contain_text("3 classes")


def test_a_file_of_classes_can_be_dropped_onto_the_box(visitor: Visitor, tmp_path: Path) -> None:
    file = tmp_path / "pets.txt"
    file.write_text("cat\ndog\n", encoding="utf-8")
    visitor.drop_onto(visitor.classes, file, "text/plain")
    expect(visitor.classes).to_have_value("cat\ndog")


def test_cancel_stops_a_large_build_and_keeps_what_was_typed(visitor: Visitor) -> None:
    classes = "\n".join(f"thing number {n}" for n in range(9000))
    kinds = ("photo", "drawing", "toy", "picture", "sketch", "film", "dream", "copy", "part")
    visitor.template.fill("\n".join(["a {}", *(f"a {kind} of a {{}}" for kind in kinds)]))
    visitor.paste_classes(classes)
    expect(visitor.preview).to_contain_text("9,000 classes")
    expect(visitor.preview).to_contain_text("89,996 more")
    visitor.create_button.click()
    expect(visitor.page.locator("#hs-new")).to_contain_text("/9k classes")
    visitor.cancel_button.click()
    expect(visitor.notice).to_contain_text("Stopped")
    expect(visitor.preview).to_contain_text("everything you typed is still here")
    expect(visitor.classes).to_have_value(classes)
    expect(visitor.label_set).to_have_value(re.compile(r"^Nouns \("))
    visitor.create("cat, dog", template="a {}")
    expect(visitor.label_set).to_have_value("cat, dog (mine, 2)")


def test_markup_in_words_is_shown_and_never_run(
    visitor: Visitor, photo: Path, tmp_path: Path
) -> None:
    script = "<script>alert('class')</script>"
    image = "<img src=x onerror=alert('name')>"
    visitor.upload(photo)
    visitor.has_answers()
    visitor.create(f"{script}\n{image}\n{script}", template=f"{image} {{}}", name=image)
    visitor.has_answers(2)
    assert set(visitor.answers()) == {script, image}
    expect(visitor.label_set).to_have_value(f"{image} (mine, 2)")
    expect(visitor.preview).to_contain_text(f"{image} {script}")
    visitor.create("cat", template=image)
    expect(visitor.notice).to_contain_text(f"The template “{image}”")
    visitor.label_set.click()
    expect(visitor.page.get_by_role("option", name=image)).to_be_visible()
    visitor.page.keyboard.press("Escape")
    visitor.page.reload()
    visitor.has_answers(2)
    visitor.page.get_by_role("button", name="My classifiers").click()
    visitor.page.get_by_role("combobox", name="Classifier", exact=True).click()
    expect(visitor.page.get_by_role("option", name=image)).to_be_visible()
    assert visitor.page.locator("img[src=x]").count() == 0


def test_two_visitors_do_not_see_each_other(open_page: OpenPage, photo: Path) -> None:
    first, second = open_page(), open_page()
    first.upload(photo)
    first.has_answers()
    first.create("cat, dog", name="Mine alone")
    expect(first.label_set).to_have_value("Mine alone (mine, 2)")
    second.page.reload()
    second.label_set.click()
    expect(second.page.get_by_role("option")).to_have_count(len(label_list_ids()))
    second.has_answers(0)


def test_a_broken_memory_of_the_browser_does_not_break_the_page(
    visitor: Visitor, photo: Path
) -> None:
    visitor.page.evaluate(
        "for (const key of ['headsmith-classifiers', 'headsmith-draft'])"
        " localStorage.setItem(key, 'not what was written')"
    )
    visitor.watched.forgiven = "Error reading from localStorage"
    visitor.page.reload()
    visitor.upload(photo)
    visitor.has_answers()


def test_the_live_camera_answers_until_stop(visitor: Visitor) -> None:
    page = visitor.page
    visitor.choose_set("Ages")
    page.get_by_role("tab", name="Live camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    capture = page.get_by_role("button", name="capture photo")
    visitor.count_answers()
    capture.filter(has_text="Record").click()
    visitor.has_answers()
    visitor.has_answered_again(2)
    visitor.choose_set("Cocktails")
    expect(visitor.best).to_have_text(one_of("cocktails"))
    visitor.has_answered_again(2)
    expect(visitor.best).to_have_text(one_of("cocktails"))
    capture.filter(has_text="Stop").click()
    expect(capture.filter(has_text="Record")).to_be_visible()
    visitor.answers_have_stopped()
    visitor.has_answers()


def test_a_file_of_another_kind_is_answered_too(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4 not a picture")
    visitor.upload(tmp_path / "paper.pdf")
    expect(visitor.notice).to_contain_text("This file is not a picture that can be read")
    expect(visitor.page.get_by_text("Give me a picture")).to_be_visible()


def test_a_picture_can_be_dropped_onto_the_one_before(visitor: Visitor, photo: Path) -> None:
    visitor.drop(photo.with_name("tower.jpg"))
    visitor.has_answers()
    tower = visitor.picture.get_attribute("src")
    visitor.drop(photo)
    expect(visitor.picture).not_to_have_attribute("src", tower or "")
    visitor.picture_is_drawn()
    visitor.has_answers()
