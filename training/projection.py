"""Trains what lies between the backbone and the text: class vectors, projection, text tower.

On features that are computed once. A picture and its caption find each other in a batch
(contrastive); every picture's softmax over the whole vocabulary follows what the backbone,
or the collection, says it shows; and among the names of classes and labels alone it finds
its own, since sisters that lie near each other must be told apart. The text tower learns
along, held to what it said before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from open_clip import CLIP
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from classifiers.encoder.builtin_tower import WordProjection
from training.architecture import encode_tokens, load_state, save_state
from training.schedule import one_cycle
from training.text_tower import text_parameters


@dataclass(frozen=True)
class Settings:
    """What one training is made with; saved with its state."""

    epochs: int = 12
    caption_batch: int = 512
    picture_batch: int = 512
    text_batch: int = 256
    rate: float = 1e-3
    text_rate: float = 1e-4
    weight_decay: float = 0.05
    dropout: float = 0.3
    class_dropout: float = 0.2  # share of pictures for which the backbone's classes are unsaid
    label_share: float = 0.5  # of a labelled picture's target; the backbone says the rest
    name_weight: float = 0.5
    text_weight: float = 10.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class CaptionedPictures:
    """Features (n, views, 1280), and tokens of every caption (n, captions, length)."""

    features: torch.Tensor
    tokens: torch.Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """Pictures of one collection.

    Attributes:
        features: (n, views, 1280).
        rows: the row of `Targets.labels` of each picture, int64 (n,), -1 where it has none.
        share: of a batch.
    """

    features: torch.Tensor
    rows: torch.Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Targets:
    """What the softmax over the vocabulary should be.

    Attributes:
        vectors: the vocabulary's text embeddings, (n_words, d), unit rows.
        classes: for each of the backbone's classes, (1000, n_words), rows summing to 1.
        labels: for each label of the collections, (n_labels, n_words), rows summing to 1.
        class_words, label_words: which word is the name of each, int64 (1000,), (n_labels,).
    """

    vectors: torch.Tensor
    classes: torch.Tensor
    labels: torch.Tensor
    class_words: torch.Tensor
    label_words: torch.Tensor


@dataclass(frozen=True, eq=False)
class KeptTexts:
    """Texts whose embeddings the text tower keeps: tokens (n, length), targets (n, d)."""

    tokens: torch.Tensor
    targets: torch.Tensor


class Trainee(nn.Module):
    """The projection with the backbone's own classifier, which stays as it is."""

    def __init__(self, projection: WordProjection, classifier: nn.Linear) -> None:
        super().__init__()
        self.projection = projection
        self.classifier = classifier.requires_grad_(False)
        self.caption_scale = nn.Parameter(torch.tensor(3.0))  # logarithms, as CLIP keeps its own
        self.word_scale = nn.Parameter(torch.tensor(3.4))

    def forward(self, features: torch.Tensor, class_dropout: float = 0.0) -> torch.Tensor:
        """Features (n, 1280) → unit rows (n, d)."""
        logits = self.classifier(features)
        if not class_dropout:
            return functional.normalize(self.projection(features, logits), dim=-1)
        said = (torch.rand(len(features), 1) >= class_dropout).float()
        mixed = self.projection.mix(logits) * said
        return functional.normalize(mixed + self.projection.projection(features), dim=-1)


def any_view(features: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Features of pictures `which` (n,), each in a view drawn at random: float32 (n, 1280)."""
    views = torch.randint(features.shape[1], (len(which),))
    return features[which, views].float()


def contrastive_loss(
    images: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Each picture's caption among the batch's, and the other way round; unit rows (n, d).

    Source: Radford et al. 2021, figure 3.
    """
    logits = scale * images @ texts.T
    own = torch.arange(len(images))
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


@dataclass(frozen=True, eq=False)
class Pictures:
    """A batch: features (n, 1280), the backbone's softmax (n, 1000), rows of labels (n,)."""

    features: torch.Tensor
    classes: torch.Tensor
    rows: torch.Tensor

    def word_loss(self, logits: torch.Tensor, targets: Targets, label_share: float) -> torch.Tensor:
        """Cross-entropy of the softmax over the vocabulary; `logits` are (n, n_words)."""
        share = label_share * (self.rows >= 0).float()[:, None]
        wanted = (1 - share) * (self.classes @ targets.classes)
        wanted = wanted + share * targets.labels[self.rows.clamp(min=0)]
        return -(wanted * logits.log_softmax(-1)).sum(1).mean()

    def name_loss(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        """Cross-entropies among the names of classes alone, and of labels alone."""
        among_classes = logits[:, targets.class_words].log_softmax(-1)
        loss = -(self.classes * among_classes).sum(1).mean()
        labelled = self.rows >= 0
        if labelled.any():
            among_labels = logits[labelled][:, targets.label_words]
            loss = loss + functional.cross_entropy(among_labels, self.rows[labelled])
        return loss


def draw_pictures(trainee: Trainee, sources: list[Source], settings: Settings) -> Pictures:
    """A batch of every collection's share."""
    features, rows = [], []
    for source in sources:
        count = round(settings.picture_batch * source.share)
        if not count:
            continue
        which = torch.randint(len(source.features), (count,))
        features.append(any_view(source.features, which))
        rows.append(source.rows[which])
    drawn = torch.cat(features)
    return Pictures(drawn, trainee.classifier(drawn).softmax(-1), torch.cat(rows))


def train_projection(
    trainee: Trainee,
    text_tower: CLIP,
    captioned: CaptionedPictures,
    sources: list[Source],
    targets: Targets,
    kept: KeptTexts,
    state_path: Path,
    settings: Settings,
) -> None:
    """Trains until `settings.epochs` are done, on from `state_path` where it holds a state."""
    torch.manual_seed(settings.seed)
    text = text_parameters(text_tower)
    groups = [
        {"params": trainee.projection.parameters(), "weight_decay": settings.weight_decay},
        {"params": [trainee.caption_scale, trainee.word_scale], "weight_decay": 0.0},
        {"params": text.values(), "weight_decay": 0.01},
    ]
    peaks = (settings.rate, settings.rate, settings.text_rate)
    optimizer = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98))
    per_epoch = len(captioned.features) // settings.caption_batch
    total, step = settings.epochs * per_epoch, 0
    if state := load_state(state_path):
        trainee.load_state_dict(state["trainee"])
        text_tower.load_state_dict(state["text"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    progress = tqdm(total=total, initial=step, desc="projection", mininterval=10)
    trainee.train()
    while step < total:
        order = torch.randperm(len(captioned.features))
        for number in range(per_epoch):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = one_cycle(step, total, peak, warm_up=0.05)
            which = order[number * settings.caption_batch :][: settings.caption_batch]
            images = trainee(any_view(captioned.features, which), settings.class_dropout)
            caption = torch.randint(captioned.tokens.shape[1], (len(which),))
            said = encode_tokens(text_tower, captioned.tokens[which, caption].long())
            of_captions = contrastive_loss(
                images, functional.normalize(said, dim=-1), trainee.caption_scale.exp()
            )
            drawn = draw_pictures(trainee, sources, settings)
            images = trainee(drawn.features, settings.class_dropout)
            logits = trainee.word_scale.exp() * images @ targets.vectors.T
            of_words = drawn.word_loss(logits, targets, settings.label_share)
            of_names = drawn.name_loss(logits, targets)
            some = torch.randint(len(kept.tokens), (settings.text_batch,))
            now = encode_tokens(text_tower, kept.tokens[some].long())
            of_text = 1 - functional.cosine_similarity(now, kept.targets[some].float()).mean()
            loss = of_captions + of_words
            loss = loss + settings.name_weight * of_names + settings.text_weight * of_text
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trainee.projection.parameters(), 5.0)
            nn.utils.clip_grad_norm_(text.values(), 1.0)
            optimizer.step()
            step += 1
            progress.update()
            progress.set_postfix(
                captions=f"{of_captions.item():.3f}",
                words=f"{of_words.item():.3f}",
                names=f"{of_names.item():.3f}",
                text=f"{of_text.item():.4f}",
                refresh=False,
            )
        save_state(
            state_path,
            {
                "trainee": trainee.state_dict(),
                "text": {name: p.detach() for name, p in text.items()},
                "optimizer": optimizer.state_dict(),
                "step": step,
                "settings": vars(settings),
            },
        )
    trainee.eval()
