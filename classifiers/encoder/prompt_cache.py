"""Text embeddings of one model, kept while they are used: a prompt is encoded once.

Whoever adds a class to a list, or takes another template and the first one again, pays for
what is new only.  Knows neither heads nor files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from cachetools import LRUCache

EncodeTexts = Callable[[Sequence[str], Callable[[int, int], None] | None], np.ndarray]

MAX_BYTES = 32_000_000  # 14,000 prompts of 512 numbers: the longest lists, three times
_BYTES_AROUND = 200  # of a key and of an array's own structure


class PromptCache:
    """Takes the place of `Encoder.encode_texts`.  Safe to use from several threads."""

    def __init__(self, encode: EncodeTexts, max_bytes: int = MAX_BYTES) -> None:
        self._encode = encode
        self._rows: LRUCache[str, np.ndarray] = LRUCache(
            max_bytes, getsizeof=lambda row: row.nbytes + _BYTES_AROUND
        )
        self._lock = threading.Lock()

    def encode_texts(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """As `Encoder.encode_texts`: float32 `(len(texts), embed_dim)`, unit rows."""
        if not texts:
            return self._encode(texts, progress)
        with self._lock:
            rows = {text: self._rows.get(text) for text in texts}
        missing = [text for text, row in rows.items() if row is None]
        if missing:

            def report(done: int, _all: int) -> None:
                if progress is not None:
                    progress(len(texts) - len(missing) + done, len(texts))

            encoded = self._encode(missing, report)
            with self._lock:
                for text, row in zip(missing, encoded, strict=True):
                    # A copy: a row of a larger array would keep all of it in memory.
                    rows[text] = self._rows[text] = row.copy()
        return np.stack([rows[text] for text in texts])  # type: ignore[misc]
