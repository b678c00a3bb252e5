"""Whether a model fits into memory, and when freed memory goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

import psutil

from classifiers.errors import ModelError

# While weights are read, the file's tensors and the model's are in memory together.
BYTES_NEEDED_PER_WEIGHT_BYTE = 2.5

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

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


def keep_freed_memory(n_bytes: int = 256 << 20) -> None:
    """Has the C library keep what a layer frees for the next one.

    Args:
        n_bytes: that are kept at most; blocks of a quarter of it are handed back.

    glibc hands a large block back at once, and the system has to find and clear it again:
    batches took a tenth longer.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, n_bytes)
        mallopt(_M_MMAP_THRESHOLD, n_bytes // 4)


def give_back_freed_memory() -> None:
    """Hands all of it to the system, for instance after a model went."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
