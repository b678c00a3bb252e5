"""The classifiers of one model: built once, remembered, named as they were asked for."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ClassNamesError, HeadError, TemplateError
from classifiers.heads import library as library_module
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore
from classifiers.words.label_lists import label_list_ids, load_label_list

CLASSES = ("cat", "dog", "goldfish")


class CountingEncoder:
    """An encoder that counts how often texts are encoded; `gate` holds it up meanwhile."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.calls = 0
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._encoder, name)

    def encode_texts(self, *args: object) -> np.ndarray:
        self.calls += 1
        self.begun.set()
        assert self.gate.wait(30)
        return self._encoder.encode_texts(*args)  # type: ignore[arg-type]


@pytest.fixture
def counting(encoder: Encoder) -> CountingEncoder:
    return CountingEncoder(encoder)


@pytest.fixture
def library(counting: CountingEncoder, tmp_path: Path) -> HeadLibrary:
    return HeadLibrary(counting, HeadStore(tmp_path / "heads"))  # type: ignore[arg-type]


def test_the_same_words_are_encoded_once(library: HeadLibrary, counting: CountingEncoder) -> None:
    first = library.create("Pets", ["a {}"], CLASSES)
    assert library.create("Pets", ["a NAME"], CLASSES).id == first.id
    assert library.find(first.id).id == first.id
    assert counting.calls == 1


def test_a_restart_finds_what_was_built_before(
    library: HeadLibrary, counting: CountingEncoder, tmp_path: Path
) -> None:
    head = library.create("Pets", ["a {}"], CLASSES)
    restarted = HeadLibrary(counting, HeadStore(tmp_path / "heads"))  # type: ignore[arg-type]
    assert restarted.find(head.id).classes == CLASSES
    assert restarted.create("Pets", ["a {}"], CLASSES).id == head.id
    assert counting.calls == 1


def test_a_lost_cache_is_built_again(
    library: HeadLibrary, counting: CountingEncoder, tmp_path: Path
) -> None:
    head = library.create("Pets", ["a {}"], CLASSES)
    for path in (tmp_path / "heads").iterdir():
        path.write_bytes(b"damaged")
    restarted = HeadLibrary(counting, HeadStore(tmp_path / "heads"))  # type: ignore[arg-type]
    again = restarted.create("Pets", ["a {}"], CLASSES)
    np.testing.assert_allclose(again.weights, head.weights, atol=1e-6)  # float32
    assert counting.calls == 2


def test_each_person_s_classifier_has_the_name_that_they_gave_it(library: HeadLibrary) -> None:
    mine = library.create("Pets", ["a {}"], CLASSES)
    yours = library.create("Beasts", ["a {}"], CLASSES)
    assert (mine.name, yours.name) == ("Pets", "Beasts"), "somebody else's name would be shown"
    assert mine.id == yours.id


def test_a_label_set_keeps_its_name_whatever_a_visitor_called_the_same_words(
    library: HeadLibrary,
) -> None:
    ages = load_label_list("ages")
    library.create("Something rude", ages.templates, ages.classes)
    assert library.find("ages").name == ages.name


def test_two_people_who_ask_for_one_head_wait_for_one_building(
    library: HeadLibrary, counting: CountingEncoder
) -> None:
    counting.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(library.create, "Pets", ["a {}"], CLASSES) for _ in range(4)]
        assert counting.begun.wait(30)
        assert not wait(asked, timeout=0.2).done  # time for all to arrive
        counting.gate.set()
        ids = {future.result(30).id for future in asked}
    assert len(ids) == 1 and counting.calls == 1


def test_a_cancelled_building_does_not_stand_in_the_way_of_the_next(library: HeadLibrary) -> None:
    def cancel(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        library.create("Pets", ["a {}"], CLASSES, cancel)
    assert library.create("Pets", ["a {}"], CLASSES).classes == CLASSES


def test_a_shipped_label_set_is_found_by_its_id_and_built_when_first_asked_for(
    library: HeadLibrary, counting: CountingEncoder
) -> None:
    assert not library.is_ready("ages") and counting.calls == 0
    head = library.find("ages")
    assert head.classes == load_label_list("ages").classes
    assert library.is_ready("ages") and library.is_ready(head.id)
    assert library.find("ages").id == head.id and counting.calls == 1


@pytest.mark.parametrize("classifier", ["", "nosuch", "../ages", "0" * 32, "x" * 10_000, "\0"])
def test_an_unknown_classifier_is_answered_with_what_to_do(
    classifier: str, library: HeadLibrary
) -> None:
    assert not library.is_ready(classifier)
    with pytest.raises(HeadError, match="create") as caught:
        library.find(classifier)
    assert len(str(caught.value)) < 300


def test_a_head_of_another_model_is_refused_with_both_names(
    library: HeadLibrary, sigmoid_encoder: Encoder, tmp_path: Path
) -> None:
    other = HeadLibrary(sigmoid_encoder, HeadStore(tmp_path / "heads"))
    head = other.create("Pets", ["a {}"], CLASSES)
    with pytest.raises(HeadError, match="again") as caught:
        library.find(head.id)
    message = str(caught.value)
    assert "Pets" in message
    assert sigmoid_encoder.model_name in message and library.encoder.model_name in message


def test_nothing_to_build_is_refused_and_leaves_nothing(
    library: HeadLibrary, tmp_path: Path
) -> None:
    with pytest.raises(ClassNamesError):
        library.create("x", ["a {}"], ())
    with pytest.raises(TemplateError):
        library.create("x", ["a photo"], CLASSES)
    assert list((tmp_path / "heads").iterdir()) == []


def test_memory_holds_only_the_heads_last_used(
    counting: CountingEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = len(CLASSES) * counting.embed_dim * 4  # bytes
    monkeypatch.setattr(library_module, "MAX_HEAD_BYTES_IN_MEMORY", 2 * one)
    library = HeadLibrary(counting, HeadStore(tmp_path))  # type: ignore[arg-type]
    heads = [library.create("x", [f"{i} {{}}"], CLASSES) for i in range(4)]
    assert len(library._recent) == 2
    assert library.find(heads[0].id).id == heads[0].id, "it is still on disk"
    assert counting.calls == 4


def test_all_label_sets_are_ready_after_they_were_prepared(
    library: HeadLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("ages", "cat_breeds")
    assert set(some) <= set(label_list_ids())
    monkeypatch.setattr(library_module, "label_list_ids", lambda: some)
    library.build_label_lists()
    assert all(map(library.is_ready, some))


def test_a_promised_head_is_built_when_it_is_asked_for(
    library: HeadLibrary, counting: CountingEncoder
) -> None:
    promised = library.promise("Pets", ["a {}"], CLASSES)
    assert counting.calls == 0 and not library.is_ready(promised)
    head = library.find(promised)
    assert (head.id, head.name, counting.calls) == (promised, "Pets", 1)
    with pytest.raises(ClassNamesError):
        library.promise("Nothing", ["a {}"], ())


def test_a_full_disk_costs_the_next_start_time_and_not_the_answer(
    library: HeadLibrary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    head = library.create("Pets", ["a {}"], CLASSES)
    assert library.find(head.id).classes == CLASSES
    assert "could not be kept on disk" in caplog.text
    assert list((tmp_path / "heads").iterdir()) == []


def test_a_library_works_without_a_folder(counting: CountingEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    library = HeadLibrary(counting, HeadStore(tmp_path / "file"))  # type: ignore[arg-type]
    head = library.create("Pets", ["a {}"], CLASSES)
    assert library.find(head.id).classes == CLASSES and counting.calls == 1


@pytest.mark.parametrize("half", ["\ud800", "\udfff", "\ud83d cat"])
def test_words_that_a_browser_gives_back_damaged_are_refused_with_a_sentence(
    half: str, library: HeadLibrary
) -> None:
    for ask in (library.create, library.promise):
        with pytest.raises(ClassNamesError, match="damaged character"):
            ask("Pets", ["a {}"], ("cat", half))
        with pytest.raises(TemplateError, match="damaged character"):
            ask("Pets", [half + " {}"], CLASSES)
    with pytest.raises(HeadError) as caught:
        library.find(half)
    str(caught.value).encode()
    assert library.create(f"My{half}", ["a {}"], CLASSES).name.startswith("My")
    promised = library.promise(f"My{half}", ["the {}"], CLASSES)
    library.find(promised).name.encode()
