"""Trains the image tower against a table of word vectors that starts as the teacher's.

Two losses share the table: which of the data set's class names it is, and how the softmax
over the whole vocabulary should look (`captions`). The vectors may move a little, tied to
where they began; the text tower learns afterwards where they went.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from open_clip import CLIP
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from training.architecture import encode_pictures, load_state, save_state
from training.augment import normalise, random_crops
from training.schedule import one_cycle
from training.word_table import Words

SAVE_EVERY_STEPS = 400
AVERAGE_EVERY_STEPS = 4
AVERAGE_DECAY = 0.996  # of the running average of the weights, each time it is taken
TIE_TO_TEACHER = 5.0  # weight of the mean squared distance the words have moved
MENTIONED_SHARE = 2e-3  # of a caption distribution: above it, a word is in every step
OTHER_WORDS_A_STEP = 2_000
LABEL_SMOOTHING = 0.1

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # pictures, rows, named


@dataclass(frozen=True)
class ImageData:
    """One source of pictures, and how many of them an epoch shows.

    `rows` (n,) are rows of the caption distributions; a source that is `named` also learns
    to tell its class names apart.
    """

    pixels: torch.Tensor  # uint8 (n, 3, h, h)
    rows: torch.Tensor  # int64 (n,)
    an_epoch: int
    named: bool


class WordTable(nn.Module):
    """Unit word vectors (n_words, 384) that may move from the teacher's, and two logit scales."""

    teacher: torch.Tensor  # (n_words, 384)
    names: torch.Tensor  # (n_named,), the word of each class name

    def __init__(self, words: Words) -> None:
        super().__init__()
        self.wanted = torch.from_numpy(words.wanted)  # (n_classes, n_words)
        self._steady = self.mentioned(torch.arange(len(words.names)))
        self.register_buffer("teacher", torch.from_numpy(words.vectors))
        self.register_buffer(
            "names", torch.from_numpy(words.names)
        )  # word index of each class name
        self.moved = nn.Parameter(torch.zeros_like(self.teacher))
        self.log_scales = nn.Parameter(torch.log(torch.tensor([20.0, 16.0])))

    def carry_over(
        self,
        vocabulary: list[str],
        earlier: list[str],
        moved: torch.Tensor,
        log_scales: torch.Tensor,
    ) -> None:
        """Takes up an earlier table's scales, and its moves for the words both know."""
        index = {word: i for i, word in enumerate(earlier)}
        known = [i for i, word in enumerate(vocabulary) if word in index]
        with torch.no_grad():
            self.moved[known] = moved[[index[vocabulary[i]] for i in known]]
            self.log_scales.copy_(log_scales)

    def vectors(self) -> torch.Tensor:
        """(n_words, 384), unit rows."""
        return functional.normalize(self.teacher + self.moved, dim=-1)

    def mentioned(self, rows: torch.Tensor) -> torch.Tensor:
        """Which words the captions of these classes hold, bool (n_words,)."""
        return (self.wanted[rows] > MENTIONED_SHARE).any(0)

    def loss(self, images: torch.Tensor, rows: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
        """Images (n, 384), unit rows; rows (n,) of the caption distributions; named bool (n,).

        In every step: the words of the classes told apart by name, and of the batch. The
        rest come by turns, `OTHER_WORDS_A_STEP` at a time.
        """
        is_chosen = self._steady | self.mentioned(rows[~named])
        others = torch.nonzero(~is_chosen).squeeze(1)
        turn = torch.randperm(len(others))[:OTHER_WORDS_A_STEP]
        words = torch.cat([torch.nonzero(is_chosen).squeeze(1), others[turn]])
        vectors = functional.normalize(self.teacher[words] + self.moved[words], dim=-1)
        target = self.wanted[rows[:, None], words]  # (n, n_chosen)
        target = target / target.sum(-1, keepdim=True)
        names_scale, words_scale = self.log_scales.clamp(max=4).exp()
        loss = functional.cross_entropy(words_scale * images @ vectors.T, target)
        if named.any():
            names = functional.normalize(self.teacher[self.names] + self.moved[self.names], dim=-1)
            logits = names_scale * images[named] @ names.T
            told_apart = functional.cross_entropy(
                logits, rows[named], label_smoothing=LABEL_SMOOTHING
            )
            loss = loss + told_apart * named.float().mean()
        return loss + TIE_TO_TEACHER * self.moved[words].square().sum(-1).mean()


def epoch_batches(
    sources: list[ImageData], batch_size: int, generator: torch.Generator
) -> Iterator[Batch]:
    """One epoch: (uint8 pixels, rows, named) a batch, the sources mixed evenly."""
    chosen = []
    for number, source in enumerate(sources):
        order = torch.randperm(len(source.rows), generator=generator)
        order = order.repeat(-(-source.an_epoch // len(order)))[: source.an_epoch]
        chosen.append(torch.stack([torch.full_like(order, number), order], 1))
    pairs = torch.cat(chosen)
    pairs = pairs[torch.randperm(len(pairs), generator=generator)]
    for part in pairs[: len(pairs) // batch_size * batch_size].split(batch_size):
        pixels, rows, named = [], [], []
        for number, source in enumerate(sources):
            indices = part[part[:, 0] == number, 1]
            pixels.append(source.pixels[indices])
            rows.append(source.rows[indices])
            named.append(torch.full((len(indices),), source.named))
        yield torch.cat(pixels), torch.cat(rows), torch.cat(named)


def optimizers(
    model: CLIP, table: WordTable
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """SGD for the network (no decay of biases and norms), AdamW for the words."""
    parameters = list(model.visual.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 5e-4},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    network = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, foreach=True)
    return network, torch.optim.AdamW(table.parameters(), lr=1e-3, weight_decay=0.0, fused=True)


@torch.inference_mode()
def names_accuracy(
    model: CLIP, table: WordTable, pixels: torch.Tensor, rows: torch.Tensor, size: int
) -> float:
    """Top-1 among the class names, in 0..1."""
    model.visual.eval()
    names = table.vectors()[table.names]
    found = [
        (encode_pictures(model, normalise(part, size)) @ names.T).argmax(-1)
        for part in pixels.split(200)
    ]
    model.visual.train()
    return (torch.cat(found) == rows).float().mean().item()


def train_image_tower(
    model: CLIP,
    table: WordTable,
    sources: list[ImageData],
    state_path: Path,
    plan: list[int],
    batch_size: int = 128,
    peak_rate: float = 0.15,
    watched: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> float:
    """Trains an epoch for each picture size in `plan`, from `state_path` if it holds a state.

    Leaves the running average of the weights in `model` and the last words in `table`.

    Args:
        plan: pixels of each epoch, such as [40, 40, 40, 64].
        watched: pictures and rows whose accuracy is shown after each epoch; not learned from.

    Returns:
        The last smoothed loss.
    """
    network, words = optimizers(model, table)
    average = {name: tensor.clone() for name, tensor in model.visual.state_dict().items()}
    step, smooth = 0, float("nan")
    if state := load_state(state_path):
        model.visual.load_state_dict(state["visual"])
        table.load_state_dict(state["table"])
        network.load_state_dict(state["network"])
        words.load_state_dict(state["words"])
        average, step, smooth = state["average"], state["step"], state["loss"]
    steps_an_epoch = sum(source.an_epoch for source in sources) // batch_size
    total = steps_an_epoch * len(plan)

    def save() -> None:
        state = {"visual": model.visual.state_dict(), "table": table.state_dict()}
        state |= {"network": network.state_dict(), "words": words.state_dict()}
        save_state(state_path, state | {"average": average, "step": step, "loss": smooth})

    model.visual.train()
    progress = tqdm(total=total, initial=step, desc="image tower", mininterval=10)
    while step < total:
        epoch = step // steps_an_epoch
        generator = torch.Generator().manual_seed(epoch)
        batches = epoch_batches(sources, batch_size, generator)
        left = islice(batches, step - epoch * steps_an_epoch, None)  # the rest was learned before
        cropped = (
            (random_crops(pixels, plan[epoch], generator), rows, named)
            for pixels, rows, named in left
        )
        for images, rows, named in one_ahead(cropped):
            for group in network.param_groups:
                group["lr"] = one_cycle(step, total, peak_rate, warm_up=0.15)
            words.param_groups[0]["lr"] = one_cycle(step, total, 1e-3, warm_up=0.15)
            loss = table.loss(encode_pictures(model, images), rows, named)
            network.zero_grad()
            words.zero_grad()
            loss.backward()
            network.step()
            words.step()
            step += 1
            smooth = loss.item() if smooth != smooth else 0.98 * smooth + 0.02 * loss.item()
            if step % AVERAGE_EVERY_STEPS == 0:
                take_average(average, model.visual, min(AVERAGE_DECAY, step / (step + 400)))
            progress.update()
            progress.set_postfix(loss=f"{smooth:.3f}", size=plan[epoch], refresh=False)
            if step % SAVE_EVERY_STEPS == 0:
                save()
        if watched:
            top1 = names_accuracy(model, table, *watched, plan[epoch])
            tqdm.write(f"epoch {epoch + 1}: {100 * top1:.1f} % of the watched at {plan[epoch]} px")
    save()
    model.visual.load_state_dict(average)
    return smooth


def one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, the next one made by a thread of its own while one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def take_average(average: dict[str, torch.Tensor], network: nn.Module, decay: float) -> None:
    """Moves the running average towards the network's weights and statistics, in place."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor, 1 - decay)
        else:
            average[name].copy_(tensor)
