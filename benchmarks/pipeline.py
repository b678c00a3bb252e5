"""The second peer: transformers' zero-shot-image-classification pipeline.

It has no head that could be kept: each picture pays for the words again.  So both sides make
30 classes from words and answer about one picture.
"""

from __future__ import annotations

from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer
from transformers import pipeline as make_pipeline

from benchmarks.heads import TEMPLATE
from benchmarks.measure import Row, median_seconds
from benchmarks.pictures import photo
from classifiers.encoder.encoder import Encoder
from classifiers.encoder.executor import compute
from classifiers.heads.head import Head
from classifiers.heads.zero_shot import build_zero_shot_head
from classifiers.words.label_lists import load_label_list

SPECIAL_TOKENS = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


def rows(encoder: Encoder) -> list[Row]:
    classes = load_label_list("nouns").classes[:30]
    # The default configuration is ViT-B/32; random weights cost what real ones cost.
    classify = make_pipeline(
        "zero-shot-image-classification",
        model=CLIPModel(CLIPConfig()).eval(),
        tokenizer=clip_tokenizer(),
        image_processor=CLIPImageProcessor(),
    )

    def theirs() -> None:
        classify(Image.open(photo()), candidate_labels=list(classes), hypothesis_template=TEMPLATE)

    def ours() -> None:
        another_picture(build_zero_shot_head(encoder, classes, [TEMPLATE], name="x"))

    def another_picture(head: Head) -> None:
        head.predict(encoder.encode_picture(photo()))

    made = build_zero_shot_head(encoder, classes, [TEMPLATE], name="x")
    new, another, peers = map(
        median_seconds, (ours, lambda: another_picture(made), lambda: compute(theirs))
    )
    peer = "transformers pipeline"
    return [
        Row("30 new classes and one picture", peer, new, peers, "s", peers / new, ""),
        Row("the next picture", peer, another, peers, "s", peers / another, ""),
    ]


def clip_tokenizer() -> CLIPTokenizer:
    """transformers' tokenizer from the vocabulary that open_clip brings."""
    known = SimpleTokenizer()
    vocabulary = {SPECIAL_TOKENS.get(token, token): i for token, i in known.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(known.bpe_ranks))
