"""A template and some class names → a new classifier, answering at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from classifiers.errors import Cancelled, ClassNamesError, HeadsmithError
from classifiers.loaded_models import LoadedModels
from classifiers.models.catalog import ModelCard
from classifiers.words.label_lists import (
    MAX_FILE_BYTES,
    format_class_names,
    parse_class_names,
    read_class_names_file,
)
from classifiers.words.prompts import (
    check_prompt_count,
    class_prompts,
    clean_text,
    parse_templates,
)
from classifiers.words.typed_words import MAX_NAME_CHARACTERS, read_typed_words
from server.limits import LimitKeeper
from ui import render
from ui.file_input import FileButton
from ui.messages import tell
from ui.state import (
    DEFAULT_CLASSIFIER,
    DEFAULT_TEMPLATE,
    MAX_OWN_CLASSIFIERS,
    Cancellations,
    OwnClassifier,
    PictureInHand,
    classifier_choices,
    model_of,
)
from ui.uploads import copied_upload

EXAMPLES = [  # name, template, classes
    [
        "Moods",
        "The mood of this picture is {}",
        "cheerful, gloomy, calm, tense, romantic, eerie",
    ],
    [
        "Where am I",
        "This is a photo taken {}",
        "indoors, in a city, at the sea, in the mountains, in a forest, in the desert",
    ],
    [
        "Dinner",
        "This would go well with {}",
        "pizza, sushi, tacos, oysters, porridge, birthday cake",
    ],
    [  # asks a model that reads Russian for the word: what it shows, it has translated
        "Translator (multilingual model)",
        "This is {} in Russian",
        "кошка, собака, лев, дом, дерево, велосипед, цветок, книга",
    ],
]

# A file that is dropped anywhere on the section goes the way of one that was chosen.
DROP_CLASSES_JS = """() => {
    const input = () => document.querySelector('#hs-new input[type=file][accept*=".csv"]');
    const isOurs = (event) => input() && event.dataTransfer?.types.includes('Files')
        && event.target.closest('#hs-new');
    document.addEventListener('dragover', (event) => {
        if (isOurs(event)) event.preventDefault();
    }, true);
    document.addEventListener('drop', (event) => {
        if (!isOurs(event)) return;
        event.preventDefault();
        event.stopPropagation();
        const transfer = new DataTransfer();
        transfer.items.add(event.dataTransfer.files[0]);
        input().files = transfer.files;
        input().dispatchEvent(new Event('change', {bubbles: true}));
    }, true);
}"""

SHOW_ANSWER_JS = """() => {
    document.getElementById('hs-chosen')?.scrollIntoView({behavior: 'smooth', block: 'center'});
}"""


@dataclass
class CreateSection:
    """The components that other parts of the page listen to or fill."""

    name: gr.Textbox
    template: gr.Textbox
    classes: gr.Textbox
    preview: gr.HTML


def preview(
    models: LoadedModels, template: str, classes: str, in_hand: PictureInHand | None = None
) -> str:
    """What Create would make of what is typed so far.

    Inputs: templates, one a line; class names; what is in hand.  Outputs: HTML.
    """
    model = model_of(in_hand)
    try:
        names = parse_class_names(classes)
        templates = parse_templates(template)
        check_prompt_count(len(names.classes), len(templates))
    except HeadsmithError as error:
        return render.error_html(str(error))
    if not names.classes:
        return render.hint_html("The first prompts will show here as you type.")
    prompts = class_prompts(names.classes, templates)
    # Looked for only once the model is there: a preview never waits.
    cut = models.library(model).encoder.cut_texts(prompts) if models.is_loaded(model) else []
    notes = language_notes([*templates, *names.classes], models.card(model))
    return render.preview_html(names, prompts, cut, notes)


def language_notes(texts: list[str], card: ModelCard) -> list[str]:
    """A word of warning where a model cannot know the script that a person writes in."""
    if card.languages != "English" or all(map(_is_latin, texts)):
        return []
    return ["this model reads English only; for other languages choose the multilingual model"]


def _is_latin(text: str) -> bool:
    letters = filter(str.isalpha, text)
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)


def create(
    models: LoadedModels,
    cancellations: Cancellations,
    count_new_head: Callable[[int, int], None],
    name: str,
    template: str,
    classes: str,
    own: Any,
    session: str,
    progress: Any,
    in_hand: PictureInHand | None = None,
) -> tuple[Any, Any, Any]:
    """Builds the classifier and chooses it.

    `count_new_head` is called with numbers of classes and prompts, and refuses what is too much.

    Inputs: name, templates and classes as typed; the visitor's own classifiers; the
    session that may cancel; a `gr.Progress`; what is in hand.
    Outputs: own classifiers; the menu; the preview, with the error where there is one.
    """

    def report(done: int, total: int) -> None:
        if cancellations.asked(session):
            raise Cancelled("Stopped; nothing was made, and everything you typed is still here.")
        progress((done, total), desc="Reading the class names", unit="classes")

    try:
        words = read_typed_words(name, template, classes)
        progress((0, len(words.classes)), desc="Reading the class names", unit="classes")
        library = models.library(model_of(in_hand))
        head = library.create(words.name, words.templates, words.classes, report, count_new_head)
    except HeadsmithError as error:
        tell(error)
        return gr.skip(), gr.skip(), render.error_html(str(error))
    finally:
        cancellations.clear(session)
    kept = [c for c in OwnClassifier.list_from(own) if c.id != head.id]
    kept.append(OwnClassifier(head.id, words.name, head.templates, head.classes))
    kept = kept[-MAX_OWN_CLASSIFIERS:]
    return (
        [classifier.to_browser() for classifier in kept],
        gr.update(choices=classifier_choices(kept), value=head.id),
        gr.skip(),
    )


def read_file(path: str | None) -> Any:
    """Class names of a dropped file, into the box.  Inputs: its path.  Outputs: the text."""
    if path is None:
        return gr.skip()
    try:
        with copied_upload(path, MAX_FILE_BYTES) as copy:
            names = read_class_names_file(copy)
        if not names.classes:
            raise ClassNamesError("The file holds no class names; put one on each line.")
    except HeadsmithError as error:
        tell(error)
        return gr.skip()
    return format_class_names(names.classes)


def rename(own: Any, classifier_id: str, name: str, chosen: str) -> tuple[Any, Any, Any]:
    """Inputs: own classifiers; which; new name; chosen id.  Outputs: own; both menus."""
    new_name = clean_text(name)[:MAX_NAME_CHARACTERS]
    kept = OwnClassifier.list_from(own)
    if not new_name or not classifier_id:
        gr.Info("Choose one of your classifiers and type its new name.")
        return gr.skip(), gr.skip(), gr.skip()
    kept = [replace(c, name=new_name) if c.id == classifier_id else c for c in kept]
    return _after_change(kept, classifier_id, chosen)


def remove(own: Any, classifier_id: str, chosen: str) -> tuple[Any, Any, Any]:
    """Inputs: own classifiers; which; the chosen id.  Outputs: own; both menus."""
    kept = [c for c in OwnClassifier.list_from(own) if c.id != classifier_id]
    return _after_change(kept, None, DEFAULT_CLASSIFIER if chosen == classifier_id else chosen)


def _after_change(
    kept: list[OwnClassifier], managed: str | None, chosen: str
) -> tuple[Any, Any, Any]:
    return (
        [classifier.to_browser() for classifier in kept],
        gr.update(choices=classifier_choices(kept), value=chosen),
        gr.update(choices=[(c.name, c.id) for c in kept], value=managed),
    )


def list_own(own: Any) -> Any:
    """The menu of a visitor's own classifiers.  Inputs: own classifiers."""
    kept = OwnClassifier.list_from(own)
    return gr.update(choices=[(c.name, c.id) for c in reversed(kept)])


def build_create_section(
    models: LoadedModels,
    keeper: LimitKeeper,
    own: gr.BrowserState,
    chosen: gr.Dropdown,
    in_hand: gr.State,
) -> CreateSection:
    """Fields, preview, buttons and the list of one's own classifiers."""
    cancellations = Cancellations()
    private: dict[str, Any] = {"api_visibility": "private"}
    gr.HTML("<h2>New classifier</h2><p>Say what the picture could be. No training: "
            "the words alone make it.</p>", elem_classes="hs-heading")  # fmt: skip
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            template = gr.Textbox(
                DEFAULT_TEMPLATE, label="Template", lines=1, max_lines=6,
                info="{} is where the class goes. Several lines are averaged.",
            )  # fmt: skip
            classes = gr.Textbox(
                label="Classes", lines=5, max_lines=12, placeholder="cat\ndog\ngoldfish",
                info="One a line, or separated by commas; or drop a .txt or .csv file here.",
            )  # fmt: skip
            name = gr.Textbox(label="Name (optional)", placeholder="Pets", max_lines=1)
        with gr.Column(scale=2, min_width=280):
            preview_box = gr.HTML(preview(models, DEFAULT_TEMPLATE, ""), elem_id="hs-preview-box")
            with gr.Row():
                create_button = gr.Button("Create", variant="primary", elem_id="hs-create")
                cancel_button = gr.Button("Cancel", elem_id="hs-cancel", min_width=80)
            file = FileButton(
                "Classes from a .txt or .csv file", file_types=[".txt", ".csv"], size="sm"
            )
            _build_own_list(own, chosen)
    gr.Examples(
        EXAMPLES, [name, template, classes], label="Ideas",
        example_labels=[example[0] for example in EXAMPLES], elem_id="hs-ideas",
    )  # fmt: skip

    # Gradio finds what to inject by annotations, which it cannot read through `partial`.
    def on_create(
        name: str, template: str, classes: str, own: Any, in_hand: PictureInHand,
        request: gr.Request, progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio's way
    ) -> tuple[Any, Any, Any]:  # fmt: skip
        count = partial(keeper.count_new_head, request)
        session = request.session_hash or ""
        return create(
            models, cancellations, count, name, template, classes, own, session, progress, in_hand
        )

    # At the click and not when the build begins: it may wait in line, and be cancelled there.
    def on_begin(request: gr.Request) -> None:
        cancellations.clear(request.session_hash or "")

    def on_cancel(request: gr.Request) -> None:
        cancellations.ask(request.session_hash or "")

    fields = [template, classes]
    # One listener for both, so that an older preview never comes in after a newer one.
    gr.on(
        [field.change for field in fields],
        partial(preview, models), [*fields, in_hand], preview_box,
        trigger_mode="always_last", show_progress="hidden", **private,
    )  # fmt: skip
    file.upload(read_file, file, classes, show_progress="hidden", **private)
    create_button.click(on_begin, None, None, queue=False, **private)
    create_button.click(
        on_create, [name, *fields, own, in_hand], [own, chosen, preview_box],
        show_progress_on=preview_box, concurrency_id="build", **private,
    ).success(None, None, None, js=SHOW_ANSWER_JS)  # fmt: skip
    cancel_button.click(on_cancel, None, None, queue=False, **private)
    return CreateSection(name, template, classes, preview_box)


def refresh_preview(
    models: LoadedModels, section: CreateSection, in_hand: gr.State, switched: Any
) -> None:
    """Shows the preview anew once another model answers: it may read other scripts."""
    switched.then(
        partial(preview, models),
        [section.template, section.classes, in_hand],
        section.preview,
        api_visibility="private",
        show_progress="hidden",
    )


def _build_own_list(own: gr.BrowserState, chosen: gr.Dropdown) -> None:
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    with gr.Accordion("My classifiers", open=False):
        managed = gr.Dropdown([], label="Classifier", interactive=True)
        new_name = gr.Textbox(label="New name", max_lines=1)
        with gr.Row():
            rename_button = gr.Button("Rename", size="sm")
            remove_button = gr.Button("Remove", size="sm", variant="stop")
    own.change(list_own, own, managed, queue=False, **private)
    outputs = [own, chosen, managed]
    rename_button.click(rename, [own, managed, new_name, chosen], outputs, **private)
    remove_button.click(remove, [own, managed, chosen], outputs, **private)
