"""The image tower of the built-in model: a pretrained classifier that speaks our text space.

It sees a picture twice. Its backbone's thousand classes say what the picture shows, as a
mixture of the text vectors of those classes; a projection of the backbone's features says
the rest. The sum lies in the space of the text tower.

Importing this module registers the tower with timm, so that open_clip builds it from a
configuration that names it. Knows torch and timm, nothing of files.

Source: the mixture is ConSE (Norouzi et al. 2014, Zero-Shot Learning by Convex Combination
of Semantic Embeddings, section 3), with vectors that training moves.
"""

from typing import Any

import timm
import torch
from timm.layers import BatchNormAct2d
from timm.models import register_model
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

ARCHITECTURE = "headsmith_lite2"  # in `timm_model_name` of a configuration
BACKBONE = "tf_efficientnet_lite2"  # Apache-2.0, made for phones: no squeeze-excite, ReLU6
BACKBONE_CLASSES = 1000
HIDDEN = 1024


class BuiltinTower(nn.Module):
    """Pictures float32 `(n, 3, height, width)` → embeddings `(n, embed_dim)`, not normalised."""

    def __init__(self, embed_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        backbone: Any = timm.create_model(BACKBONE, num_classes=BACKBONE_CLASSES)
        # Depthwise convolutions are faster with the channels last, on CPUs of any kind.
        self.backbone = fold_batch_norm(backbone.eval()).to(memory_format=torch.channels_last)
        self.words = WordProjection(backbone.num_features, embed_dim, dropout)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.backbone.global_pool(self.backbone.forward_features(pixels))
        embeddings: torch.Tensor = self.words(features, self.backbone.classifier(features))
        return embeddings

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As open_clip asks of every tower."""
        self.backbone.set_grad_checkpointing(enable)


def fold_batch_norm(module: Any) -> Any:
    """Puts every batch normalisation of a network into the convolution before it, in place.

    A picture takes less time, and the numbers are the same but for rounding. The network must
    be in evaluation mode.

    Returns:
        The network: convolutions with a bias, and activations where the normalisations were.
    """
    convolution = ""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Conv2d):
            convolution = name
        elif isinstance(child, BatchNormAct2d):
            folded = fuse_conv_bn_eval(getattr(module, convolution), child)
            setattr(module, convolution, folded)
            setattr(module, name, child.act)
        else:
            fold_batch_norm(child)
    return module


class WordProjection(nn.Module):
    """What the backbone computes → embedding: class mixture and projection, summed.

    Attributes:
        sharpness: what the class logits are multiplied with before their softmax.
        class_vectors: `(1000, embed_dim)`, where the backbone's classes lie in the text space.
    """

    def __init__(self, features: int, embed_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(()))
        self.class_vectors = nn.Parameter(torch.zeros(BACKBONE_CLASSES, embed_dim))
        last = nn.Linear(HIDDEN, embed_dim)
        # At first the classes speak; what the projection adds grows from nothing.
        nn.init.normal_(last.weight, std=0.005)
        nn.init.zeros_(last.bias)
        self.projection = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.Linear(features, HIDDEN),
            nn.GELU(),
            nn.Dropout(dropout),
            last,
        )

    def forward(self, features: torch.Tensor, class_logits: torch.Tensor) -> torch.Tensor:
        """Features `(n, features)` and logits `(n, 1000)` → `(n, embed_dim)`."""
        embeddings: torch.Tensor = self.mix(class_logits) + self.projection(features)
        return embeddings

    def mix(self, class_logits: torch.Tensor) -> torch.Tensor:
        """Logits `(n, 1000)` → the class vectors, mixed as likely as each class is."""
        return (self.sharpness * class_logits).softmax(-1) @ self.class_vectors


@register_model
def headsmith_lite2(
    pretrained: bool = False, num_classes: int = 384, **settings: Any
) -> BuiltinTower:
    """What timm calls for `ARCHITECTURE`; `num_classes` is the width of the embedding."""
    if pretrained:
        raise ValueError("This tower's weights come with the model that names it.")
    return BuiltinTower(num_classes, dropout=settings.get("drop_rate", 0.0))
