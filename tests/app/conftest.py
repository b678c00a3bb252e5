"""A running app with a tiny model of random weights, and its clients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from browser.running_app import RunningApp, running_app
from gradio import processing_utils
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from sentences import check_sentence

from classifiers.bounded_folder import BoundedFolder
from classifiers.export.cache import ExportCache
from classifiers.loaded_models import LoadedModels


@pytest.fixture(scope="session")
def app(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    with running_app(tmp_path_factory.mktemp("app"), tiny_model) as served:
        yield served


@pytest.fixture(scope="session")
def client(app: RunningApp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    downloads = tmp_path_factory.mktemp("downloads")
    connected = Client(app.url, verbose=False, download_files=str(downloads))
    yield connected
    connected.close()


@pytest.fixture
def http(app: RunningApp) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, timeout=60) as connected:
        yield connected


@pytest.fixture(scope="module")
def models(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> LoadedModels:
    """The tiny model, for handlers that are called directly."""
    loaded = LoadedModels(
        tmp_path_factory.mktemp("heads"), default=tiny_model, prepare_label_lists=False
    )
    loaded.library()
    return loaded


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads of handlers that are called directly: they open nothing elsewhere."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    assert Path(processing_utils.get_upload_folder()) == folder
    return folder


@pytest.fixture
def upload(uploads: Path) -> Callable[[str, bytes], str]:
    """`upload(name, data)`: the path of that file among the uploads."""

    def put(name: str, data: bytes) -> str:
        folder = Path(tempfile.mkdtemp(dir=uploads))
        (folder / name).write_bytes(data)
        return str(folder / name)

    return put


@pytest.fixture
def lion(upload: Callable[[str, bytes], str], photo: Path) -> str:
    """The photograph, uploaded."""
    return upload("lion.jpg", photo.read_bytes())


@pytest.fixture
def exports(tmp_path: Path) -> ExportCache:
    return ExportCache(BoundedFolder(tmp_path / "exports", 1_000_000_000))


@pytest.fixture
def classify(client: Client) -> Callable[..., dict[str, float]]:
    """`/classify` as a function: probabilities by class name, best first."""

    def ask(picture: Path, classifier: str = "ages") -> dict[str, float]:
        answer = client.predict(handle_file(str(picture)), classifier, api_name="/classify")
        return {guess["label"]: guess["confidence"] for guess in answer["confidences"]}

    return ask


@pytest.fixture
def sentence_of() -> Callable[[Callable[[], object]], str]:
    """What a call to the app answers in its error; checks that it is one plain sentence."""

    def sentence(call: Callable[[], object]) -> str:
        with pytest.raises(AppError) as caught:
            call()
        text = str(caught.value)
        check_sentence(text)
        return text

    return sentence
