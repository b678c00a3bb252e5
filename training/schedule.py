"""Learning rates and picture sizes over the course of a training. Pure functions of the step."""

import math


def one_cycle(step: int, total: int, peak: float, warm_up: float = 0.1) -> float:
    """Linear up to `peak` over the first `warm_up` share, then a cosine down to zero."""
    rising = max(1.0, warm_up * total)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / (total - rising))))
