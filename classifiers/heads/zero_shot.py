"""Words → Head: class prompts through the text encoder, averaged class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.encoder.encoder import Encoder, Progress
from classifiers.encoder.prompt_cache import EncodeTexts
from classifiers.heads.head import Head, head_id
from classifiers.words.label_lists import check_class_names
from classifiers.words.prompts import check_prompt_count, check_templates, class_prompts


def build_zero_shot_head(
    encoder: Encoder,
    classes: Sequence[str],
    templates: Sequence[str],
    *,
    name: str,
    progress: Progress | None = None,
    encode_texts: EncodeTexts | None = None,
) -> Head:
    """A head of `classes` from words alone.

    A class embedding is the mean of its prompts' normalised embeddings, normalised again.

    Args:
        templates: each with a placeholder (see `prompts`); several make an ensemble.
        progress: called with (classes done, classes in all); what it raises stops the work.
        encode_texts: in place of the encoder's own, for instance a `PromptCache`'s.

    Raises:
        ClassNamesError, TemplateError: nothing to build from.

    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural
    Language Supervision", section 3.1.4.
    """
    classes, templates = check_words(classes, templates)
    encode = encode_texts or encoder.encode_texts
    sums = np.zeros((len(classes), encoder.embed_dim), np.float32)
    # Template by template: prompts that begin alike are encoded together (`causal_text`),
    # and only one template's embeddings are in memory besides the sum.
    for nth, template in enumerate(templates):

        def report(done: int, _all: int, before: int = nth * len(classes)) -> None:
            if progress is not None:
                progress((before + done) // len(templates), len(classes))

        sums += encode(class_prompts(classes, (template,)), report)
    weights = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    calibration = encoder.calibration
    return Head(
        name=name,
        classes=classes,
        templates=templates,
        weights=weights,
        model=encoder.model_name,
        fingerprint=encoder.fingerprint,
        logit_scale=(
            encoder.logit_scale if calibration is None else calibration.logit_scale(len(classes))
        ),
        logit_bias=encoder.logit_bias,
        activation=encoder.activation,
        image_size=encoder.image_size,
        mean=encoder.mean,
        std=encoder.std,
        abstain_below=None if calibration is None else calibration.abstain_below(weights),
    )


def check_words(
    classes: Sequence[str], templates: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Classes and templates that a head can be built from.

    Raises:
        ClassNamesError, TemplateError: there is nothing to build from, or too much.
    """
    classes, templates = tuple(classes), check_templates(templates)
    check_class_names(classes)
    check_prompt_count(len(classes), len(templates))
    return classes, templates


def zero_shot_head_id(encoder: Encoder, classes: Sequence[str], templates: Sequence[str]) -> str:
    """The id that `build_zero_shot_head` would give, without building."""
    return head_id(
        encoder.model_name,
        encoder.fingerprint,
        "zero-shot",
        tuple(classes),
        check_templates(templates),
    )
