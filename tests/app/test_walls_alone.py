"""Behind the gate: Gradio's own check, and the handlers', each without the other."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app import build_application
from classifiers import export_head
from classifiers.errors import HeadsmithError, UploadError
from classifiers.export.cache import ExportCache
from classifiers.loaded_models import LoadedModels
from server.limits import LimitKeeper, Limits
from server.page_gate import PageGate
from server.upload_quota import UploadQuota
from ui import classify_tab, create_section, endpoints, import_head, model_menu, page
from ui import uploads as our_uploads
from ui.state import PictureInHand

Upload = Callable[[str, bytes], str]
OK = 200
KEEPER = LimitKeeper(Limits())
REQUEST: Any = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"))


@pytest.fixture
def secret(tmp_path: Path, photo: Path) -> Path:
    """A picture outside the folder of uploads."""
    path = tmp_path / "secret.jpg"
    path.write_bytes(photo.read_bytes())
    return path


# Gradio's own


@pytest.fixture
def ungated(
    models: LoadedModels,
    exports: ExportCache,
    uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TestClient:
    """A server without the gate, whose function opens whatever path it is given."""

    async def pass_on(self: PageGate, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def read(path: str) -> str:
        return Path(path).read_text()

    monkeypatch.setattr(PageGate, "__call__", pass_on)
    with gr.Blocks() as bare:
        file, text, button = gr.File(), gr.Textbox(), gr.Button()
        button.click(read, file, text, api_name="read", queue=False)
    quota = UploadQuota(uploads, 1_000_000)
    server = build_application(models, bare, LimitKeeper(Limits()), exports, quota)
    return TestClient(server, raise_server_exceptions=False)


def test_gradio_itself_refuses_a_file_that_was_not_uploaded(
    ungated: TestClient, tmp_path: Path, upload: Upload
) -> None:
    def read(path: str) -> Any:
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        return ungated.post("/gradio_api/run/read", json={"data": [file]})

    (tmp_path / "secret.txt").write_text("a secret")
    refused = read(str(tmp_path / "secret.txt"))
    assert refused.status_code != OK and "a secret" not in refused.text
    assert ungated.app.routes[-1].app.blocks.has_launched is True  # type: ignore[attr-defined]
    taken = read(upload("mine.txt", b"my own"))
    assert taken.status_code == OK and taken.json()["data"] == ["my own"], taken.text


# The handlers'


def test_an_upload_is_opened_by_its_path(upload: Upload) -> None:
    path = upload("mine.txt", b"my own")
    with our_uploads.open_upload(path) as file:
        assert file.read() == b"my own"
    with our_uploads.copied_upload(path, 3) as copy:
        assert copy.name == "mine.txt" and copy.read_bytes() == b"my o", "a byte more than it may"
    assert not copy.exists()


def test_a_path_that_leads_out_of_the_uploads_is_refused_alike(
    uploads: Path, secret: Path, upload: Upload
) -> None:
    mine = Path(upload("mine.txt", b"my own"))
    (uploads / "link.jpg").symlink_to(secret)
    (uploads / "linked").symlink_to(secret.parent)
    (uploads / "inner.txt").symlink_to(mine)
    os.mkfifo(uploads / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    sentences = set()
    for path in (
        str(secret),
        str(secret.with_name("missing.jpg")),
        str(uploads / "missing.jpg"),
        str(uploads / "link.jpg"),
        str(uploads / "inner.txt"),
        str(uploads / "linked" / secret.name),
        f"{uploads}/../{secret.name}",
        f"{uploads}/linked/../../{secret.name}",
        str(uploads / "pipe"),
        str(uploads),
        str(mine.parent),
        f"{mine}/x",
        f"{mine}\0",
        "/dev/zero",
        "/proc/self/environ",
        "",
        "x" * 10_000,
        "\ud800",
    ):
        with pytest.raises(UploadError) as caught, our_uploads.open_upload(path):
            pytest.fail(f"opened {path!r}")
        sentences.add(str(caught.value))
        assert not our_uploads.is_upload(path)
    assert len(sentences) == 1, "a difference tells what is there"
    assert len(os.listdir("/proc/self/fd")) == before, "refused, and left open"


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_is_not_followed(
    uploads: Path, secret: Path, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another process might swap it, between any two steps."""
    mine = Path(upload("secret.jpg", b"my own"))
    opened = os.open
    swapped = False

    def swap_first(path: Any, *arguments: Any, **options: Any) -> int:
        nonlocal swapped
        if path == mine.parent.name and not swapped:
            swapped = True
            mine.parent.rename(uploads / "elsewhere")
            mine.parent.symlink_to(secret.parent)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", swap_first)
    monkeypatch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, swap_first})
    with pytest.raises(UploadError), our_uploads.open_upload(str(mine)):
        pytest.fail("the secret was opened")
    assert swapped, "the swap did not happen, so nothing was tried"


def test_a_folder_of_uploads_that_is_reached_by_a_link_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "mine.txt").write_text("my own")
    (tmp_path / "by_link").symlink_to(tmp_path / "real")
    for folder in ("real", "by_link"):
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / folder))
        for path in ("real", "by_link"):
            if (folder, path) != ("real", "by_link"):
                assert our_uploads.is_upload(str(tmp_path / path / "mine.txt"))


def test_another_visitor_s_upload_needs_its_address(upload: Upload) -> None:
    """Which nobody can guess: 32 random bytes."""
    kept = our_uploads.keep_picture(b"data", ".jpg")
    assert our_uploads.is_upload(kept)
    assert len(Path(kept).parent.name) == 64
    assert our_uploads.keep_picture(b"data", ".jpg") != kept


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda message, **_: sentences.append(message))
    return sentences


def test_every_handler_that_takes_a_path_refuses_one_outside(
    models: LoadedModels, uploads: Path, secret: Path, told: list[str], tmp_path: Path
) -> None:
    library = models.library()
    head = export_head(library.find("ages"), tmp_path / "head.safetensors")
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    in_hand, picture = PictureInHand(), str(secret)

    assert classify_tab.look(models, picture, in_hand)[0].embedding is None
    assert "not here any more" in classify_tab.watch(models, picture, in_hand, "ages")[1]
    create_section.read_file(str(words))
    assert import_head.open_file(models, str(head), []) == (gr.skip(), gr.skip())
    assert len(told) == 3 and all("not here any more" in sentence for sentence in told)
    for call in (
        lambda: endpoints.classify(models, picture, "ages"),
        lambda: endpoints.import_head(models, KEEPER, str(head), REQUEST),
    ):
        with pytest.raises(gr.Error, match="not here any more"):
            call()
    with pytest.raises(HeadsmithError, match="not here any more"):
        model_menu._second_opinion(models, library.encoder.model_name, picture, "ages", [], False)
    draft = {"picture": picture}
    *_, shown = page.restore(models, [], draft)
    assert shown == gr.skip()
    *_, now = page.refresh(models, [], draft, "ages", picture)
    assert now.embedding is None
    assert list(uploads.iterdir()) == [], "a copy was kept"


def test_every_handler_that_takes_a_path_takes_an_upload(
    models: LoadedModels, upload: Upload, lion: str, told: list[str], tmp_path: Path
) -> None:
    library = models.library()
    head = export_head(library.find("ages"), tmp_path / "head.safetensors").read_bytes()
    assert classify_tab.look(models, lion, PictureInHand())[0].embedding is not None
    assert "hs-guess" in classify_tab.watch(models, lion, PictureInHand(), "ages")[1]
    assert create_section.read_file(upload("words.txt", b"cat\ndog")) == "cat\ndog"
    assert import_head.open_file(models, upload("head.safetensors", head), [])[0]
    assert endpoints.classify(models, lion, "ages")
    assert endpoints.import_head(models, KEEPER, upload("head.safetensors", head), REQUEST)
    assert model_menu._second_opinion(models, library.encoder.model_name, lion, "ages", [], False)
    assert page.restore(models, [], {"picture": lion})[-1] == lion
    assert told == []


# Pictures within a request


@pytest.mark.parametrize(
    "url",
    ["data:", "data:,", "data:image/jpeg", "data:image/jpeg;base64", "data:text/plain;base64,aGk=",
     "data:image/jpeg;base64,====", "data:image/jpeg;base64,a", "data:image/jpeg;base64,ä",
     "data:image/png;base64,aGk=\n", "data:image/../../x;base64,aGk=", "data:image/jpeg,raw",
     "data:" + "x" * 10_000],
    ids=lambda url: url[:30],
)  # fmt: skip
def test_a_malformed_data_url_is_refused_in_words(url: str) -> None:
    with pytest.raises(HeadsmithError, match=r"data: URL.*[.…]$"):
        our_uploads.read_data_url(url)


def test_a_data_url_larger_than_an_upload_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(our_uploads, "MAX_UPLOAD_BYTES", 3_000_000)
    monkeypatch.setattr(our_uploads.base64, "b64decode", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(HeadsmithError, match="larger than 3 MB"):
        our_uploads.read_data_url("data:image/png;base64," + "A" * 4_000_500)


def test_a_data_url_s_picture_is_kept_among_the_uploads_by_a_suffix_of_ours(
    uploads: Path, photo: Path
) -> None:
    picture = io.BytesIO()
    Image.open(photo).resize((8, 8)).save(picture, "PNG")
    data = base64.b64encode(picture.getvalue()).decode()
    for kind, suffix in (("png", ".png"), ("PNG", ".png"), ("svg+xml", ""), ("x.html", "")):
        path = Path(_keep(f"data:image/{kind};base64,{data}"))
        assert path.suffix == suffix and path.is_relative_to(uploads)
        assert path.read_bytes() == picture.getvalue()


def _keep(url: str) -> str:
    return our_uploads.keep_picture(*our_uploads.read_data_url(url))
