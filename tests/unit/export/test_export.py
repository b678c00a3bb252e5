"""Exported files hold the head's own numbers, and all that their receiver needs."""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.jit.mobile import _get_model_bytecode_version, _load_for_lite_interpreter

from classifiers.encoder.encoder import Encoder
from classifiers.errors import ExportError
from classifiers.export.export import (
    HEAD_FORMATS,
    estimate_head_bytes,
    export_encoder,
    export_head,
    labels_xml,
    missing_library,
    resource_name,
)
from classifiers.export.frames import FramePreprocessing
from classifiers.export.torchscript import PlainAttention, operators_that_phones_lack
from classifiers.heads.head import Head
from classifiers.images import open_picture

MakeHead = Callable[..., Head]

SAME = 1e-5  # promised: the page's own numbers

# What both of the last PyTorch Mobile releases, 1.13 and 2.1, read: see their
# caffe2/serialize/versions.h, kMinSupported- and kMaxSupportedBytecodeVersion.
BYTECODE_OF_PHONES = range(4, 10)

PT_FORMATS = ["pt", "ptl"]


def load(path: Path) -> Callable[[torch.Tensor], Any]:
    if path.suffix == ".ptl":
        return _load_for_lite_interpreter(str(path))
    return torch.jit.load(str(path))


def assert_same_answers(path: Path, head: Head, embeddings: np.ndarray) -> None:
    """The file and `Head.predict` give the same classes and probabilities, in order."""
    probabilities, indices = load(path)(torch.from_numpy(embeddings))
    k = min(5, len(head.classes))
    assert probabilities.dtype == torch.float32 and indices.dtype == torch.int64
    assert probabilities.shape == indices.shape == (len(embeddings), k)
    for row, prediction in enumerate(head.predict(embeddings, k=5)):
        shown = [guess.class_name for guess in prediction]
        on_phone = [head.classes[i] for i in indices[row]]
        assert on_phone == shown, f"the page shows {shown}, the phone {on_phone}"
        np.testing.assert_allclose(
            probabilities[row].numpy(), [g.probability for g in prediction], atol=SAME
        )


@pytest.mark.parametrize("suffix", PT_FORMATS)
@pytest.mark.parametrize("n_classes", [1, 3, 5, 60])
def test_the_phone_gives_the_page_s_five_answers(
    n_classes: int, suffix: str, make_head: MakeHead, embeddings: np.ndarray, tmp_path: Path
) -> None:
    head = make_head(n_classes)
    path = export_head(head, tmp_path / f"head.{suffix}")
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for x in (embeddings, unit, embeddings[:1], embeddings * 1e3):
        assert_same_answers(path, head, x)


@pytest.mark.parametrize("suffix", PT_FORMATS)
@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "sigmoid", "logit_bias": -2.5},
        {"activation": "sigmoid", "logit_bias": 1.0, "bias": np.linspace(-3, 3, 7, dtype="f4")},
        {"kind": "linear-probe", "bias": np.linspace(-3, 3, 7, dtype="f4")},
        # So sure that float32 probabilities are 0 and 1: the order must not be lost in them.
        {"logit_scale": 500.0},
        {"activation": "sigmoid", "logit_scale": 300.0, "logit_bias": 200.0},
        {"activation": "sigmoid", "logit_scale": 300.0, "logit_bias": -300.0},
    ],
)
def test_bias_activation_and_very_sure_answers_are_the_page_s_too(
    changes: dict[str, Any],
    suffix: str,
    make_head: MakeHead,
    embeddings: np.ndarray,
    tmp_path: Path,
) -> None:
    head = make_head(**changes)
    assert_same_answers(export_head(head, tmp_path / f"head.{suffix}"), head, embeddings)


@pytest.mark.parametrize("suffix", PT_FORMATS)
def test_class_names_and_manifest_lie_inside_the_file(
    suffix: str, make_head: MakeHead, tmp_path: Path
) -> None:
    head = make_head(3, classes=("Côte d'Ivoire", "猫", "<&>"))
    path = export_head(head, tmp_path / f"head.{suffix}")
    if suffix == "pt":
        inside: dict[str, Any] = {"labels.txt": "", "manifest.json": ""}
        torch.jit.load(str(path), _extra_files=inside)
        texts = {name: bytes(data).decode() for name, data in inside.items()}
    else:
        with zipfile.ZipFile(path) as archive:
            texts = {
                Path(name).name: archive.read(name).decode()
                for name in archive.namelist()
                if "/extra/" in name
            }
    assert texts["labels.txt"] == "Côte d'Ivoire\n猫\n<&>\n"
    manifest = json.loads(texts["manifest.json"])
    assert manifest["id"] == head.id
    assert (manifest["n_classes"], manifest["embed_dim"]) == (3, 16)
    assert manifest["model"] == head.model and manifest["fingerprint"] == head.fingerprint
    assert manifest["templates"] == list(head.templates)
    assert (manifest["logit_scale"], manifest["activation"]) == (20.0, "softmax")
    assert manifest["image_size"] == [32, 32]


def test_the_lite_file_is_old_enough_for_the_last_phones(
    make_head: MakeHead, encoder: Encoder, tmp_path: Path
) -> None:
    for path in (
        export_head(make_head(), tmp_path / "head.ptl"),
        export_encoder(encoder, tmp_path / "encoder.ptl"),
        export_encoder(encoder, tmp_path / "frames.ptl", frames=True, precision="int8"),
    ):
        assert _get_model_bytecode_version(str(path)) in BYTECODE_OF_PHONES


def test_every_format_on_offer_is_written(make_head: MakeHead, tmp_path: Path) -> None:
    head = make_head()
    for suffix in HEAD_FORMATS:
        if missing_library(suffix):
            continue  # test_onnx and test_executorch say so
        path = export_head(head, tmp_path / f"head.{suffix}")
        assert path == tmp_path / f"head.{suffix}" and path.stat().st_size > 0, suffix
    assert Head.load(tmp_path / "head.safetensors").id == head.id
    assert (tmp_path / "head.txt").read_text().splitlines() == list(head.classes)
    assert json.loads((tmp_path / "head.json").read_text())["id"] == head.id


@pytest.mark.parametrize("name", ["head.tflite", "head.pkl", "head", "head.", "head.pt.exe"])
def test_a_format_that_is_not_on_offer_is_refused_with_those_that_are(
    name: str, make_head: MakeHead, encoder: Encoder, tmp_path: Path
) -> None:
    for write, thing in ((export_head, make_head()), (export_encoder, encoder)):
        with pytest.raises(ExportError, match="choose pt, ptl"):
            write(thing, tmp_path / name)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------- labels


def as_android_reads(item: str) -> str:
    """What `getStringArray` gives for an item's text: escapes undone.

    Source: Android developer guide, "String resources", on special characters.
    """
    item = re.sub(r"(?<!\\)\s+", " ", item).strip()
    assert not re.search(r"""(?<!\\)(?:\\\\)*['"]""", item), f"a bare quote: {item}"
    assert item[:1] not in ("@", "?"), f"would be taken for a reference: {item}"
    escapes = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), item)


ODD_CLASSES = (
    "Côte d'Ivoire",
    "Piña colada",
    "salt & pepper",
    "a < b > c",
    'the "Boss"',
    "@string/app_name",
    "?attr/colorPrimary",
    "what?",
    "me@home",
    "back\\slash",
    "\\n is not a line",
    "\\'",
    "two\nlines",
    "]]>",
    "<!-- hidden -->",
    "&amp;",
    "&lt;script&gt;",
    "<script>alert(1)</script>",
    "100 % {0} %s",
    "猫",
    "👩‍👩‍👧‍👦",
    "שלום",
)


def test_android_reads_the_class_names_back_as_they_were(make_head: MakeHead) -> None:
    head = make_head(len(ODD_CLASSES), classes=ODD_CLASSES)
    array = ElementTree.fromstring(labels_xml(head).encode()).find("string-array")
    assert array is not None and array.get("name") == "cat_breeds"
    texts = [item.text or "" for item in array]
    assert all(len(item) == 0 for item in array), "a class name became markup"
    assert [as_android_reads(text) for text in texts] == list(ODD_CLASSES)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Côte d'Ivoire", r"Côte d\'Ivoire"),
        ('"', r"\""),
        ("@x", r"\@x"),
        ("?x", r"\?x"),
        ("\\", r"\\"),
        ("a & b", "a &amp; b"),
        ("a\nb", r"a\nb"),
    ],
)
def test_what_android_takes_for_syntax_is_escaped(
    name: str, line: str, make_head: MakeHead
) -> None:
    assert f"<item>{line}</item>" in labels_xml(make_head(1, classes=(name,)))


@pytest.mark.parametrize("odd", [*range(0x20), 0x7F, 0x85, 0x2028, 0xFFFE, 0xFFFF], ids=hex)
def test_labels_of_a_head_from_a_file_can_be_read_whatever_characters_are_in_them(
    odd: int, make_head: MakeHead
) -> None:
    head = make_head(2, classes=(f"cat{chr(odd)}fish", "dog"))
    items = ElementTree.fromstring(labels_xml(head).encode("utf-8")).findall("*/item")
    texts = [as_android_reads(item.text or "") for item in items]
    assert texts[0].startswith("cat") and texts[0].endswith("fish") and texts[1:] == ["dog"]


def test_labels_have_a_line_for_every_index(make_head: MakeHead, tmp_path: Path) -> None:
    head = make_head(3, classes=("one", "two\nlines", "three"))
    lines = export_head(head, tmp_path / "x.txt").read_text().splitlines()
    assert lines == ["one", "two lines", "three"], "every later class would be a wrong one"


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("Cat breeds", "cat_breeds"),
        ("  Röntgen & Co. ", "r_ntgen_co"),
        ("3 little pigs", "classifier_3_little_pigs"),
        ("猫", "classifier"),
        ("", "classifier"),
        ("../../etc/passwd", "etc_passwd"),
        ("a" * 300, "a" * 60),
        ('"><script>', "script"),
        ("new", "new_classifier"),
        ("Switch", "switch_classifier"),
        ("news", "news"),
    ],
)
def test_a_name_becomes_one_that_android_and_file_systems_take(name: str, resource: str) -> None:
    assert resource_name(name) == resource


# ----------------------------------------------------------------------------------- zip


def test_the_zip_holds_everything_with_its_checksums_and_a_page_to_read(
    make_head: MakeHead, embeddings: np.ndarray, tmp_path: Path
) -> None:
    head = make_head(name="Côte d'Ivoire's {best}")
    stem = resource_name(head.name)
    with zipfile.ZipFile(export_head(head, tmp_path / "all.zip")) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "all")
    folder = tmp_path / "all"
    weights = {f"{stem}.pt", f"{stem}.ptl", f"{stem}.safetensors", "labels.xml", "labels.txt"}
    weights |= {f"{stem}.{suffix}" for suffix in ("onnx", "pte") if not missing_library(suffix)}
    assert {path.name for path in folder.iterdir()} == weights | {"manifest.json", "README.md"}
    manifest = json.loads((folder / "manifest.json").read_text())
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in weights}
    assert manifest["sha256"] == digests
    assert_same_answers(folder / f"{stem}.pt", head, embeddings)
    assert_same_answers(folder / f"{stem}.ptl", head, embeddings)
    assert Head.load(folder / f"{stem}.safetensors").id == head.id
    page = (folder / "README.md").read_text()
    for needed in (
        "Kotlin",
        "Java",
        "C++",
        "Python",
        "LiteModuleLoader.load",
        f"R.array.{stem}",
        head.name,
    ):
        assert needed in page, f"the page says nothing of {needed}"
    assert "{stem}" not in page and "{{" not in page, "a placeholder was left"


# --------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("suffix", list(HEAD_FORMATS))
@pytest.mark.parametrize(("n_classes", "embed_dim"), [(1, 16), (70, 384), (4_000, 384)])
def test_the_size_told_before_the_download_is_about_right(
    n_classes: int, embed_dim: int, suffix: str, make_head: MakeHead, tmp_path: Path
) -> None:
    if missing_library(suffix):
        pytest.skip(f"no {missing_library(suffix)} here (requirements-export.txt)")
    head = make_head(n_classes, embed_dim)
    real = export_head(head, tmp_path / f"head.{suffix}").stat().st_size
    told = estimate_head_bytes(head, suffix)
    # Within a tenth, or the 20 kB that TorchScript's own code may take.
    assert abs(told - real) <= max(0.1 * real, 20_000), f"told {told:,}, came as {real:,}"


# ------------------------------------------------------------------------------- encoder


@pytest.mark.parametrize("suffix", PT_FORMATS)
@pytest.mark.parametrize("model", ["encoder", "sigmoid_encoder"])
def test_the_exported_encoder_sees_what_the_page_s_encoder_sees(
    model: str, suffix: str, photo: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    encoder: Encoder = request.getfixturevalue(model)
    lion = open_picture(photo).resize((32, 32))
    pictures = [lion, lion.transpose(Image.Transpose.ROTATE_90), Image.new("RGB", (32, 32), "red")]
    pixels = np.stack([np.asarray(p) for p in pictures]).transpose(0, 3, 1, 2) / np.float32(255)
    run = load(export_encoder(encoder, tmp_path / f"encoder.{suffix}"))
    expected = encoder.encode_images(pictures)
    # Optimising takes TorchScript seconds and changes no number.
    with torch.no_grad(), torch.jit.optimized_execution(False):
        for n in (1, 2, 3):  # any number of pictures at once
            got = run(torch.from_numpy(pixels[:n].copy())).numpy()
            np.testing.assert_allclose(got, expected[:n], atol=SAME)


def test_encoder_and_head_on_the_phone_give_the_page_s_answer(
    encoder: Encoder, photo: Path, tmp_path: Path
) -> None:
    from classifiers.heads.zero_shot import build_zero_shot_head

    head = build_zero_shot_head(encoder, ["lion", "cat", "dog", "car"], ["a {}"], name="x")
    picture = open_picture(photo).resize((32, 32))
    pixels = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1) / np.float32(255))[None]
    see = load(export_encoder(encoder, tmp_path / "encoder.ptl"))
    answer = load(export_head(head, tmp_path / "head.ptl"))
    with torch.no_grad(), torch.jit.optimized_execution(False):
        probabilities, indices = answer(see(pixels))
    (prediction,) = head.predict(encoder.encode_images([picture]))
    assert [head.classes[i] for i in indices[0]] == [g.class_name for g in prediction]
    np.testing.assert_allclose(
        probabilities[0].numpy(), [g.probability for g in prediction], atol=SAME
    )


def test_the_encoder_s_manifest_tells_how_to_prepare_a_picture(
    encoder: Encoder, tmp_path: Path
) -> None:
    inside: dict[str, Any] = {"manifest.json": ""}
    torch.jit.load(str(export_encoder(encoder, tmp_path / "e.pt")), _extra_files=inside)
    manifest = json.loads(bytes(inside["manifest.json"]))
    assert manifest["model"] == encoder.model_name
    assert manifest["fingerprint"] == encoder.fingerprint
    assert manifest["image_size"] == [32, 32] and manifest["embed_dim"] == 48
    assert (manifest["mean"], manifest["std"]) == ([0.5] * 3, [0.25] * 3)
    assert {"resize", "interpolation", "crop", "input"} <= manifest.keys()


def test_exporting_does_not_disturb_the_encoder(
    encoder: Encoder, photo: Path, tmp_path: Path
) -> None:
    picture = open_picture(photo)
    before = encoder.encode_images([picture])
    export_encoder(encoder, tmp_path / "encoder.pt")
    np.testing.assert_array_equal(encoder.encode_images([picture]), before)


# --------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("image_size", [(32, 32), (64, 48)])
def test_a_frame_is_resized_and_cropped_as_the_page_does_it(
    image_size: tuple[int, int], resize_mode: str, interpolation: str, photo: Path
) -> None:
    from open_clip.transform import image_transform

    page = image_transform(
        image_size, False, (0.0,) * 3, (1.0,) * 3, resize_mode, interpolation, fill_color=7
    )
    phone = FramePreprocessing(image_size, resize_mode, interpolation, 8, fill=7)
    scripted = torch.jit.script(phone.eval())
    for size in [(640, 480), (481, 333), (20, 31), (33, 47), (64, 200), image_size[::-1]]:
        picture = open_picture(photo).resize(size)
        pixels = scripted(torch.from_numpy(np.array(picture))[None])[0]
        # Pillow sums in whole numbers and we in float32, so what lies within a hair of a half
        # is rounded the other way, once across and once down: two steps of 255.
        np.testing.assert_allclose(pixels, page(picture), atol=2.01 / 255, err_msg=str(size))


@pytest.mark.parametrize("suffix", PT_FORMATS)
def test_camera_frames_of_any_size_are_seen_as_the_page_sees_pictures(
    suffix: str, encoder: Encoder, photo: Path, tmp_path: Path
) -> None:
    run = load(export_encoder(encoder, tmp_path / f"frames.{suffix}", frames=True))
    lion = open_picture(photo)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        for size in [(640, 480), (480, 641), (31, 20), (1000, 40)]:
            pictures = [lion.resize(size), lion.resize(size).rotate(180)]
            rows = run(torch.from_numpy(np.stack([np.array(p) for p in pictures]))).numpy()
            cosines = (rows * encoder.encode_images(pictures)).sum(axis=1)
            # One pixel in a thousand is off by 1/255 (see above); measured: 1 - 2e-7 here and
            # with the built-in model.
            assert cosines.min() > 1 - 1e-4, f"frames of {size} are seen differently"


def test_only_torchscript_takes_camera_frames(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="choose pt, ptl"):
        export_encoder(encoder, tmp_path / "frames.onnx", frames=True)


def test_an_operator_that_phones_lack_is_named() -> None:
    class Newer(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x).relu()

    traced = torch.jit.trace(Newer(), torch.ones(1, 2, 4, 4))
    assert operators_that_phones_lack(traced) == {"aten::scaled_dot_product_attention"}
    with PlainAttention():
        traced = torch.jit.trace(Newer(), torch.ones(1, 2, 4, 4))
    assert operators_that_phones_lack(traced) == set()


@pytest.mark.parametrize("make", ["open_clip", "timm"])
def test_attention_is_recorded_in_operators_that_phones_have(make: str) -> None:
    if make == "open_clip":
        from open_clip.transformer import VisionTransformer

        tower: torch.nn.Module = VisionTransformer(32, 16, 64, 2, 2, 4.0, output_dim=32)
    else:
        import timm

        tower = timm.create_model(
            "vit_tiny_patch16_224", img_size=32, global_pool="map", class_token=False, depth=2
        )
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        with PlainAttention():
            traced = torch.jit.trace(tower.eval(), x)
        assert operators_that_phones_lack(traced) == set()
        np.testing.assert_allclose(traced(x), tower(x), atol=SAME)
