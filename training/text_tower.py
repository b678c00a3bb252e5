"""Distils the teacher into the text tower: a student that needs 48 tokens and 16 M numbers.

The loss asks for the target's direction and, so that neighbours stay neighbours, for the
target's similarities within the batch. Knows nothing of pictures.
"""

from pathlib import Path

import numpy as np
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional
from tqdm import tqdm

from training.architecture import encode_tokens, load_state, save_state
from training.schedule import one_cycle
from training.teacher import FAST_BFLOAT16, Teacher

SAVE_EVERY_STEPS = 200
RELATION_TEMPERATURE = 0.05


def tokenize(texts: list[str], context_length: int) -> np.ndarray:
    """Texts → int32 (n, context_length), cut where too long, zero after the end token."""
    tokenizer = SimpleTokenizer(context_length=context_length)
    parts = [tokenizer(texts[i : i + 4096]).int() for i in range(0, len(texts), 4096)]
    return torch.cat(parts).numpy()


def initialise_tokens(model: CLIP, teacher: Teacher) -> None:
    """Gives each token what the teacher makes of its letters, in its principal components.

    A head start: "lion</w>" begins near "tiger</w>" instead of anywhere.
    """
    tokenizer = SimpleTokenizer()
    letters = [tokenizer.decode([i]).strip() or "." for i in range(tokenizer.vocab_size)]
    rows = torch.from_numpy(teacher.embed(letters))
    rows = rows - rows.mean(0)
    width = model.token_embedding.weight.shape[1]
    _, _, components = torch.pca_lowrank(rows, q=width, niter=4)
    projected = rows @ components
    with torch.no_grad():
        model.token_embedding.weight.copy_(projected / projected.std() * 0.02)


def batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Indices in batches of similar length, in random order: little padding, still mixed."""
    order = rng.permutation(len(lengths))
    pool = size * 64
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        order[start : start + pool] = part[np.argsort(lengths[part], kind="stable")]
    chunks = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    rng.shuffle(chunks)
    return chunks


def distillation_loss(student: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 − cosine, and how far the batch's neighbourhoods are from the target's.

    Args:
        student, target: unit rows (n, 384).

    Source: Park et al. 2019, Relational Knowledge Distillation, for the second term.
    """
    direction = (1 - (student * target).sum(-1)).mean()
    mask = torch.eye(len(student), dtype=torch.bool)
    wanted = (target @ target.T / RELATION_TEMPERATURE).masked_fill(mask, -1e4).softmax(-1)
    found = (student @ target.T / RELATION_TEMPERATURE).masked_fill(mask, -1e4).log_softmax(-1)
    return direction + 0.1 * functional.kl_div(found, wanted, reduction="batchmean")


def text_parameters(model: CLIP) -> dict[str, torch.nn.Parameter]:
    """The text tower's parameters by name."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if not name.startswith("visual.") and not name.startswith("logit_")
    }


def train_text_tower(
    model: CLIP,
    tokens: np.ndarray,
    targets: np.ndarray,
    state_path: Path,
    epochs: int,
    batch_size: int = 512,
    peak_rate: float = 1.5e-3,
) -> float:
    """Trains until `epochs` are done, from `state_path` where it holds a state.

    Args:
        tokens: int32 (n, context), of `tokenize`.
        targets: (n, 384), unit rows, any float type.

    Returns:
        The last smoothed loss.
    """
    lengths = (tokens.argmax(-1) + 1).astype(np.int32)
    parameters = text_parameters(model)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    step, smooth = 0, float("nan")
    if state := load_state(state_path):
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        step, smooth = state["step"], state["loss"]
    steps_an_epoch = len(tokens) // batch_size
    total = epochs * steps_an_epoch

    def save() -> None:
        weights = {name: p.detach() for name, p in parameters.items()}
        optimizer_state = optimizer.state_dict()
        save_state(
            state_path,
            {"model": weights, "optimizer": optimizer_state, "step": step, "loss": smooth},
        )

    progress = tqdm(total=total, initial=step, desc="text tower", mininterval=10)
    while step < total:
        epoch_batches = batches(lengths, batch_size, np.random.default_rng(step // steps_an_epoch))
        for chosen in epoch_batches[step % steps_an_epoch :]:
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(step, total, peak_rate, warm_up=0.04)
            with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16):
                raw = encode_tokens(model, torch.from_numpy(tokens[chosen]).long())
            student = functional.normalize(raw.float(), dim=-1)
            target = torch.from_numpy(np.asarray(targets[chosen], np.float32))
            loss = distillation_loss(student, target)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimizer.step()
            step += 1
            smooth = loss.item() if smooth != smooth else 0.98 * smooth + 0.02 * loss.item()
            progress.update()
            if step % 20 == 0:
                cosine = (student * target).sum(-1).mean().item()
                progress.set_postfix(loss=f"{smooth:.4f}", cosine=f"{cosine:.3f}", refresh=False)
            if step % SAVE_EVERY_STEPS == 0:
                save()
    save()
    return smooth
