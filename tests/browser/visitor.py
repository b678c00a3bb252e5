"""What a person does on the page, in a person's words: by role and label."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, expect

from classifiers.words.label_lists import load_label_list


def one_of(list_id: str) -> re.Pattern[str]:
    """Any class of a shipped list, and nothing else."""
    return re.compile("^(" + "|".join(map(re.escape, load_label_list(list_id).classes)) + ")$")


# What Gradio logs when a page is left while it listens to the server.
SAID_WHEN_LEAVING = ("AbortError: ", "Unexpected error Connection errored out")


@dataclass
class Watched:
    """What no journey may cause: all of it stays empty."""

    foreign_requests: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    forgiven: str = field(default=SAID_WHEN_LEAVING[0], compare=False)  # how one may begin

    def listen_to(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self._check_host(request.url))
        context.on("page", self._listen_to_page)

    def _listen_to_page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._check_host(socket.url))
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        page.on(
            "console",
            lambda said: self._check_console(said.type, said.text),
        )
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def _check_console(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith((*SAID_WHEN_LEAVING, self.forgiven)):
            self.console_errors.append(text)

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.foreign_requests.append(url)


class Visitor:
    """Somebody at the page.  Locators wait for themselves; nothing here sleeps."""

    def __init__(self, page: Page, url: str, watched: Watched) -> None:
        self.page = page
        self.url = url
        self.watched = watched
        self.guesses = page.locator("#hs-answer-box").get_by_role("listitem")
        self.best = self.guesses.first.locator(".hs-name")
        self.label_set = page.get_by_role("combobox", name="Label set")
        self.cards = page.locator("#hs-all-sets").get_by_role("button")
        self.template = page.get_by_label("Template")
        self.classes = page.get_by_role("textbox", name="Classes")
        self.name = page.get_by_role("textbox", name="Name (optional)")
        self.preview = page.locator("#hs-preview-box")
        self.create_button = page.get_by_role("button", name="Create", exact=True)
        self.cancel_button = page.get_by_role("button", name="Cancel", exact=True)
        self.picture = page.locator("#hs-picture img")
        self.notice = page.get_by_test_id("toast-body")

    def arrive(self) -> None:
        self.page.goto(self.url)
        expect(self.page.get_by_role("heading", name="New classifier")).to_be_visible()
        # The panel is filled by the last but one step of loading: from here all is restored.
        expect(self.page.get_by_role("definition").first).to_be_visible()

    def upload(self, path: Path) -> None:
        self.page.locator("#hs-picture input[type=file]").set_input_files(str(path))

    def drop(self, path: Path) -> None:
        """Drags the file from the desktop onto the picture box."""
        self.drop_onto(self.page.locator("#hs-picture").locator("img, button").last, path)

    def drop_onto(self, target: Locator, path: Path, kind: str = "image/jpeg") -> None:
        transfer = self.page.evaluate_handle(
            """async ([data, name, type]) => {
                const bytes = await (await fetch('data:;base64,' + data)).blob();
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], name, {type}));
                return transfer;
            }""",
            [base64.b64encode(path.read_bytes()).decode(), path.name, kind],
        )
        for event in ("dragenter", "dragover", "drop"):
            target.dispatch_event(event, {"dataTransfer": transfer})

    def has_answers(self, n: int = 5) -> None:
        expect(self.guesses).to_have_count(n)

    def answers(self) -> list[str]:
        return self.guesses.locator(".hs-name").all_inner_texts()

    def choose_set(self, name: str) -> None:
        self.label_set.click()
        self.page.get_by_role("option", name=name).click()

    def card(self, name: str) -> Locator:
        return self.cards.filter(has_text=name)

    def create(self, classes: str, template: str | None = None, name: str | None = None) -> None:
        if template is not None:
            self.template.fill(template)
        self.classes.fill(classes)
        if name is not None:
            self.name.fill(name)
        self.create_button.click()

    def download(self, folder: Path) -> Path:
        """Presses Download; where the file then lies, under the name it came with."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Download", exact=True).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def picture_is_drawn(self) -> None:
        expect(self.picture).to_have_js_property("complete", True)
        expect(self.picture).not_to_have_js_property("naturalWidth", 0)

    def count_answers(self) -> None:
        """From now on the page counts how often its answer changes."""
        self.page.evaluate(
            """() => {
                window.answersSeen = 0;
                const seen = () => { window.answersSeen += 1; window.lastSeen = Date.now(); };
                new MutationObserver(seen).observe(document.querySelector('#hs-answer-box'),
                    {childList: true, subtree: true, characterData: true});
            }"""
        )

    def has_answered_again(self, times: int) -> None:
        so_far = self.page.evaluate("window.answersSeen")
        self.page.wait_for_function(f"window.answersSeen >= {so_far + times}")

    def answers_have_stopped(self, seconds: float = 2) -> None:
        """Nothing was answered for so long; a camera's frames come faster than that."""
        self.page.wait_for_function(f"Date.now() - window.lastSeen > {1000 * seconds}")

    def paste_classes(self, text: str) -> None:
        """As from the clipboard: one event.  `fill` makes one a line, which takes minutes."""
        self.classes.evaluate(
            """(box, text) => {
                box.focus();
                box.value = text;
                box.dispatchEvent(new InputEvent('input', {bubbles: true}));
            }""",
            text,
        )

    @contextmanager
    def browser_remembers(self) -> Iterator[None]:
        """Waits, at its end, until what was done in it is in the browser's storage."""
        kept = "['headsmith-classifiers', 'headsmith-draft'].map((key) => localStorage[key])"
        before = self.page.evaluate(kept)
        yield
        self.page.wait_for_function(
            f"(before) => {kept}.every((now, place) => now !== before[place])", arg=before
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
