"""The text half of CLIP with less work and the same numbers.

In a causal text tower no token sees a later one, and the embedding is read at the end
token.  So what lies behind the end token need not be computed; a beginning that many
prompts share ("a photo of a …") is computed once, its keys and values given to all; and in
the last layer only the end token's output is wanted.  Exact up to rounding; other towers
(SigLIP's sees everything) are left to open_clip.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

# Rounding differs between the two ways; a wrong assumption about a tower shows as more.
PROBE_TOLERANCE = 1e-4  # largest difference of a unit vector's entries
PROBE_LENGTHS = (3, 6, 9)  # tokens

KeysValues = tuple[Tensor, Tensor]  # each (1 or n, heads, tokens, head_dim)


class CausalTextTower:
    """Encodes tokens with the weights of an open_clip model's causal text tower."""

    def __init__(self, model: Any) -> None:
        tower = getattr(model, "text", model)
        self.token_embedding = tower.token_embedding
        self.positional_embedding = tower.positional_embedding
        self.blocks = list(tower.transformer.resblocks)
        self.ln_final = tower.ln_final
        self.projection = tower.text_projection

    @staticmethod
    def of(model: Any) -> CausalTextTower | None:
        """The model's tower, or None where it is of another kind or gives other numbers."""
        tower = getattr(model, "text", model)
        blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
        is_causal = (
            getattr(tower, "text_pool_type", getattr(tower, "pool_type", None)) == "argmax"
            and isinstance(getattr(tower, "attn_mask", None), Tensor)
            and getattr(tower, "cls_emb", None) is None
            and len(blocks) > 0
            and all(type(block) is ResidualAttentionBlock for block in blocks)
        )
        if not is_causal:
            return None
        fast = CausalTextTower(model)
        return fast if fast._agrees_with(model) else None

    def lengths(self, tokens: Tensor) -> Tensor:
        """How many tokens of each row have to be read: int64 `(n,)`."""
        return tokens.argmax(dim=-1) + 1  # the end token is the highest number

    def encode(self, tokens: Tensor) -> Tensor:
        """Embeddings of prompts.

        Args:
            tokens: int64 `(n, length)`, cut behind the longest prompt's end token, which
                is the highest number of each row.

        Returns:
            `(n, embed_dim)`, not normalised.

        Source: the steps of open_clip.model.CLIP.encode_text.
        """
        ends = tokens.argmax(dim=-1)  # (n,)
        shared = _shared_length(tokens, ends)
        x = self._embed(tokens[:, shared:], shared)  # (n, length - shared, width)
        past: list[KeysValues | None] = [None] * len(self.blocks)
        if shared:
            past = list(self._read(self._embed(tokens[:1, :shared], 0)))
        for block, seen in zip(self.blocks[:-1], past[:-1], strict=True):
            x, _ = _run(block, x, seen)
        x = _run_last(self.blocks[-1], x, past[-1], ends - shared)  # (n, width)
        x = self.ln_final(x)
        if self.projection is None:
            return x
        if isinstance(self.projection, torch.nn.Linear):
            return self.projection(x)
        return x @ self.projection

    def _embed(self, tokens: Tensor, start: int) -> Tensor:
        positions = self.positional_embedding[start : start + tokens.shape[1]]
        return self.token_embedding(tokens) + positions

    def _read(self, x: Tensor) -> list[KeysValues]:
        """Keys and values of a shared beginning, layer by layer."""
        layers = []
        for block in self.blocks:
            x, keys_values = _run(block, x, None)
            layers.append(keys_values)
        return layers

    def _agrees_with(self, model: Any) -> bool:
        """Whether both ways give the same on prompts of several lengths."""
        context_length, n_words = self.positional_embedding.shape[0], self.token_embedding
        end = n_words.num_embeddings - 1
        tokens = torch.zeros(len(PROBE_LENGTHS), context_length, dtype=torch.int64)
        for row, length in enumerate(PROBE_LENGTHS):
            length = min(length, context_length - 1)
            tokens[row, :length] = torch.arange(1, length + 1)
            tokens[row, length] = end
        with torch.inference_mode():
            plain = F.normalize(model.encode_text(tokens), dim=-1)
            cut = tokens[:, : int(tokens.argmax(dim=-1).max()) + 1]
            fast = F.normalize(self.encode(cut), dim=-1)
        return bool((plain - fast).abs().max() < PROBE_TOLERANCE)


def _shared_length(tokens: Tensor, ends: Tensor) -> int:
    """How many first tokens all rows share; every row keeps one of its own at least."""
    if len(tokens) < 2:
        return 0
    differs = (tokens != tokens[:1]).any(dim=0)
    length = int(differs.to(torch.int64).argmax()) if bool(differs.any()) else tokens.shape[1]
    return min(length, int(ends.min()))


def _run(block: Any, x: Tensor, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
    """One layer over `x` `(n, tokens, width)`; also the keys and values of these tokens."""
    queries, keys, values = _project(block, block.ln_1(x))
    x = x + block.ls_1(_attend(block, queries, keys, values, past, None))
    return x + block.ls_2(block.mlp(block.ln_2(x))), (keys, values)


def _run_last(block: Any, x: Tensor, past: KeysValues | None, ends: Tensor) -> Tensor:
    """The last layer, for the token `ends` `(n,)` of each row alone: `(n, width)`."""
    rows = torch.arange(len(x))
    queries, keys, values = _project(block, block.ln_1(x))
    queries = queries[rows, :, ends].unsqueeze(2)  # (n, heads, 1, head_dim)
    x = x[rows, ends].unsqueeze(1)
    x = x + block.ls_1(_attend(block, queries, keys, values, past, ends))
    return (x + block.ls_2(block.mlp(block.ln_2(x)))).squeeze(1)


def _project(block: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each `(n, heads, tokens, head_dim)`."""
    attention = block.attn
    n, tokens, width = x.shape
    projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    projected = projected.view(n, tokens, 3, attention.num_heads, width // attention.num_heads)
    queries, keys, values = projected.permute(2, 0, 3, 1, 4)
    return queries, keys, values


def _attend(
    block: Any,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    past: KeysValues | None,
    ends: Tensor | None,
) -> Tensor:
    """Attention to the shared beginning and to a row's own tokens up to each query's.

    Args:
        ends: the one query's place among a row's own tokens; None if all have a query.

    Returns:
        `(n, queries, width)`.
    """
    n, heads, n_queries, head_dim = queries.shape
    own = keys.shape[2]
    places = torch.arange(own) if ends is None else ends.view(n, 1, 1, 1)
    visible = torch.arange(own) <= (places.view(-1, 1) if ends is None else places)
    if past is not None:
        keys = torch.cat([past[0].expand(n, -1, -1, -1), keys], dim=2)
        values = torch.cat([past[1].expand(n, -1, -1, -1), values], dim=2)
        before = torch.ones(*visible.shape[:-1], past[0].shape[2], dtype=torch.bool)
        visible = torch.cat([before, visible], dim=-1)
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    mixed = mixed.transpose(1, 2).reshape(n, n_queries, heads * head_dim)
    return block.attn.out_proj(mixed)
