"""Exported files are written once, and page and API give out the same ones."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from classifiers import Encoder, Head
from classifiers.bounded_folder import BoundedFolder
from classifiers.errors import ExportError
from classifiers.export import cache as module
from classifiers.export.cache import ExportCache


@pytest.fixture
def exports(tmp_path: Path) -> ExportCache:
    return ExportCache(BoundedFolder(tmp_path / "exports", 1_000_000_000))


def test_a_head_is_written_once_for_page_and_api(
    exports: ExportCache, make_head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_head()
    first = exports.head_file(head, "txt")
    monkeypatch.setattr(module, "export_head", lambda *_, **__: pytest.fail("written again"))
    assert exports.head_file(replace(head), "txt") == first
    assert first.name == "cat_breeds.txt"


def test_what_makes_another_file_is_another_file(
    exports: ExportCache, make_head: Callable[..., Head]
) -> None:
    head = make_head()
    files = [
        exports.head_file(head, "json"),
        exports.head_file(replace(head, name="Another name"), "json"),
        exports.head_file(head, "pt"),
        exports.head_file(head, "pt", "float16"),
        exports.head_file(make_head(n_classes=3), "json"),
    ]
    assert len({path.parent for path in files}) == len(files)
    assert "Another name" in files[1].read_text(encoding="utf-8")
    assert files[2].read_bytes() != files[3].read_bytes()


def test_an_encoder_is_written_once_for_each_of_its_forms(
    exports: ExportCache, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[dict[str, object]] = []

    def write(_: Encoder, path: Path, **form: object) -> None:
        written.append(form)
        path.write_bytes(b"an encoder")

    monkeypatch.setattr(module, "export_encoder", write)
    forms: list[dict[str, object]] = [{}, {"frames": True}, {"precision": "int8"}]
    for _ in range(2):
        paths = {exports.encoder_file(encoder, "pt", **form) for form in forms}  # type: ignore[arg-type]
        assert len(paths) == 3
    assert len(written) == 3
    with pytest.raises(ExportError, match="choose"):
        exports.encoder_file(encoder, "pt", precision="../../x")


def test_exports_leave_nothing_in_the_temporary_folder(
    exports: ExportCache,
    make_head: Callable[..., Head],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for n in range(20):
        suffix = "zip" if n == 0 else ("safetensors", "xml", "json", "txt")[n % 4]
        exports.head_file(make_head(name=f"Head {n}"), suffix)
    assert list(temporary.iterdir()) == []
    files = [path for path in (tmp_path / "exports").rglob("*") if path.is_file()]
    assert len(files) == 20


def test_clients_at_once_get_one_whole_file(
    exports: ExportCache, make_head: Callable[..., Head]
) -> None:
    head = make_head(n_classes=200)
    with ThreadPoolExecutor(8) as pool:
        contents = set(
            pool.map(lambda _: exports.head_file(head, "safetensors").read_bytes(), range(24))
        )
    assert len(contents) == 1 and Head.load(exports.head_file(head, "safetensors")).id == head.id


def test_a_full_disk_is_told_in_a_sentence(
    exports: ExportCache, make_head: Callable[..., Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/folder")

    monkeypatch.setattr(module, "export_head", fail)
    with pytest.raises(ExportError) as caught:
        exports.head_file(make_head(), "txt")
    sentence = str(caught.value)
    assert "No space left on device" in sentence and sentence.endswith(".")
    assert "/secret" not in sentence


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(
    tmp_path: Path, make_head: Callable[..., Head]
) -> None:
    (tmp_path / "a file").write_text("where a folder is wanted")
    exports = ExportCache(BoundedFolder(tmp_path / "a file" / "exports", 1_000))
    with pytest.raises(ExportError, match=r"could not keep the file.*\.$") as caught:
        exports.head_file(make_head(), "txt")
    assert str(tmp_path) not in str(caught.value)
