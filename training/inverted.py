"""Features of classes that no picture here shows: real ones moved until a class leads.

Torch; knows no files.
"""

import torch

STEPS = 40
SMALLEST_MARGIN, LARGEST_MARGIN = 2.0, 10.0  # logits by which the class leads


def invert(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, count: int
) -> torch.Tensor:
    """Features near real ones, each led by a class drawn at random, by a random margin.

    The classifier is linear, so a step goes straight towards the class and away from its
    strongest rival; features stay at or above 0, as the backbone's are.

    Args:
        features: real ones, (n, 1280).
        weight, bias: the backbone's classifier, (1000, 1280) and (1000,).

    Returns:
        (count, 1280).
    """
    moved = features[torch.randint(len(features), (count,))].clone()
    classes = torch.randint(len(weight), (count,))
    margins = torch.rand(count) * (LARGEST_MARGIN - SMALLEST_MARGIN) + SMALLEST_MARGIN
    rows = torch.arange(count)
    for _ in range(STEPS):
        logits = moved @ weight.T + bias
        own = logits[rows, classes].clone()
        logits[rows, classes] = -torch.inf
        strongest, rivals = logits.max(1)
        direction = weight[classes] - weight[rivals]
        missing = (margins - (own - strongest)).clamp(min=0)
        step = 0.5 * missing / direction.pow(2).sum(1)  # half: other rivals come up meanwhile
        moved = (moved + step[:, None] * direction).clamp(min=0)
    return moved
