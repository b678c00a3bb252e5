"""Text towers of transformers, read without their padding: less work and the same numbers.

These towers see everything at once, so that nothing can be shared between prompts; but they
mask the padding behind a prompt, and what is masked need not be computed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.hf_model import HFTextEncoder
from torch import Tensor

from classifiers.encoder.causal_text import PROBE_LENGTHS, PROBE_TOLERANCE

_PROBE_WIDTH = 16  # tokens, padding included


class PaddedTextTower:
    """Encodes tokens that are cut behind a batch's longest prompt."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._padding: int = model.text.config.pad_token_id

    @staticmethod
    def of(model: Any) -> PaddedTextTower | None:
        """The model's tower, or None where it is of another kind or gives other numbers."""
        tower = getattr(model, "text", None)
        if not isinstance(tower, HFTextEncoder) or tower.config.pad_token_id is None:
            return None
        fast = PaddedTextTower(model)
        return fast if fast._agrees() else None

    def lengths(self, tokens: Tensor) -> Tensor:
        """How many tokens of each row have to be read: int64 `(n,)`."""
        places = torch.arange(1, tokens.shape[1] + 1)
        return torch.where(tokens != self._padding, places, 1).amax(dim=-1)

    def encode(self, tokens: Tensor) -> Tensor:
        """Embeddings `(n, embed_dim)`, not normalised, of tokens int64 `(n, length)`."""
        return self._model.encode_text(tokens)

    def _agrees(self) -> bool:
        """Whether padding makes no difference to prompts of several lengths."""
        tokens = torch.full((len(PROBE_LENGTHS), _PROBE_WIDTH), self._padding)
        for row, length in enumerate(PROBE_LENGTHS):
            tokens[row, :length] = self._padding + torch.arange(1, length + 1)
        with torch.inference_mode():
            plain = F.normalize(self.encode(tokens), dim=-1)
            fast = F.normalize(self.encode(tokens[:, : max(PROBE_LENGTHS)]), dim=-1)
        return bool((plain - fast).abs().max() < PROBE_TOLERANCE)
