"""Models arrive from a hub on loopback: whole, in pieces, damaged, refused, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download
from loopback_hub import LoopbackHub
from small_models import FAMILIES, make_model

from classifiers.encoder.load import load_encoder
from classifiers.errors import ModelError
from classifiers.loaded_models import LoadedModels, choose_default
from classifiers.models import hub as hub_module
from classifiers.models.catalog import BUILTIN, CONFIG_FILE, PREFERRED, WEIGHTS_FILE, find_model
from classifiers.process_tuning import DOWNLOAD_CHUNK_BYTES

ROOT = Path(__file__).resolve().parents[3]
REPOSITORY = "people/tiny"
NAME = f"hf-hub:{REPOSITORY}"


@pytest.fixture
def hub(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub that serves the tiny model, and an empty cache."""
    served = LoopbackHub(Path(tiny_model.removeprefix("local-dir:")), REPOSITORY)
    use_hub(served.url, tmp_path / "cache", monkeypatch)
    yield served
    served.close()


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `HF_ENDPOINT` and `HF_HUB_CACHE` would, had they been there at import."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # As a server sets it, so that a cut connection leaves something to go on from.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", DOWNLOAD_CHUNK_BYTES)


@pytest.fixture
def models(tiny_model: str, tmp_path: Path) -> LoadedModels:
    """With the tiny model at work under its local name: the old one that must go on."""
    loaded = LoadedModels(tmp_path / "heads", tiny_model, prepare_label_lists=False)
    loaded.library()
    return loaded


def the_old_model_answers(models: LoadedModels) -> None:
    assert models.library().create("x", ["a {}"], ["cat", "dog"]).classes == ("cat", "dog")


def sentence_of_failure(models: LoadedModels) -> str:
    """Why the model could not be had; as people read it."""
    with pytest.raises(ModelError) as caught:
        models.preload(NAME).result(60)
    sentence = str(caught.value)
    assert models.status(NAME).state == "failed" and models.status(NAME).error == sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 300, sentence
    assert "Traceback" not in sentence and "http://" not in sentence, sentence
    the_old_model_answers(models)
    return sentence


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every `(bytes done, bytes in all)` that downloads report from now on."""
    seen: list[tuple[int, int]] = []
    report_for = LoadedModels._report_download

    def watched(self: LoadedModels, name: str):
        report = report_for(self, name)
        return lambda done, total: (seen.append((done, total)), report(done, total))

    monkeypatch.setattr(LoadedModels, "_report_download", watched)
    return seen


def test_a_model_arrives_with_progress_and_answers_like_its_folder(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(monkeypatch)
    assert models.status(NAME).state == "absent"
    library = models.preload(NAME).result(60)
    assert models.status(NAME).state == "ready"
    size = (next(iter(hub.folders.values())) / WEIGHTS_FILE).stat().st_size
    done = [n for n, _ in seen]
    assert len(done) > 3 and done == sorted(done) and done[-1] == size
    assert {total for _, total in seen} == {size}
    ours = library.encoder.encode_texts(["a cat"])
    assert (ours == models.library().encoder.encode_texts(["a cat"])).all()


def test_a_cut_connection_goes_on_where_it_was_cut(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    seen = watch(monkeypatch)
    hub.cut_after = 3_500_000
    models.preload(NAME).result(60)
    first, second = hub.gets(WEIGHTS_FILE)
    begins_at = int(second[2].removeprefix("bytes=").removesuffix("-"))
    assert first[2] == "" and 0 < begins_at <= 3_500_000
    assert [done for done, _ in seen] == sorted(done for done, _ in seen), "the bar went back"


def test_a_download_that_failed_goes_on_with_the_next_try(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    hub.cut_after, hub.then_refuse = 3_500_000, 503
    assert "503" in sentence_of_failure(models)
    hub.refuse = None
    models.preload(NAME).result(60)
    resumed = hub.gets(WEIGHTS_FILE)[-1]
    assert resumed[2].startswith("bytes=3"), "fetched from the beginning again"


@pytest.mark.parametrize("surplus", [-1, 0, 1, 5_000_000])
def test_an_unfinished_file_that_cannot_become_right_is_fetched_anew(
    surplus: int, hub: LoopbackHub, models: LoadedModels, tmp_path: Path
) -> None:
    """One byte short is gone on with, and so damaged; whatever is longer never could be."""
    weights = hub.folders[REPOSITORY] / WEIGHTS_FILE
    partial = unfinished(weights, tmp_path / "cache")
    partial.write_bytes(bytes(weights.stat().st_size + surplus))
    if surplus < 0:
        assert "damaged" in sentence_of_failure(models)
    assert models.preload(NAME).result(60).encoder.embed_dim == 48
    assert hub.gets(WEIGHTS_FILE)[-1][2] == "", "a range was asked for"
    assert not partial.exists()


def test_an_unfinished_file_that_lacks_only_its_name_is_not_fetched_again(
    hub: LoopbackHub, models: LoadedModels, tmp_path: Path
) -> None:
    weights = hub.folders[REPOSITORY] / WEIGHTS_FILE
    unfinished(weights, tmp_path / "cache").write_bytes(weights.read_bytes())
    models.preload(NAME).result(60)
    assert hub.gets(WEIGHTS_FILE) == []


def unfinished(weights: Path, cache: Path) -> Path:
    """Where an earlier try left what it had of the weights."""
    blobs = cache / f"models--{REPOSITORY.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    return blobs / f"{hashlib.sha256(weights.read_bytes()).hexdigest()}.headsmith-part"


def test_a_wrong_hash_is_told_and_the_file_not_kept(
    hub: LoopbackHub, models: LoadedModels, tmp_path: Path
) -> None:
    hub.wrong_hash = True
    assert "damaged" in sentence_of_failure(models)
    large = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size > 1e6]
    assert large == [], "a damaged file would be loaded at the next start"
    hub.wrong_hash = False
    models.preload(NAME).result(60)


@pytest.mark.parametrize(
    ("status", "gated", "words"),
    [
        (404, False, "has no people/tiny"),
        (401, False, "private"),
        (403, True, "agreement"),
        (403, False, "403|private"),
        (503, False, "503|does not answer"),
    ],
)
def test_a_refusal_is_a_sentence(
    hub: LoopbackHub, models: LoadedModels, status: int, gated: bool, words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import re

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.refuse, hub.gated = status, gated
    assert re.search(words, sentence_of_failure(models))
    assert hub.gets(WEIGHTS_FILE) == []


def test_a_repository_without_open_clip_s_files_is_a_sentence(
    hub: LoopbackHub, models: LoadedModels, tmp_path: Path
) -> None:
    empty = tmp_path / "other"
    empty.mkdir()
    (empty / "model.bin").write_bytes(b"pickle")
    hub.folders[REPOSITORY] = empty
    assert "safetensors" in sentence_of_failure(models)


def test_a_hub_that_is_not_there_is_told_at_once(
    models: LoadedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        use_hub(f"http://127.0.0.1:{unused.getsockname()[1]}", tmp_path / "cache", monkeypatch)
        assert "does not answer" in sentence_of_failure(models)


def test_a_hub_that_hangs_is_told_after_the_time_allowed(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "SECONDS_FOR_AN_ANSWER", 0.2)
    hub.seconds_before_answer = 2.0
    assert "does not answer" in sentence_of_failure(models)
    assert len(hub.requests) == 1, "asked again and again"


def test_a_slow_hub_leaves_the_old_model_at_work(hub: LoopbackHub, models: LoadedModels) -> None:
    hub.seconds_per_block = 0.02
    future = models.preload(NAME)
    while models.status(NAME).done_bytes == 0:
        the_old_model_answers(models)
    status = models.status(NAME)
    assert status.state == "downloading" and 0 < status.done_bytes <= status.total_bytes
    assert not future.done()
    hub.seconds_per_block = 0.0
    future.result(60)


def test_many_who_ask_share_one_download(hub: LoopbackHub, models: LoadedModels) -> None:
    hub.seconds_per_block = 0.005
    with ThreadPoolExecutor(8) as people:
        futures = list(people.map(lambda _: models.preload(NAME), range(8)))
    assert len({id(future.result(60)) for future in futures}) == 1
    assert len(hub.gets(WEIGHTS_FILE)) == 1


def test_two_processes_share_one_download(hub: LoopbackHub, tmp_path: Path) -> None:
    code = (
        f"from classifiers.models import hub; print(hub.download({REPOSITORY!r}, lambda *_: None))"
    )
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    hub.seconds_per_block = 0.02
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    folders = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0] and len(folders) == 1
    assert len(hub.gets(WEIGHTS_FILE)) == 1


def test_a_second_start_needs_no_hub(
    hub: LoopbackHub, models: LoadedModels, tmp_path: Path
) -> None:
    models.preload(NAME).result(60)
    hub.requests.clear()
    hub.close()
    again = LoadedModels(tmp_path / "heads", NAME, prepare_label_lists=False)
    assert again.status(NAME).state == "local"
    assert again.library().encoder.embed_dim == 48
    assert hub.requests == []


def test_a_full_disk_is_told_with_figures_before_anything_is_fetched(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5_000_000))
    sentence = sentence_of_failure(models)
    assert "5 MB free" in sentence and "make room" in sentence
    assert hub.gets(WEIGHTS_FILE) == []


def test_a_disk_that_fills_up_meanwhile_is_a_sentence(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/of/the/server")

    monkeypatch.setattr(hub_module, "http_get", full)
    sentence = sentence_of_failure(models)
    assert "disk is full" in sentence and "/somewhere" not in sentence


def test_a_cache_that_cannot_be_written_is_a_sentence(
    hub: LoopbackHub, models: LoadedModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")  # closed to root too, unlike permissions
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot be written" in sentence_of_failure(models)


def test_offline_never_asks(hub: LoopbackHub, tiny_model: str, tmp_path: Path) -> None:
    models = LoadedModels(tmp_path / "heads", tiny_model, offline=True, prepare_label_lists=False)
    assert "offline" in sentence_of_failure(models)
    assert models.status(PREFERRED).state == "absent"
    assert hub.requests == []


def test_hf_hub_offline_never_asks(
    hub: LoopbackHub, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline" in sentence_of_failure(models)
    assert hub.requests == []


def test_an_answer_never_fetches_a_model(hub: LoopbackHub, models: LoadedModels) -> None:
    with pytest.raises(ModelError, match="not on this machine yet"):
        models.library(NAME)
    assert models.status(NAME).state == "absent"
    assert hub.requests == []


def test_a_default_that_could_not_be_fetched_is_not_tried_by_every_visitor(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.refuse = 404
    models = LoadedModels(tmp_path / "heads", NAME, prepare_label_lists=False)
    models.preload()
    for _ in range(3):
        with pytest.raises(ModelError, match="has no people/tiny"):
            models.library()
    asked = len(hub.requests)
    hub.refuse = None
    with pytest.raises(ModelError):
        models.library()
    assert len(hub.requests) == asked
    models.preload().result(60)  # the button
    the_old_model_answers(models)


def test_auto_begins_with_the_built_in_model_and_asks_nobody(hub: LoopbackHub) -> None:
    assert choose_default("auto") == BUILTIN
    assert choose_default(NAME) == NAME
    assert hub.requests == []


def test_importing_asks_nobody(hub: LoopbackHub) -> None:
    code = (
        "import app, classifiers.models.hub, classifiers.loaded_models, "
        "classifiers.encoder.encoder, ui.page"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert hub.requests == []


def test_a_text_tower_s_own_files_come_from_the_repository_that_has_them(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    """A multilingual model: weights in one repository, words' settings in another."""
    served, tower = tmp_path / "served", tmp_path / "tower"
    served.mkdir()
    tower.mkdir()
    make_model(served, FAMILIES["XLM-RoBERTa"], {})
    alike = load_encoder(f"local-dir:{served}")
    for file in list(served.iterdir()):
        if file.name not in (CONFIG_FILE, WEIGHTS_FILE):
            file.rename(tower / file.name)
    hub.folders["people/multilingual"] = served
    hub.folders["xlm-roberta-base"] = tower
    models = LoadedModels(tmp_path / "heads", prepare_label_lists=False)
    encoder = models.preload("hf-hub:people/multilingual").result(60).encoder
    words = ["cat", "кошка", "猫"]
    assert (encoder.encode_texts(words) == alike.encode_texts(words)).all()

    hub.requests.clear()
    again = LoadedModels(tmp_path / "heads", prepare_label_lists=False, offline=True)
    assert again.library("hf-hub:people/multilingual").encoder.embed_dim == encoder.embed_dim
    assert hub.requests == [], "all of it is on this machine"


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_a_text_tower_that_the_hub_lacks_is_told_before_the_weights_are_fetched(
    missing: str, hub: LoopbackHub, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    make_model(served, FAMILIES["XLM-RoBERTa"], {})
    (served / missing).unlink()
    hub.folders["people/multilingual"] = served
    models = LoadedModels(tmp_path / "heads", prepare_label_lists=False)
    with pytest.raises(ModelError, match="needs the text model xlm-roberta-base"):
        models.preload("hf-hub:people/multilingual").result(60)
    assert hub.gets(WEIGHTS_FILE) == []


def test_the_real_vit_b_32_arrives_in_two_pieces_and_needs_no_hub_the_second_time(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """True architecture, layout and name; random weights, in half precision."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = open_clip.get_model_config("ViT-B-32")
    folder = tmp_path / "served"
    folder.mkdir()
    settings = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    model = open_clip.create_model("ViT-B-32", force_quick_gelu=True).eval()
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS_FILE))
    hub.folders[str(find_model(PREFERRED).repository)] = folder
    size = (folder / WEIGHTS_FILE).stat().st_size

    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    seen = watch(monkeypatch)
    hub.cut_after = size // 2
    models = LoadedModels(tmp_path / "heads", prepare_label_lists=False)
    models.preload(PREFERRED).result(120)
    assert len(hub.gets(WEIGHTS_FILE)) == 2 and hub.gets(WEIGHTS_FILE)[1][2] != ""
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (size, size)

    hub.requests.clear()
    hub.close()
    del models
    assert choose_default("auto") == PREFERRED, "it is on this machine now"
    encoder = (
        LoadedModels(tmp_path / "heads", PREFERRED, prepare_label_lists=False).library().encoder
    )
    assert hub.requests == []
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    with torch.inference_mode():  # with QuickGELU, which the folder's configuration leaves out
        theirs = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["a cat"]), normalize=True)
    assert abs(encoder.encode_texts(["a cat"]) - theirs.numpy()).max() < 1e-5
