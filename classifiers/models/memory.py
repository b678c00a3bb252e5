"""Whether a model fits into memory."""

from __future__ import annotations

from pathlib import Path

import psutil

from classifiers.errors import ModelError

# While weights are read, the file's tensors and the model's are in memory together.
BYTES_NEEDED_PER_WEIGHT_BYTE = 2.5

CGROUP_DIR = Path("/sys/fs/cgroup")


def check_memory(name: str, weight_bytes: int, freed_bytes: int = 0) -> None:
    """Refuses a model that does not fit.

    Args:
        freed_bytes: what models that go before it will give back.

    Raises:
        ModelError: with the figures.
    """
    needed = weight_bytes * BYTES_NEEDED_PER_WEIGHT_BYTE
    available = _available_bytes() + freed_bytes
    if needed > available:
        raise ModelError(
            f"{name} needs about {needed / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB "
            "are free; close something or choose a smaller model."
        )


def _available_bytes() -> int:
    """Memory that is free here: of the machine, or of the container if it allows less."""
    available = psutil.virtual_memory().available
    try:
        allowed = int((CGROUP_DIR / "memory.max").read_text())
        used = int((CGROUP_DIR / "memory.current").read_text())
        statistics = dict(
            line.split() for line in (CGROUP_DIR / "memory.stat").read_text().splitlines()
        )
        cached = int(statistics["inactive_file"])  # given up as soon as it is wanted
    except (OSError, ValueError, KeyError):  # no container, or one without a limit
        return available
    return min(available, allowed - used + cached)
