"""Another model is fetched while one plays, taken up, compared with, and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from browser.running_app import RunningApp, running_app
from browser.visitor import Visitor
from loopback_hub import LoopbackHub
from playwright.sync_api import Locator, expect
from safetensors.torch import save_file
from tiny_model import CONFIG

from classifiers.models.catalog import CONFIG_FILE, WEIGHTS_FILE, curated_models, find_model

# One for each journey, so that each begins without its model.
OTHER, FAILING, COMPARED = "ViT-B-32/openai", "RN50/openai", "ViT-B-16/openai"
TITLES = {card.name: card.title for card in curated_models()}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """Serves a second tiny model under the names of curated ones."""
    folder = tmp_path_factory.mktemp("served")
    (folder / CONFIG_FILE).write_text(json.dumps(CONFIG))
    torch.manual_seed(7)
    cfg = CONFIG["model_cfg"]
    model = open_clip.CLIP(cfg["embed_dim"], cfg["vision_cfg"], cfg["text_cfg"])
    save_file(model.state_dict(), str(folder / WEIGHTS_FILE))
    served = LoopbackHub(folder, "people/nothing")
    for name in (OTHER, FAILING, COMPARED):
        served.folders[str(find_model(name).repository)] = folder
    yield served
    served.close()


@pytest.fixture(scope="module")
def app(
    hub: LoopbackHub, tiny_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    folder = tmp_path_factory.mktemp("models-journey")
    environment = {
        "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(folder / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    with running_app(folder / "app", tiny_model, environment=environment) as served:
        yield served


@pytest.fixture(autouse=True)
def well_behaved_hub(hub: LoopbackHub) -> None:
    hub.refuse, hub.seconds_per_block = None, 0.0
    hub.requests.clear()


def choose(visitor: Visitor, label: str, name: str) -> None:
    visitor.page.get_by_role("combobox", name=label).click()
    visitor.page.get_by_role("option", name=name, exact=True).click()


def open_menu(visitor: Visitor) -> None:
    answering(visitor).click()
    expect(visitor.page.get_by_role("button", name="Use this model")).to_be_visible()


def answering(visitor: Visitor) -> Locator:
    return visitor.page.get_by_role("button", name=re.compile("^Answering:"))


def test_a_model_is_fetched_while_one_plays_and_taken_up_with_all_that_was_made(
    hub: LoopbackHub, open_page: Callable[..., Visitor], photo: Path
) -> None:
    visitor = open_page()
    page = visitor.page
    visitor.upload(photo)
    visitor.has_answers()
    visitor.create("cat\nlion\ncar", name="Mine")
    visitor.has_answers(3)
    before = visitor.answers()
    shares = visitor.guesses.locator(".hs-percent").all_inner_texts()

    open_menu(visitor)
    choose(visitor, "Model", TITLES[OTHER])
    expect(page.get_by_text("not on this machine yet").first).to_be_visible()
    assert hub.requests == [], "looking at a model asked the hub"
    hub.seconds_per_block = 0.02
    page.get_by_role("button", name="Use this model").click()
    expect(page.get_by_role("progressbar", name=f"Fetching {TITLES[OTHER]}")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Fetching .* of \d+ MB"))).to_be_visible()
    visitor.choose_set("Ages")  # one goes on playing
    visitor.has_answers()
    visitor.choose_set("Mine")
    visitor.has_answers(3)
    hub.seconds_per_block = 0.0

    switch = page.get_by_role("button", name=f"Switch to {TITLES[OTHER]}")
    expect(switch).to_be_visible()
    assert visitor.answers() == before, "the answer changed under a person's hands"
    switch.click()
    expect(answering(visitor)).to_contain_text(TITLES[OTHER])
    expect(switch).to_be_hidden()
    expect(page.get_by_role("definition").filter(has_text=OTHER)).to_be_visible()
    visitor.has_answers(3)
    assert visitor.guesses.locator(".hs-percent").all_inner_texts() != shares

    visitor.arrive()
    expect(answering(visitor)).to_contain_text(TITLES[OTHER])
    visitor.has_answers(3)
    expect(visitor.label_set).to_have_value(re.compile("Mine"))
    # The reload may cut off the cards, which are still being filled for the new model.
    cut_off = "Connection errored out"
    errors = visitor.watched.console_errors
    errors[:] = [error for error in errors if cut_off not in error]


def test_a_failure_is_a_sentence_with_another_try(
    hub: LoopbackHub, open_page: Callable[..., Visitor], photo: Path
) -> None:
    visitor = open_page(viewport=PHONE)
    page = visitor.page
    visitor.upload(photo)
    visitor.has_answers()
    hub.refuse = 404
    open_menu(visitor)
    choose(visitor, "Model", TITLES[FAILING])
    page.get_by_role("button", name="Use this model").click()
    expect(page.get_by_text("check the name or log in")).to_be_visible()
    expect(page.get_by_text("goes on answering")).to_be_visible()
    assert visitor.overflow() <= 0
    visitor.choose_set("Ages")
    visitor.has_answers()

    hub.refuse = None
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name=f"Switch to {TITLES[FAILING]}")).to_be_visible()
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("button", name=f"Switch to {TITLES[FAILING]}")).to_be_hidden()


def test_a_model_to_compare_with_is_offered_before_it_is_fetched(
    hub: LoopbackHub, open_page: Callable[..., Visitor], photo: Path
) -> None:
    visitor = open_page()
    page = visitor.page
    visitor.upload(photo)
    visitor.has_answers()
    second = page.locator("#hs-second")
    open_menu(visitor)
    choose(visitor, "Compare with", TITLES[COMPARED])
    expect(second).to_contain_text("not on this machine yet")
    assert hub.requests == []
    page.get_by_role("button", name="Fetch it").click()
    expect(second.get_by_role("heading", name=TITLES[COMPARED])).to_be_visible()
    expect(second.get_by_role("listitem")).to_have_count(5)
    expect(page.get_by_role("button", name="Fetch it")).to_be_hidden()
    visitor.choose_set("Ages")
    expect(second.get_by_role("listitem").first).to_contain_text(re.compile("old|child|baby|teen"))
    choose(visitor, "Compare with", "nothing")
    expect(second).to_be_hidden()


def test_a_browser_that_remembers_a_model_that_cannot_be_had_gets_the_default_one(
    hub: LoopbackHub, open_page: Callable[..., Visitor], photo: Path
) -> None:
    visitor = open_page()
    open_menu(visitor)
    menu = visitor.page.get_by_role("combobox", name="Model")
    for name in ("local-dir:/etc", "hf-hub:../../etc", "no such model"):
        menu.fill(name)
        menu.press("Enter")
        visitor.page.get_by_role("button", name="Use this model").click()
        expect(visitor.page.get_by_text("goes on answering")).to_be_visible()
        visitor.page.get_by_role("button", name="Not now").click()
        expect(visitor.page.get_by_text("goes on answering")).to_be_hidden()
    visitor.upload(photo)
    visitor.has_answers()
    assert hub.requests == []
