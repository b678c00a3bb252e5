"""The fast text encoding: the same numbers as open_clip's, and less work."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torch.nn.functional as F
from tiny_model import CONFIG

from classifiers.encoder.causal_text import CausalTextTower

ROUNDING = 1e-5  # what the speed-up may cost, by the project's own bound
PROMPTS = [
    "a photo of a cat",
    "a photo of a red panda on a tree",
    "a photo of the sea",
    "a photo of a",
    "something else entirely, and longer",
]


def make_model(**text: object) -> open_clip.CLIP:
    torch.manual_seed(1)
    settings = CONFIG["model_cfg"]
    return open_clip.CLIP(
        settings["embed_dim"], settings["vision_cfg"], {**settings["text_cfg"], **text}
    ).eval()


def tokens_of(prompts: list[str]) -> torch.Tensor:
    return open_clip.SimpleTokenizer(context_length=24)(prompts)


def encode_both(model: open_clip.CLIP, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    tower = CausalTextTower.of(model)
    assert tower is not None
    tokens = tokens_of(prompts)
    with torch.inference_mode():
        plain = model.encode_text(tokens)
        fast = tower.encode(tokens[:, : int(tokens.argmax(-1).max()) + 1])
    return F.normalize(plain, dim=-1), F.normalize(fast, dim=-1)


@pytest.mark.parametrize(
    "prompts",
    [PROMPTS, PROMPTS[:3], PROMPTS[:1], PROMPTS[:1] * 4, ["", ""], ["word " * 60, "a cat"]],
    ids=["mixed", "one beginning", "one", "all the same", "empty", "cut"],
)
@pytest.mark.parametrize(
    "text", [{}, {"layers": 1}, {"ls_init_value": 0.5}, {"proj_bias": True, "proj_type": "linear"}]
)
def test_the_fast_way_gives_open_clip_s_numbers(prompts: list[str], text: dict) -> None:
    plain, fast = encode_both(make_model(**text), prompts)
    assert (plain - fast).abs().max() < ROUNDING


def test_a_shared_beginning_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = CausalTextTower.of(make_model())
    embedded: list[int] = []
    original = CausalTextTower._embed

    def count(self: CausalTextTower, tokens: torch.Tensor, start: int) -> torch.Tensor:
        embedded.append(tokens.numel())
        return original(self, tokens, start)

    monkeypatch.setattr(CausalTextTower, "_embed", count)
    tokens = tokens_of(["this is a photo of a cat", "this is a photo of a dog"] * 8)
    tower.encode(tokens[:, : int(tokens.argmax(-1).max()) + 1])
    # Start, six words of the template once; a class and the end token for each of sixteen.
    assert sum(embedded) == 7 + 16 * 2


@pytest.mark.parametrize(
    "text", [{"no_causal_mask": True}, {"pool_type": "last"}, {"qk_norm": True}]
)
def test_a_tower_of_another_kind_is_left_to_open_clip(text: dict) -> None:
    assert CausalTextTower.of(make_model(**text)) is None


def test_a_tower_that_gives_other_numbers_is_left_to_open_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    monkeypatch.setattr(model, "encode_text", lambda tokens: torch.ones(len(tokens), 48))
    assert CausalTextTower.of(model) is None
