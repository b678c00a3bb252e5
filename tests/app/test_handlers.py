"""The page's handlers, called directly, with a tiny model: what each shows and keeps."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from classifiers.errors import HeadsmithError, LimitError
from classifiers.export.cache import ExportCache
from classifiers.loaded_models import LoadedModels
from classifiers.words.label_lists import label_list_ids
from ui import classify_tab, create_section, export_panel, page
from ui.picture import restorable
from ui.state import (
    DEFAULT_CLASSIFIER,
    DEFAULT_TEMPLATE,
    MAX_OWN_CLASSIFIERS,
    Cancellations,
    OwnClassifier,
    PictureInHand,
)

Upload = Callable[[str, bytes], str]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sentences shown above the page."""
    sentences: list[str] = []
    for kind in ("Warning", "Info"):
        monkeypatch.setattr(gr, kind, lambda message, **_: sentences.append(message))
    return sentences


@pytest.fixture
def encoded(models: LoadedModels, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call to the image encoder had."""
    encoder = models.library().encoder
    calls: list[int] = []
    encode = encoder.encode_images

    def counted(pictures: Any) -> np.ndarray:
        calls.append(len(pictures))
        return encode(pictures)

    monkeypatch.setattr(encoder, "encode_images", counted)
    return calls


@pytest.fixture
def in_hand(models: LoadedModels, lion: str) -> PictureInHand:
    return classify_tab.look(models, lion, PictureInHand())[0]


def is_skip(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update" and len(value) == 1


def make(
    models: LoadedModels,
    classes: str,
    template: str = "a photo of a {}",
    name: str = "",
    own: Any = None,
    cancellations: Cancellations | None = None,
    progress: Callable[..., None] = lambda *_, **__: None,
    count: Callable[[int, int], None] = lambda *_: None,
) -> tuple[Any, Any, Any]:
    stops = cancellations or Cancellations()
    return create_section.create(
        models, stops, count, name, template, classes, own, "a session", progress
    )


# A picture


def test_a_picture_is_encoded_once_however_many_sets_answer(
    models: LoadedModels, encoded: list[int], lion: str
) -> None:
    in_hand, _ = classify_tab.look(models, lion, PictureInHand())
    for classifier in ("ages", "cocktails", "cat_breeds", "ages"):
        assert classify_tab.answer(models, in_hand, classifier).count("hs-guess") == 5
    *_, last = classify_tab.answer_all(models, in_hand)
    assert last.count('class="hs-set"') == len(label_list_ids())
    _, menu, _ = make(models, "cat, dog")
    assert "cat" in classify_tab.answer(models, in_hand, menu["value"])
    assert encoded == [1]


def test_all_sets_answer_one_by_one_while_they_are_prepared(
    tiny_model: str, tmp_path: Path, lion: str
) -> None:
    fresh = LoadedModels(tmp_path / "heads", default=tiny_model, prepare_label_lists=False)
    in_hand, _ = classify_tab.look(fresh, lion, PictureInHand())
    waiting = [html.count("hs-waiting") for html in classify_tab.answer_all(fresh, in_hand)]
    assert waiting[0] == len(label_list_ids()) and waiting[-1] == 0
    assert waiting == sorted(waiting, reverse=True)
    assert len(waiting) > 2, "a visitor sees nothing until all are ready"


def test_a_file_that_is_no_picture_leaves_the_one_in_hand(
    models: LoadedModels, told: list[str], in_hand: PictureInHand, upload: Upload
) -> None:
    kept, shown = classify_tab.look(models, upload("broken.jpg", b"no picture"), in_hand)
    assert kept is in_hand and shown["value"] == in_hand.path
    assert len(told) == 1 and "not a picture" in told[0]


def test_clearing_the_picture_brings_the_hint_back(
    models: LoadedModels, in_hand: PictureInHand
) -> None:
    empty, _ = classify_tab.look(models, None, in_hand)
    assert empty.embedding is None
    assert classify_tab.NO_PICTURE in classify_tab.answer(models, empty, "ages")
    (cards,) = classify_tab.answer_all(models, empty)
    assert cards.count("hs-waiting") == len(label_list_ids())


def test_a_picture_browsers_cannot_show_is_shown_as_another_file(
    models: LoadedModels, photo: Path, upload: Upload
) -> None:
    import pillow_heif

    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.open(photo).convert("RGB")).save(heic)
    in_hand, shown = classify_tab.look(
        models, upload("phone.heic", heic.getvalue()), PictureInHand()
    )
    assert in_hand.embedding is not None
    with Image.open(shown["value"]) as jpeg:
        assert jpeg.format == "JPEG"


def test_a_camera_frame_is_answered_and_becomes_the_picture(
    models: LoadedModels, encoded: list[int]
) -> None:
    frame = io.BytesIO()
    Image.new("RGB", (64, 48)).save(frame, "JPEG")
    in_hand, html = classify_tab.watch(models, frame.getvalue(), PictureInHand(), "ages")
    assert html.count("hs-guess") == 5 and encoded == [1]
    assert classify_tab.answer(models, in_hand, "cocktails").count("hs-guess") == 5
    assert encoded == [1]
    assert all(
        is_skip(value) for value in classify_tab.watch(models, None, PictureInHand(), "ages")
    )


def test_an_unknown_classifier_is_a_sentence_where_the_answer_was(
    models: LoadedModels, in_hand: PictureInHand
) -> None:
    html = classify_tab.answer(models, in_hand, "f" * 32)
    assert "hs-error" in html and "no classifier" in html


def test_label_sets_about_people_say_what_an_answer_is(models: LoadedModels) -> None:
    about_people = {"nationalities", "professions", "famous_people", "ages"}
    for classifier in label_list_ids():
        line = classify_tab.describe(classifier)
        assert ("not a fact about a person" in line) == (classifier in about_people), classifier
    assert "own" in classify_tab.describe("0" * 32)


# A new classifier


def test_the_preview_shows_prompts_and_what_is_left_out(models: LoadedModels) -> None:
    html = create_section.preview(
        models, "a photo of a {}\na drawing of a {}", "cat, dog\n\nCat,,goldfish, " + "long " * 40
    )
    assert "a photo of a cat" in html and "a drawing of a cat" in html
    assert "4 classes" in html and "4 more" in html
    assert "repeated, left out: Cat" in html
    assert "1 empty left out" in html or "2 empty left out" in html
    assert "longer than the model reads, cut: a photo of a long" in html


def test_the_preview_never_waits_for_a_model(tmp_path: Path) -> None:
    unloaded = LoadedModels(tmp_path, default="local-dir:nowhere")
    assert "a cat" in create_section.preview(unloaded, "a {}", "cat")


@pytest.mark.parametrize(
    ("template", "classes", "word"),
    [
        ("a photo", "cat", "no place for the class"),
        ("", "cat", "Type a template"),
        ("a {}", "x\n" * 10 + "\n".join(map(str, range(10_001))), "too many"),
    ],
)
def test_the_preview_says_what_is_wrong(
    models: LoadedModels, template: str, classes: str, word: str
) -> None:
    html = create_section.preview(models, template, classes)
    assert "hs-error" in html and word in html


def test_creating_chooses_the_new_classifier(models: LoadedModels) -> None:
    own, menu, preview = make(models, "cat, dog", name="  My \0 pets ", own=[])
    assert [entry["name"] for entry in own] == ["My pets"]
    assert menu["value"] == own[0]["id"]
    assert menu["choices"][0] == ("My pets (mine, 2)", own[0]["id"])
    assert is_skip(preview)


def test_creating_the_same_words_again_keeps_one(models: LoadedModels) -> None:
    own, *_ = make(models, "cat, dog", name="First", own=[])
    own, *_ = make(models, "cat\ndog", name="Second", own=own)
    assert [entry["name"] for entry in own] == ["Second"]


def test_the_oldest_classifiers_make_room(models: LoadedModels) -> None:
    old = [OwnClassifier(str(n), f"old {n}", ("{}",), ("a",)) for n in range(MAX_OWN_CLASSIFIERS)]
    own, *_ = make(models, "cat, dog", own=[classifier.to_browser() for classifier in old])
    assert len(own) == MAX_OWN_CLASSIFIERS
    assert own[0]["name"] == "old 1" and own[-1]["classes"] == ("cat", "dog")


@pytest.mark.parametrize(
    ("template", "classes"),
    [("no placeholder", "cat"), ("a {}", " , "), ("", ""), ("a {}", "x" * 6000)],
)
def test_a_mistake_changes_nothing_but_the_sentence(
    models: LoadedModels, told: list[str], template: str, classes: str
) -> None:
    own, menu, preview = make(models, classes, template, own=[])
    assert is_skip(own) and is_skip(menu)
    assert "hs-error" in preview and len(told) == 1


def test_cancel_stops_a_build(models: LoadedModels, told: list[str]) -> None:
    cancellations, counts = Cancellations(), []

    def progress(done_of_total: tuple[int, int], **_: Any) -> None:
        counts.append(done_of_total[0])
        if done_of_total[0] > 0:
            cancellations.ask("a session")

    classes = "\n".join(f"cancelled {n}" for n in range(3000))
    own, menu, preview = make(models, classes, cancellations=cancellations, progress=progress)
    assert is_skip(own) and is_skip(menu) and "Stopped" in preview
    assert 0 < counts[-1] < 3000 and len(told) == 1
    # The next try is not stopped by the old wish.
    own, *_ = make(models, classes, cancellations=cancellations)
    assert len(own) == 1


def test_who_has_made_too_many_classifiers_is_told_and_keeps_what_was_typed(
    models: LoadedModels, told: list[str]
) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(n_classes: int, n_prompts: int) -> None:
        asked.append((n_classes, n_prompts))
        raise LimitError("That is enough for today; try again in 60 seconds.", 60)

    own, menu, shown = make(models, "too, many", "a {}\nthe {}\nmy {}", count=refuse)
    assert is_skip(own) and is_skip(menu)
    assert asked == [(2, 6)] and "enough for today" in told[0] and "enough for today" in shown
    make(models, "made, before")
    make(models, "made, before", count=refuse)
    assert asked == [(2, 6)], "what is there already costs nothing"


def test_one_session_does_not_cancel_another() -> None:
    cancellations = Cancellations()
    cancellations.ask("mine")
    assert cancellations.asked("mine") and not cancellations.asked("yours")


def test_words_of_a_page_are_text_and_never_markup(
    models: LoadedModels, in_hand: PictureInHand, told: list[str]
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    _, menu, _ = make(models, f"{evil}\nother", f"{evil} {{}}", name=evil)
    shown = [
        create_section.preview(models, f"{evil} {{}}", f"{evil}, {evil}"),
        create_section.preview(models, evil, "cat"),
        classify_tab.answer(models, in_hand, menu["value"]),
        classify_tab.answer(models, in_hand, evil),
        export_panel.summarise(models, menu["value"], "pt"),
    ]
    make(models, "cat", template=evil)
    assert told, "a template without a placeholder is refused"
    assert not any("<img" in html for html in shown + told)


def test_names_of_a_file_fill_the_box(upload: Upload, told: list[str]) -> None:
    lines, table = b"cat\ndog, goldfish", b'class,n\ncat,1\n"a, b",2\n'
    assert create_section.read_file(upload("a.txt", lines)) == "cat\ndog\ngoldfish"
    assert create_section.read_file(upload("b.csv", table)) == 'cat\n"a, b"'
    assert not told
    for name, data in {"c.txt": b"\xff\x00\xfa", "d.csv": b"\n\n", "e.exe": b"MZ"}.items():
        assert is_skip(create_section.read_file(upload(name, data)))
    assert len(told) == 3
    assert is_skip(create_section.read_file(None))


def test_a_classifier_can_be_renamed_and_removed(models: LoadedModels, told: list[str]) -> None:
    own, menu, _ = make(models, "cat, dog", name="Pets", own=[])
    made = menu["value"]
    own, menu, managed = create_section.rename(own, made, " My\npets ", made)
    assert own[0]["name"] == "My pets"
    assert menu["choices"][0] == ("My pets (mine, 2)", made) and menu["value"] == made
    assert managed["choices"] == [("My pets", made)]
    assert all(is_skip(value) for value in create_section.rename(own, made, " ", made))
    assert all(is_skip(value) for value in create_section.rename(own, None, "x", made))
    assert len(told) == 2
    own, menu, managed = create_section.remove(own, made, made)
    assert own == [] and menu["value"] == DEFAULT_CLASSIFIER and managed["value"] is None


def test_removing_one_keeps_another_chosen(models: LoadedModels) -> None:
    own, menu, _ = make(models, "cat, dog", own=[])
    own, menu, _ = make(models, "sun, moon", own=own)
    own, menu, _ = create_section.remove(own, own[0]["id"], menu["value"])
    assert [entry["classes"] for entry in own] == [("sun", "moon")]
    assert menu["value"] == own[0]["id"]


# Export


def test_an_export_carries_the_name_its_owner_gave(
    models: LoadedModels, exports: ExportCache
) -> None:
    first, *_ = make(models, "tea, coffee", name="First name", own=[])
    second, *_ = make(models, "tea, coffee", name="Zweiter Name", own=[])
    chosen = first[0]["id"]
    assert (
        Path(export_panel.head_file(models, exports, chosen, "txt", first)).name == "first_name.txt"
    )
    assert (
        Path(export_panel.head_file(models, exports, chosen, "txt", second)).name
        == "zweiter_name.txt"
    )


def test_the_panel_says_what_the_file_will_hold(models: LoadedModels, exports: ExportCache) -> None:
    _, menu, _ = make(models, "tea, coffee, milk")
    path = Path(export_panel.head_file(models, exports, menu["value"], "safetensors", []))
    html = export_panel.summarise(models, menu["value"], "safetensors")
    assert "<dd>3</dd>" in html and "<dd>48</dd>" in html
    assert path.stat().st_size > 0
    assert "hs-error" in export_panel.summarise(models, "nope", "pt")


@pytest.mark.parametrize("suffix", ["pt", "ptl"])
def test_the_encoder_is_a_file_too(models: LoadedModels, exports: ExportCache, suffix: str) -> None:
    path = Path(export_panel.encoder_file(models, exports, suffix))
    assert path.name.startswith("encoder_") and path.suffix == f".{suffix}"
    assert path.stat().st_size > 100_000


def test_an_export_that_fails_is_a_sentence(
    models: LoadedModels, exports: ExportCache, told: list[str]
) -> None:
    assert is_skip(export_panel.head_file(models, exports, "nope", "pt", []))
    assert is_skip(export_panel.head_file(models, exports, "ages", "exe", []))
    assert is_skip(export_panel.encoder_file(models, exports, "exe"))
    assert len(told) == 3


# What a browser kept

HOSTILE_LISTS: list[Any] = [
    None,
    3,
    "text",
    {"id": "x"},
    [None, 1, "x", [], {}, {"id": "a"}, {"id": "a", "name": "b", "templates": 1, "classes": 2}],
    [{"id": "a", "name": "b", "templates": ["no placeholder"], "classes": ["x"]}],
    [{"id": "a", "name": "b", "templates": ["{}"], "classes": []}],
    [{"id": "a", "name": "b", "templates": ["{}"], "classes": ["x" * 100_000]}],
    [{"id": "a", "name": "b", "templates": ["{}"], "classes": ["\ud800"]}],
    [{"id": "a", "name": "b", "templates": ["{}"] * 300, "classes": {"x": 1}}],
    [
        {
            "id": "../../x",
            "name": None,
            "templates": "{}",
            "classes": [str(n) for n in range(10_001)],
        }
    ],
    [{"id": str(n), "name": "n", "templates": [], "classes": []} for n in range(100_000)],
]


@pytest.mark.parametrize("own", HOSTILE_LISTS, ids=lambda own: repr(own)[:40])
def test_odd_lists_of_own_classifiers_are_put_aside(models: LoadedModels, own: Any) -> None:
    kept = OwnClassifier.list_from(own)
    assert len(kept) <= MAX_OWN_CLASSIFIERS
    *_, menu, picture = page.restore(models, own, {"chosen": "a"})
    assert menu["value"] in dict(map(reversed, menu["choices"]))
    assert is_skip(picture)
    owned, menu, in_hand = page.refresh(models, own, {"model": ["x"]}, "a", None)
    assert owned == [] and in_hand.embedding is None
    assert len(menu["choices"]) == len(label_list_ids())
    create_section.list_own(own)
    create_section.remove(own, "a", "ages")
    assert not is_skip(make(models, "cat, dog", own=own)[0])


HOSTILE_DRAFTS: list[Any] = [
    None,
    7,
    [],
    "text",
    {"template": 5, "classes": ["x"], "name": {"a": 1}, "chosen": ["nouns"], "picture": {"a": 1}},
    {"picture": ["/etc/passwd"], "chosen": None},
    {"picture": 3},
    {"model": 3},
    {"model": "local-dir:/etc"},
    {"model": "../../x"},
    {"model": "no/such model\0"},
    {"picture": "\0"},
    {"picture": "x" * 100_000},
]


@pytest.mark.parametrize("draft", HOSTILE_DRAFTS, ids=lambda draft: repr(draft)[:40])
def test_an_odd_draft_is_put_aside(models: LoadedModels, draft: Any) -> None:
    template, classes, name, menu, picture = page.restore(models, [], draft)
    *_, in_hand = page.refresh(models, [], draft, menu["value"], None)
    assert in_hand == PictureInHand()
    assert all(isinstance(text, str) for text in (template, classes, name))
    assert menu["value"] == DEFAULT_CLASSIFIER and is_skip(picture)
    if not isinstance(draft, dict) or "template" not in draft:
        assert (template, classes, name) == (DEFAULT_TEMPLATE, "", "")


def test_only_an_upload_is_put_back(models: LoadedModels, uploads: Path, photo: Path) -> None:
    (uploads / "a").mkdir()
    mine = uploads / "a" / "lion.jpg"
    mine.write_bytes(photo.read_bytes())
    (uploads / "link.jpg").symlink_to("/etc/passwd")
    assert restorable(str(mine)) == str(mine.resolve())
    for path in (
        "/etc/passwd",
        str(photo),
        f"{uploads}/../secret.jpg",
        f"{uploads}/../../../../../../../etc/passwd",
        f"{uploads}/link.jpg",
        str(uploads),
        str(uploads / "a"),
        str(uploads / "gone.jpg"),
        f"{uploads}-other/lion.jpg",
        "app.py",
        "~/.ssh/id_rsa",
        "file:///etc/passwd",
        "",
        None,
    ):
        assert restorable(path) is None, path
        assert is_skip(page.restore(models, [], {"picture": path})[-1])


def test_a_reload_puts_everything_back(
    models: LoadedModels, encoded: list[int], uploads: Path, photo: Path
) -> None:
    mine = uploads / "lion.jpg"
    mine.write_bytes(photo.read_bytes())
    own, menu, _ = make(models, "cat, dog", name="Pets", own=[])
    draft = {
        "template": "a {}",
        "classes": "sun\nmoon",
        "name": "Sky",
        "chosen": menu["value"],
        "picture": str(mine),
    }
    *texts, menu, picture = page.restore(models, own, draft)
    assert texts == ["a {}", "sun\nmoon", "Sky"]
    assert menu["value"] == draft["chosen"] and picture == str(mine)
    owned, menu, in_hand = page.refresh(models, own, draft, draft["chosen"], picture)
    assert [entry["id"] for entry in owned] == [entry["id"] for entry in own]
    assert menu["value"] == draft["chosen"] and encoded == [1]
    assert "cat" in classify_tab.answer(models, in_hand, menu["value"])


def test_a_picture_chosen_while_the_model_loads_is_kept(
    models: LoadedModels, in_hand: PictureInHand
) -> None:
    *_, now = page.refresh(models, [], {}, "nouns", None, in_hand)
    assert now.path == in_hand.path and np.array_equal(now.embedding, in_hand.embedding)


def test_another_model_builds_the_own_classifiers_again(models: LoadedModels) -> None:
    """As after an update of the built-in model: same words, another id, still chosen."""
    own, *_ = make(models, "cat, dog", name="Pets", own=[])
    of_old_model = [{**own[0], "id": "f" * 32}]
    owned, menu, _ = page.refresh(models, of_old_model, {}, "f" * 32, None)
    assert owned[0]["id"] == own[0]["id"] == menu["value"]


def test_an_upload_that_is_damaged_since_does_not_stop_the_page(
    models: LoadedModels, told: list[str], uploads: Path
) -> None:
    broken = uploads / "broken.jpg"
    broken.write_text("cut")
    own, *_ = make(models, "cat, dog", own=[])
    owned, _, in_hand = page.refresh(models, own, {}, "nouns", str(broken))
    assert len(owned) == 1 and in_hand.embedding is None


def test_a_model_that_cannot_be_loaded_is_a_sentence_everywhere(
    tmp_path: Path, told: list[str], lion: str, exports: ExportCache
) -> None:
    missing = LoadedModels(tmp_path, default="local-dir:nowhere")
    in_hand, _ = classify_tab.look(missing, lion, PictureInHand())
    assert in_hand.embedding is None
    own, menu, preview = make(missing, "cat, dog")
    assert is_skip(own) and is_skip(menu) and "open_clip_config.json" in preview
    assert "open_clip_config.json" in export_panel.summarise(missing, "nouns", "pt")
    assert is_skip(export_panel.head_file(missing, exports, "nouns", "pt", []))
    owned, menu, _ = page.refresh(missing, [], {}, "nouns", None)
    assert is_skip(owned) and is_skip(menu)
    assert len(told) == 4 and all("nowhere" in sentence for sentence in told)
    with pytest.raises(HeadsmithError):
        missing.library()
