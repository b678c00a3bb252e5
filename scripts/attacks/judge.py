"""What is wrong with an answer to nonsense, in words.  Knows no requests."""

from __future__ import annotations

from dataclasses import replace

from attacks.client import Answer

LEAKS = ("Traceback", "\n", "/tmp", "/home", "/usr", ".py", "upstream Gradio app")


def why_not_a_sentence(text: str, *, ended: bool = True) -> str | None:
    """What is wrong with a message that a visitor reads, or None.

    Args:
        ended: it must also end as a sentence does.
    """
    if not 10 < len(text) < 400:
        return f"no sentence: {text[:80]!r}"
    if ended and not text.rstrip().endswith((".", "…", ")")):
        return f"no end of a sentence: {text[-80:]!r}"
    leaked = [leak for leak in LEAKS if leak in text]
    return f"{leaked[0]!r} in a sentence: {text[:120]!r}" if leaked else None


def why_bad(answer: Answer, *, ended: bool = True) -> str | None:
    """What is wrong with an answer to nonsense: it must be a picture's, a sentence, or 503."""
    if answer.kind in ("1xx", "2xx", "3xx", "page ok", "refused"):
        return None
    if answer.kind == "503":
        return None if answer.retry_after else "503 without Retry-After"
    if answer.kind in ("4xx", "page sentence"):
        return why_not_a_sentence(answer.sentence(), ended=ended)
    return f"{answer.kind} after {answer.seconds:.1f} s {answer.text[:100]!r}"


def by_others(answer: Answer) -> Answer:
    """Of what Gradio or uvicorn refuse nobody expects a sentence of ours: only that they do."""
    refused = answer.kind in ("4xx", "page Error")
    return replace(answer, kind="refused") if refused else answer
