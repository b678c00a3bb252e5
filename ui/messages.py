"""How an error reaches a person: one sentence, with everything on the page left as it was."""

from __future__ import annotations

from html import escape

import gradio as gr

from classifiers.errors import Cancelled, HeadsmithError

SECONDS_SHOWN = 12


def tell(error: HeadsmithError) -> None:
    """Shows the error's sentence above the page.

    A warning and not `gr.Error`, which would cover the answer with the word “Error”.
    """
    if isinstance(error, Cancelled):
        gr.Info(escape(str(error)), duration=SECONDS_SHOWN, title="Stopped")
        return
    gr.Warning(escape(str(error)), duration=SECONDS_SHOWN, title="That did not work")


def tell_news(sentence: str) -> None:
    """Shows what was done differently from what a person may expect."""
    gr.Info(escape(sentence), duration=SECONDS_SHOWN, title="Note")


def api_error(error: HeadsmithError) -> gr.Error:
    """The error as clients of the API get it."""
    return gr.Error(str(error), print_exception=False)
