"""Random crops and flips of a whole batch at once, in torch on the CPU.

Knows nothing of data sets. Mean and standard deviation are CLIP's own, so that the product
prepares pictures for the built-in model as for any other.
"""

import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch.nn import functional

MEAN = torch.tensor(OPENAI_DATASET_MEAN).view(1, 3, 1, 1)
STD = torch.tensor(OPENAI_DATASET_STD).view(1, 3, 1, 1)


def normalise(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 (n, 3, h, h) → float32 (n, 3, size, size), CLIP's mean and deviation taken out."""
    x = pixels.float() / 255
    if x.shape[-1] != size:
        x = functional.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def random_crops(
    pixels: torch.Tensor, size: int, generator: torch.Generator, smallest_area: float = 0.5
) -> torch.Tensor:
    """Random-resized crops, flips and a change of light: uint8 (n, 3, h, h) → float32.

    A crop covers `smallest_area`..1 of the picture, its sides in a ratio of 3/4..4/3.

    Returns:
        float32 (n, 3, size, size), normalised, channels last.

    Source: Szegedy et al. 2015, Going Deeper with Convolutions, section 6.
    """
    n = len(pixels)

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.empty(n).uniform_(low, high, generator=generator)

    area = uniform(smallest_area, 1.0)
    ratio = torch.exp(uniform(-0.2877, 0.2877))
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    flip = torch.where(uniform(-1, 1) > 0, 1.0, -1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = width * flip
    theta[:, 1, 1] = height
    theta[:, 0, 2] = uniform(-1, 1) * (1 - width)
    theta[:, 1, 2] = uniform(-1, 1) * (1 - height)
    grid = functional.affine_grid(theta, [n, 3, size, size], align_corners=False)
    x = functional.grid_sample(
        pixels.float() / 255, grid, padding_mode="reflection", align_corners=False
    )
    light = uniform(0.75, 1.3).view(n, 1, 1, 1)
    contrast = uniform(0.75, 1.3).view(n, 1, 1, 1)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = ((x - middle) * contrast + middle * light).clamp(0, 1)
    return ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)
