"""Files out and in: fewer bits, encoders of camera frames, heads that were made elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from browser.visitor import Visitor
from playwright.sync_api import expect

from classifiers import Encoder, build_zero_shot_head, export_head


def choose(visitor: Visitor, menu: str, option: str | re.Pattern[str]) -> None:
    visitor.page.get_by_role("combobox", name=menu, exact=True).click()
    visitor.page.get_by_role("option", name=option).click()


def test_a_smaller_file_tells_what_it_changes_before_it_is_made(
    visitor: Visitor, tmp_path: Path
) -> None:
    whole = visitor.download(tmp_path)
    choose(visitor, "Weights", "8-bit weights")
    change = visitor.page.locator("#hs-export-change")
    expect(change).to_contain_text(re.compile(r"Same best class for \d of \d example pictures"))
    smaller = visitor.download(tmp_path / "smaller")
    assert smaller.stat().st_size < whole.stat().st_size / 2
    assert torch.jit.load(str(smaller)).weights.dtype == torch.int8


def test_an_encoder_of_camera_frames_leaves_the_page_and_works(
    visitor: Visitor, encoder: Encoder, tmp_path: Path
) -> None:
    page = visitor.page
    page.get_by_role("button", name="Image encoder").click()
    choose(visitor, "Takes", re.compile("^Camera frames"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download encoder").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    frames = torch.randint(0, 255, (2, 48, 64, 3), dtype=torch.uint8)
    assert torch.jit.load(str(path))(frames).shape == (2, encoder.embed_dim)


def test_a_head_made_elsewhere_is_opened_and_torchscript_is_refused(
    visitor: Visitor, photo: Path, encoder: Encoder, tmp_path: Path
) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    classes = ["healthy", "pneumonia", "no lung at all"]
    head = build_zero_shot_head(encoder, classes, ["an x-ray: {}"], name="Lungs")
    button = visitor.page.locator("#hs-new input[type=file]").last
    button.set_input_files(export_head(head, tmp_path / "lungs.safetensors"))
    expect(visitor.label_set).to_have_value(re.compile(r"^Lungs \("))
    visitor.has_answers(3)
    assert set(visitor.answers()) == set(classes)

    button.set_input_files(export_head(head, tmp_path / "lungs.pt"))
    expect(visitor.notice).to_contain_text("run")
    expect(visitor.label_set).to_have_value(re.compile(r"^Lungs \("))
    visitor.has_answers(3)

    visitor.page.reload()
    expect(visitor.label_set).to_have_value(re.compile(r"^Lungs \("))
    visitor.has_answers(3)
