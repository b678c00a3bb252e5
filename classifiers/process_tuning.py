"""When freed memory goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


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
