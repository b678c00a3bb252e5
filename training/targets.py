"""The space both towers learn: the teacher's, its common part taken out.

Sentence embeddings share a large part that says nothing (the 200 class prompts have a mean
pairwise cosine of 0.40). Each neutral frame's mean is subtracted, so that "a lion" and
"a photo of a lion" mean the same; a frame that speaks ("a drawing of a {}") keeps some of
its meaning. What remains is L2-normalised again. Numpy only: knows no network.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.corpus import NEUTRAL_FRAMES, Prompt

PLAIN_FRAME = "{}"
SPEAKING_FRAME_KEPT = 0.4  # share of a speaking frame's own mean left in


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, d) L2-normalised, float32."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class CommonParts:
    """What the prompts of each frame have in common: float32 (384,) by frame, "" for glosses."""

    means: dict[str, np.ndarray]

    @classmethod
    def measure(cls, prompts: list[Prompt], embeddings: np.ndarray) -> "CommonParts":
        """Means by frame of a corpus: `embeddings` are (n, 384), a row a prompt."""
        frames = np.array([prompt.frame for prompt in prompts])
        means = {
            str(frame): np.asarray(embeddings[frames == frame], np.float32).mean(0)
            for frame in np.unique(frames)
        }
        plain = means[PLAIN_FRAME]
        for frame, mean in means.items():
            if frame and frame not in NEUTRAL_FRAMES:
                means[frame] = mean + SPEAKING_FRAME_KEPT * (plain - mean)
        return cls(means)

    def take_out(self, embeddings: np.ndarray, frames: list[str]) -> np.ndarray:
        """Teacher embeddings (n, 384) → targets (n, 384): float32, unit rows."""
        return unit(embeddings - np.stack([self.means[frame] for frame in frames]))

    def save(self, path: Path) -> None:
        """Writes the frames and their means as one `.npz`."""
        np.savez(path, frames=json.dumps(list(self.means)), means=np.stack([*self.means.values()]))

    @classmethod
    def load(cls, path: Path) -> "CommonParts":
        """What `save` wrote."""
        with np.load(path) as stored:
            return cls(dict(zip(json.loads(str(stored["frames"])), stored["means"], strict=True)))
