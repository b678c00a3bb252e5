"""What a visitor reads when something did not work."""

from __future__ import annotations


def check_sentence(text: str) -> None:
    """A visitor reads it: not empty, one line, no traceback, no path of the server."""
    assert 10 < len(text) < 400, f"not a sentence: {text!r}"
    assert text.rstrip().endswith((".", "…", ")")), f"no end of a sentence: {text!r}"
    for leak in ("Traceback", "\n", "/tmp", "/home", "/usr", ".py", "upstream Gradio app"):
        assert leak not in text, f"{leak!r} in what a visitor reads: {text!r}"
