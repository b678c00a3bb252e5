"""The HTTP API in this process, with the tiny model: every route, every kind of bad input."""

from __future__ import annotations

import dataclasses
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image

from app import build_application
from classifiers import Encoder, Head, export_head, open_picture
from classifiers.bounded_folder import BoundedFolder
from classifiers.export.cache import ExportCache
from classifiers.export.export import HEAD_FORMATS
from classifiers.heads.library import HeadLibrary
from classifiers.loaded_models import LoadedModels
from classifiers.words.label_lists import label_list_ids
from server import body_limit
from server.limits import LimitKeeper, Limits, network_of
from server.upload_quota import UploadQuota

OK, NOT_MODIFIED, NOT_FOUND, NOT_ALLOWED = 200, 304, 404, 405
TOO_LARGE, UNUSABLE, TOO_MANY, DEFECT = 413, 422, 429, 500


@pytest.fixture(scope="module")
def models(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> LoadedModels:
    loaded = LoadedModels(tmp_path_factory.mktemp("heads"), tiny_model, prepare_label_lists=False)
    loaded.library()
    return loaded


@pytest.fixture(scope="module")
def library(models: LoadedModels) -> HeadLibrary:
    return models.library()


Serve = Callable[..., TestClient]


@pytest.fixture(scope="module")
def serve(models: LoadedModels, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """`serve(limit=…)`: a client of a new server with these limits, else with none."""

    def make(**limits: int) -> TestClient:
        none = {field.name: 0 for field in dataclasses.fields(Limits)}
        with gr.Blocks() as page:
            gr.Markdown("the page")
        exports = ExportCache(BoundedFolder(tmp_path_factory.mktemp("exports"), 1_000_000_000))
        quota = UploadQuota(tmp_path_factory.mktemp("uploads"), 1_000_000_000)
        keeper = LimitKeeper(Limits(**{**none, **limits}))
        server = build_application(models, page, keeper, exports, quota)
        return TestClient(server, raise_server_exceptions=False)

    return make


@pytest.fixture(scope="module")
def api(serve: Serve) -> Iterator[TestClient]:
    yield serve()


def detail(response: Response, status: int) -> str:
    """The sentence of an error; checks that it is one, and tells nothing of the server."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    text = response.json()["detail"]
    assert 10 < len(text) < 400 and text.endswith("."), text
    for leak in ("Traceback", "/tmp", "/home", "/usr", ".py", "\n", "pydantic"):
        assert leak not in response.text, f"{leak!r} in {response.text!r}"
    return str(text)


def as_head(response: Response, folder: Path) -> Head:
    assert response.status_code == OK, response.text
    path = folder / "head.safetensors"
    path.write_bytes(response.content)
    return Head.load(path)


# What there is


def test_the_server_says_that_it_is_ready(api: TestClient, tiny_model: str) -> None:
    answer = api.get("/api/v1/healthz").json()
    assert answer == {"status": "ok", "model": tiny_model, "ready": True}


def test_every_label_set_is_listed(api: TestClient) -> None:
    listed = api.get("/api/v1/classifiers").json()
    assert [entry["id"] for entry in listed] == list(label_list_ids())
    assert all(entry["n_classes"] > 1 and "{" in entry["templates"][0] for entry in listed)


def test_the_description_names_every_route_and_loads_nothing_from_elsewhere(
    api: TestClient,
) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert set(paths) >= {
        "/api/v1/healthz",
        "/api/v1/classifiers",
        "/api/v1/classifiers/{classifier}/head",
        "/api/v1/heads",
        "/api/v1/classify",
        "/api/v1/encoder",
    }
    assert set(paths["/api/v1/heads"]) == {"get", "post"}
    page = api.get("/docs").text
    assert "http://" not in page and "https://" not in page, page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs-assets/{asset}" in page
        assert api.get(f"/docs-assets/{asset}").status_code == OK


def test_the_page_is_served_beside_it(api: TestClient) -> None:
    assert "gradio" in api.get("/").text


# Heads


@pytest.mark.parametrize("suffix", HEAD_FORMATS)
def test_a_label_set_comes_in_every_format(
    api: TestClient, library: HeadLibrary, tmp_path: Path, suffix: str
) -> None:
    response = api.get("/api/v1/classifiers/ages/head", params={"format": suffix})
    if response.status_code == UNUSABLE and "not installed" in response.text:
        pytest.skip(detail(response, UNUSABLE))
    assert response.status_code == OK, response.text
    assert response.headers["Content-Disposition"] == f'attachment; filename="ages.{suffix}"'
    head = library.find("ages")
    assert response.headers["X-Classifier-Id"] == head.id
    if suffix in ("xml", "txt", "json"):  # the others hold times, names, or an order by chance
        expected = export_head(head, tmp_path / f"ages.{suffix}").read_bytes()
        assert response.content == expected


def test_the_weights_in_the_file_are_those_of_the_head(
    api: TestClient, library: HeadLibrary, tmp_path: Path
) -> None:
    response = api.get("/api/v1/classifiers/ages/head", params={"format": "safetensors"})
    head = as_head(response, tmp_path)
    np.testing.assert_array_equal(head.weights, library.find("ages").weights)
    assert head.metadata() == library.find("ages").metadata()


def test_the_file_computes_what_the_head_does(
    api: TestClient, library: HeadLibrary, encoder: Encoder, photo: Path
) -> None:
    embedding = encoder.encode_images([open_picture(photo, for_size=encoder.image_size)])
    made = api.get("/api/v1/heads", params={"classes": "cat,dog,lion,spider,bus,tower"})
    module = torch.jit.load(io.BytesIO(made.content))
    probabilities, indices = module(torch.from_numpy(embedding))
    head = library.find(made.headers["X-Classifier-Id"])
    expected = head.predict(embedding)[0]
    assert [head.classes[i] for i in indices[0].tolist()] == [g.class_name for g in expected]
    # float32 on the phone, float64 in predict
    np.testing.assert_allclose(probabilities[0], [g.probability for g in expected], atol=1e-5)


def test_words_by_query_are_separated_by_commas_or_lines(api: TestClient, tmp_path: Path) -> None:
    for classes in ("cat, dog,piña colada", "cat\ndog\npiña colada", "cat\r\ndog, piña colada"):
        wanted = {"name": "Pets", "classes": classes, "format": "safetensors", "template": "my {}"}
        head = as_head(api.get("/api/v1/heads", params=wanted), tmp_path)
        assert head.classes == ("cat", "dog", "piña colada")
        assert head.templates == ("my {}",) and head.name == "Pets"


def test_the_old_apps_template_is_understood(api: TestClient, tmp_path: Path) -> None:
    query = {"template": "a photo of NAME", "classes": "cat,dog", "format": "safetensors"}
    assert len(as_head(api.get("/api/v1/heads", params=query), tmp_path).classes) == 2


def test_classes_of_json_are_taken_as_they_are(api: TestClient, tmp_path: Path) -> None:
    classes = [
        "Washington, D.C.",
        "two\nlines",
        'the "Grand" Hotel',
        "Côte d'Ivoire",
        '"',
        "- dash",
        "# hash",
    ]
    wanted = {"classes": classes, "name": "Odd, “names”", "format": "safetensors"}
    head = as_head(api.post("/api/v1/heads", json=wanted), tmp_path)
    assert head.classes == tuple(name.replace("\n", " ") for name in classes)
    assert head.name == "Odd, “names”"


def test_get_and_post_make_the_same_head(api: TestClient) -> None:
    got = api.get("/api/v1/heads", params={"classes": "cat,dog", "template": "a {}"})
    posted = api.post("/api/v1/heads", json={"classes": ["cat", "dog"], "template": "a {}"})
    assert got.headers["X-Classifier-Id"] == posted.headers["X-Classifier-Id"]
    assert got.headers["ETag"] == posted.headers["ETag"]


def test_a_made_head_is_found_by_its_id(api: TestClient, tmp_path: Path) -> None:
    made = api.post("/api/v1/heads", json={"classes": ["ant", "bee"]}).headers["X-Classifier-Id"]
    again = api.get(f"/api/v1/classifiers/{made}/head", params={"format": "safetensors"})
    assert as_head(again, tmp_path).id == made


# Copies that a client keeps


def test_what_a_client_has_is_not_sent_again(api: TestClient) -> None:
    wanted = {"classes": "cat,dog", "format": "txt"}
    tag = api.get("/api/v1/heads", params=wanted).headers["ETag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = api.get("/api/v1/heads", params=wanted, headers={"If-None-Match": known})
        assert again.status_code == NOT_MODIFIED and not again.content
        assert again.headers["ETag"] == tag and "Cache-Control" in again.headers
    other = {**wanted, "classes": "cat,cow"}
    headers = {"If-None-Match": tag}
    assert api.get("/api/v1/heads", params=other, headers=headers).status_code == OK
    other = {**wanted, "format": "xml"}
    assert api.get("/api/v1/heads", params=other, headers=headers).status_code == OK
    other = {**wanted, "name": "Another name"}
    assert api.get("/api/v1/heads", params=other, headers=headers).status_code == OK


def test_only_an_id_is_kept_for_ever(api: TestClient) -> None:
    """A label set or some words give another head once another model answers."""
    made = api.get("/api/v1/heads", params={"classes": "cat,dog", "format": "txt"})
    assert "must-revalidate" in made.headers["Cache-Control"]
    shipped = api.get("/api/v1/classifiers/ages/head", params={"format": "txt"})
    assert "must-revalidate" in shipped.headers["Cache-Control"]
    path = f"/api/v1/classifiers/{made.headers['X-Classifier-Id']}/head"
    assert "immutable" in api.get(path, params={"format": "txt"}).headers["Cache-Control"]


def test_the_encoder_is_written_once_and_asked_for_again_cheaply(
    api: TestClient, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.get("/api/v1/encoder")
    assert first.status_code == OK
    module = torch.jit.load(io.BytesIO(first.content))
    assert module(torch.rand(2, 3, *encoder.image_size)).shape == (2, encoder.embed_dim)
    monkeypatch.setattr(
        "classifiers.export.cache.export_encoder", lambda *_, **__: pytest.fail("written again")
    )
    assert api.get("/api/v1/encoder").content == first.content
    headers = {"If-None-Match": first.headers["ETag"]}
    assert api.get("/api/v1/encoder", headers=headers).status_code == NOT_MODIFIED


def test_camera_frames_and_fewer_bits_are_had_by_asking(api: TestClient, encoder: Encoder) -> None:
    whole = api.get("/api/v1/encoder").content
    rounded = api.get("/api/v1/encoder", params={"frames": True, "precision": "int8"})
    assert rounded.status_code == OK and len(rounded.content) < len(whole)
    module = torch.jit.load(io.BytesIO(rounded.content))
    frames = torch.randint(0, 255, (2, 40, 50, 3), dtype=torch.uint8)
    assert module(frames).shape == (2, encoder.embed_dim)
    head = {"classes": "cat, dog", "format": "pt"}
    first = api.get("/api/v1/heads", params=head)
    half = api.get("/api/v1/heads", params={**head, "precision": "float16"})
    assert half.status_code == OK and half.headers["ETag"] != first.headers["ETag"]
    assert torch.jit.load(io.BytesIO(half.content)).weights.dtype == torch.float16


@pytest.mark.parametrize(
    "query",
    [
        "encoder?precision=int3",
        "encoder?precision=../../x",
        "encoder?format=onnx&frames=true",
        "heads?classes=a,b&precision=int3",
        "heads?classes=a,b&format=txt&precision=int8",
    ],
)
def test_a_precision_or_variant_that_is_not_on_offer_is_refused(
    api: TestClient, query: str
) -> None:
    assert "choose" in detail(api.get(f"/api/v1/{query}"), UNUSABLE)


# Pictures


def classify(api: TestClient, data: bytes, classifier: str = "ages") -> Response:
    return api.post(
        "/api/v1/classify", files={"picture": ("photo", data)}, data={"classifier": classifier}
    )


def test_a_picture_is_classified_as_the_library_does(
    api: TestClient, library: HeadLibrary, photo: Path, tiny_model: str
) -> None:
    answer = classify(api, photo.read_bytes()).json()
    picture = open_picture(photo, for_size=library.encoder.image_size)
    expected = library.find("ages").predict(library.encoder.encode_images([picture]))[0]
    assert answer["classifier"] == "ages" and answer["model"] == tiny_model
    assert answer["none_of_these"] is False
    assert [g["class_name"] for g in answer["guesses"]] == [g.class_name for g in expected]
    for given, guess in zip(answer["guesses"], expected, strict=True):
        assert given["probability"] == pytest.approx(guess.probability, abs=1e-5)
        assert given["similarity"] == pytest.approx(guess.similarity, abs=1e-5)


def test_a_phones_heic_picture_is_read(api: TestClient, photo: Path) -> None:
    file = io.BytesIO()
    Image.open(photo).save(file, "HEIF")
    assert len(classify(api, file.getvalue()).json()["guesses"]) == 5


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "empty"), (b"no picture", "not a picture"), (b"<svg></svg>", "SVG")],
)
def test_what_is_no_picture_is_said_so(api: TestClient, data: bytes, says: str) -> None:
    assert says in detail(classify(api, data), UNUSABLE)


def test_a_cut_off_picture_is_said_so(api: TestClient, photo: Path) -> None:
    assert "damaged" in detail(classify(api, photo.read_bytes()[:3000]), UNUSABLE)


def test_a_form_without_a_picture_is_said_so(api: TestClient) -> None:
    assert "picture" in detail(api.post("/api/v1/classify", data={}), UNUSABLE)


def test_a_picture_too_large_is_refused_before_it_is_read(
    api: TestClient,
) -> None:
    sentence = detail(classify(api, bytes(body_limit.OF_PICTURES.max_bytes)), TOO_LARGE)
    assert "50 MB" in sentence
    assert "50 MB" in detail(classify(api, bytes(body_limit.MAX_PICTURE_BYTES + 1)), TOO_LARGE)


def test_an_endless_body_is_not_swallowed(api: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
        while sent < 3 * body_limit.OF_PICTURES.max_bytes:
            sent += 1_000_000
            yield bytes(1_000_000)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = api.post("/api/v1/classify", content=endless(), headers=headers)
    assert "50 MB" in detail(response, TOO_LARGE)


# Mistakes


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "classes"),
        ({"classes": ""}, "class"),
        ({"classes": " , ,\n"}, "class"),
        ({"classes": "a,b", "template": "no place"}, "{}"),
        ({"classes": "a,b", "format": "exe"}, "exe"),
        ({"classes": "a,b", "format": "../pt"}, "use pt"),
        ({"classes": ",".join(map(str, range(20_001)))}, "20,00"),
    ],
)
def test_words_that_make_no_head_are_said_so(
    api: TestClient, query: dict[str, str], says: str
) -> None:
    # Many classes do not fit into an address; the same words come as JSON.
    if len(query.get("classes", "")) < 1000:
        assert says in detail(api.get("/api/v1/heads", params=query), UNUSABLE)
    if "classes" in query:
        body = {**query, "classes": query["classes"].split(",")}
        assert says in detail(api.post("/api/v1/heads", json=body), UNUSABLE)


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"classes": "cat"}', '{"classes": []}', '{"classes": [1]}']
)
def test_a_body_of_another_form_is_said_so(api: TestClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    detail(api.post("/api/v1/heads", content=body, headers=headers), UNUSABLE)


@pytest.mark.parametrize("classifier", ["no-such", "0" * 32, "%2e%2e%2fetc", "a" * 5000])
def test_an_unknown_classifier_is_said_so(api: TestClient, photo: Path, classifier: str) -> None:
    answer = api.get(f"/api/v1/classifiers/{classifier}/head")
    detail(answer, NOT_FOUND)
    assert "no classifier" in detail(classify(api, photo.read_bytes(), classifier), NOT_FOUND)


def test_an_unknown_encoder_format_is_said_so(api: TestClient) -> None:
    assert "bmp" in detail(api.get("/api/v1/encoder", params={"format": "bmp"}), UNUSABLE)


def test_an_address_or_method_that_is_not_there_gets_json_and_not_the_page(
    api: TestClient,
) -> None:
    for path in ("/api/v1/", "/api/v1/headz", "/api/v1/classifiers/ages", "/api/v1/heads/x"):
        assert "/docs" in detail(api.get(path), NOT_FOUND)
    response = api.delete("/api/v1/heads")
    assert "GET, POST" in detail(response, NOT_ALLOWED)
    assert response.headers["Allow"] == "GET, POST"
    assert "POST" in detail(api.get("/api/v1/classify"), NOT_ALLOWED)
    assert "GET" in detail(api.post("/api/v1/classifiers/ages/head"), NOT_ALLOWED)


def test_a_defect_of_ours_tells_the_client_nothing(
    api: TestClient, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> HeadLibrary:
        raise RuntimeError("/home/secret/file.py is broken")

    monkeypatch.setattr(models, "library", broken)
    sentence = detail(api.get("/api/v1/heads", params={"classes": "cat,dog"}), DEFECT)
    assert "secret" not in sentence
    with pytest.raises(RuntimeError, match="secret"):  # goes on to uvicorn, which logs it
        TestClient(api.app).get("/api/v1/heads", params={"classes": "cat,dog"})


# Limits


def test_asking_too_often_is_refused_until_later(serve: Serve) -> None:
    api = serve(requests_a_minute=3)
    for _ in range(3):
        assert api.get("/api/v1/classifiers").status_code == OK
    response = api.get("/api/v1/classifiers")
    assert "3 requests a minute" in detail(response, TOO_MANY)
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert api.get("/api/v1/healthz").status_code == OK, "a load balancer's question is free"
    assert api.get("/").status_code == OK, "the page is no part of the API"


def test_only_new_heads_are_counted(serve: Serve, library: HeadLibrary) -> None:
    api = serve(new_heads_a_day=2)

    def make(classes: str) -> Response:
        return api.get("/api/v1/heads", params={"classes": classes, "format": "txt"})

    known = "cat,dog,counted once"
    for _ in range(3):
        assert make(known).status_code == OK
    assert make("cat,dog,the second").status_code == OK
    response = make("cat,dog,the third")
    assert "2 new classifiers a day" in detail(response, TOO_MANY)
    assert 1 <= int(response.headers["Retry-After"]) <= 24 * 3600
    assert make(known).status_code == OK, "what is there already stays free"
    assert api.get("/api/v1/classifiers/ages/head?format=txt").status_code == OK


def test_a_head_of_too_many_classes_is_refused_and_not_counted(serve: Serve) -> None:
    api = serve(classes_a_head=3, new_heads_a_day=1)
    many = {"classes": "one,two,three,four", "format": "txt"}
    assert "3 is the most" in detail(api.get("/api/v1/heads", params=many), UNUSABLE)
    detail(api.get("/api/v1/heads", params={"classes": ","}), UNUSABLE)
    fewer = {"classes": "one,two,three", "format": "txt"}
    assert api.get("/api/v1/heads", params=fewer).status_code == OK


def test_a_client_of_ipv6_is_its_network() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert network_of("testclient") == "testclient"


# Many at once


def test_slow_work_does_not_keep_the_page_waiting(
    api: TestClient, models: LoadedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests in line hold none of the threads that files of the page are read with."""
    library = models.library()
    ages = library.find("ages")
    go_on = threading.Event()

    def slow(_: str) -> Head:
        go_on.wait(60)
        return ages

    with api, ThreadPoolExecutor(61) as pool:  # one loop for all of them, as in the server
        monkeypatch.setattr(library, "find", slow)
        address = "/api/v1/classifiers/x/head?format=txt"
        waiting = [pool.submit(api.get, address) for _ in range(60)]
        try:
            time.sleep(0.5)  # more threads than the loop has would be taken by now
            ready = pool.submit(api.get, "/api/v1/healthz").result(timeout=20)
            assert ready.status_code == OK
            assert not any(future.done() for future in waiting)
        finally:
            go_on.set()
        assert [future.result().status_code for future in waiting] == [OK] * 60
