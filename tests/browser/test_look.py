"""How the page looks and handles: on a phone, in the dark, by keyboard, with much in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.visitor import Visitor, one_of
from playwright.sync_api import Locator, expect

from classifiers.words.label_lists import load_label_list

OpenPage = Callable[..., Visitor]

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
LONG_CLASSES = "\n".join(
    [
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "word " * 200,
        "x" * 300,
        "https://example.invalid/" + "path/" * 30,
        "我的猫" * 40,
        "short",
    ]
)
READABLE = 4.5  # WCAG 2.2, success criterion 1.4.3 (AA), for text of ordinary size

CONTRAST_JS = """(element) => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const paint = (colours) => {  // one over the other, on white
        canvas.fillStyle = 'white';
        canvas.fillRect(0, 0, 1, 1);
        for (const colour of colours) {
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
        }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((value) => {
            const v = value / 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = [];
    for (let e = element; e; e = e.parentElement)
        behind.unshift(getComputedStyle(e).backgroundColor);
    const text = luminance(paint([...behind, getComputedStyle(element).color]));
    const ground = luminance(paint(behind));
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}"""


def contrast(element: Locator) -> float:
    """Ratio of luminances of an element's text and what is behind it, 1 to 21."""
    return element.evaluate(CONTRAST_JS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(open_page: OpenPage, photo: Path, scheme: str) -> None:
    visitor = open_page(color_scheme=scheme)
    page = visitor.page
    shown = {
        "the hint": page.get_by_text("Give me a picture"),
        "a heading": page.get_by_role("heading", name="New classifier"),
        "a line below a heading": page.get_by_text("No training: the words alone make it"),
        "what the set is": page.locator("#hs-desk .hs-info p").first,
        "a field's label": page.locator("#hs-new").get_by_text("Template", exact=True),
        "a field's help": page.get_by_text("Several lines are averaged"),
        "a name in the panel": page.get_by_role("term").first,
        "a main button": visitor.create_button,
        "another button": visitor.cancel_button,
    }
    ratios = {name: contrast(element) for name, element in shown.items()}
    visitor.upload(photo)
    visitor.has_answers()
    expect(visitor.cards.first).to_contain_text("%")
    answered = {
        "the best answer": visitor.best,
        "the fifth answer": visitor.guesses.last.locator(".hs-name"),
        "its percentage": visitor.guesses.last.locator(".hs-percent"),
        "a card's set": visitor.cards.first.locator(".hs-set-name"),
        "a card's answer": visitor.cards.first.locator(".hs-name"),
    }
    ratios |= {name: contrast(element) for name, element in answered.items()}
    visitor.template.fill("no placeholder")
    visitor.classes.fill("cat")
    error = visitor.preview.get_by_role("alert")
    expect(error).to_be_visible()
    ratios["an error"] = contrast(error)
    assert {name: ratio for name, ratio in ratios.items() if ratio < READABLE} == {}
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert (sum(page.evaluate(background)[:3]) < 3 * 128) == (scheme == "dark")


def test_a_phone_shows_everything_without_scrolling_sideways(
    open_page: OpenPage, photo: Path
) -> None:
    visitor = open_page(**PHONE)
    page = visitor.page
    assert visitor.overflow() <= 0
    visitor.upload(photo)
    visitor.has_answers()
    visitor.create(LONG_CLASSES, template="a very long template " * 20 + "{}", name="N" * 80)
    expect(visitor.label_set).to_have_value("N" * 80 + " (mine, 6)")
    visitor.has_answers()
    expect(visitor.cards.first).to_contain_text("%")
    assert visitor.overflow() <= 0
    page.get_by_role("button", name="My classifiers").tap()
    controls = [
        page.get_by_role("tab", name="Live camera"),
        page.get_by_role("tab", name="Picture"),
        visitor.label_set,
        page.get_by_role("checkbox", name="Show cosine similarity"),
        page.get_by_role("combobox", name="Format"),
        page.get_by_role("button", name="Download", exact=True),
        page.get_by_role("button", name="Image encoder"),
        *visitor.cards.all(),
        visitor.template,
        visitor.classes,
        visitor.name,
        visitor.create_button,
        visitor.cancel_button,
        page.get_by_role("button", name="Classes from a .txt or .csv file"),
        page.get_by_role("button", name="Rename"),
        page.get_by_role("button", name="Remove", exact=True),
    ]
    for control in controls:
        control.tap(trial=True)
        box = control.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390, control
    page.get_by_role("checkbox", name="Show cosine similarity").check()
    expect(visitor.guesses.first.locator(".hs-cosine")).to_be_visible()
    assert visitor.overflow() <= 0


def test_long_names_stay_inside_the_page(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    visitor.create(LONG_CLASSES, name="Long names")
    expect(visitor.label_set).to_have_value("Long names (mine, 6)")
    visitor.has_answers()
    assert visitor.overflow() <= 0
    for guess in visitor.guesses.all():
        assert guess.bounding_box()["height"] < 130, guess.inner_text()


def test_an_answer_does_not_move_the_page(visitor: Visitor, photo: Path) -> None:
    heading = visitor.page.get_by_role("heading", name="New classifier")
    before = heading.bounding_box()
    visitor.upload(photo)
    visitor.has_answers()
    for card in visitor.cards.all():
        expect(card).to_contain_text("%")
    assert heading.bounding_box() == before
    for list_id in ("cocktails", "famous_people", "nationalities", "nouns"):
        name = load_label_list(list_id).name
        visitor.choose_set(name)
        expect(visitor.best).to_have_text(one_of(list_id))
        visitor.has_answers()
        assert heading.bounding_box() == before, name
    visitor.page.get_by_role("button", name="Remove Image").click()
    visitor.has_answers(0)
    assert heading.bounding_box() == before


def test_the_keyboard_alone_is_enough(visitor: Visitor, photo: Path) -> None:
    page = visitor.page
    visitor.upload(photo)
    visitor.has_answers()
    in_order = [
        page.get_by_role("tab", name="Picture"),
        visitor.label_set,
        page.get_by_role("combobox", name="Format"),
        page.get_by_role("button", name="Download", exact=True),
        visitor.card("Nouns"),
        visitor.card("Animals"),
        visitor.template,
        visitor.classes,
        visitor.name,
        visitor.create_button,
        visitor.cancel_button,
    ]
    reached = 0
    in_order[0].focus()
    for _ in range(80):
        if in_order[reached].evaluate("element => element === document.activeElement"):
            reached += 1
            if reached == len(in_order):
                break
        page.keyboard.press("Tab")
    assert reached == len(in_order), f"Tab does not come to {in_order[reached]} in its turn"
    visitor.card("Ages").focus()
    page.keyboard.press("Enter")
    expect(visitor.label_set).to_have_value("Ages (21)")


def test_the_cosine_similarity_is_one_click_away(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    cosine = visitor.guesses.first.locator(".hs-cosine")
    expect(cosine).to_be_hidden()
    switch = visitor.page.get_by_role("checkbox", name="Show cosine similarity")
    switch.check()
    expect(cosine).to_be_visible()
    visitor.choose_set("Ages")
    expect(visitor.best).to_have_text(one_of("ages"))
    expect(cosine).to_be_visible()
    switch.uncheck()
    expect(cosine).to_be_hidden()


def test_every_control_has_a_name(visitor: Visitor) -> None:
    """What a screen reader says of buttons and fields."""
    unnamed = [
        button.evaluate("element => element.outerHTML.slice(0, 200)")
        for button in visitor.page.get_by_role("main").get_by_role("button").all()
        if not (button.get_attribute("aria-label") or button.inner_text()).strip()
        and not button.locator("img[alt]:not([alt=''])").count()
    ]
    assert unnamed == []


def test_four_thousand_classes_stay_usable(visitor: Visitor, photo: Path) -> None:
    visitor.upload(photo)
    visitor.has_answers()
    visitor.name.fill("Things")
    visitor.paste_classes("\n".join(f"thing number {n}" for n in range(4000)))
    expect(visitor.preview).to_contain_text("4,000 classes")
    with visitor.browser_remembers():
        visitor.create_button.click()
        expect(visitor.label_set).to_have_value("Things (mine, 4,000)")
    visitor.has_answers()
    assert visitor.overflow() <= 0
    visitor.page.reload()
    expect(visitor.label_set).to_have_value("Things (mine, 4,000)")
    visitor.has_answers()
