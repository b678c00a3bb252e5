"""What a server sets for its whole process: threads, memory, downloads.

Importing the library and loading a model change none of it: that is for the program to decide,
which calls `tune_process` once.
"""

from __future__ import annotations

import contextlib
import ctypes

# How much arrives before the bar moves; huggingface_hub's 10 MB is a minute on a slow line.
DOWNLOAD_CHUNK_BYTES = 1 << 20

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# Another C library lacks the function; on Windows none is found without a name.
_NO_SUCH_FUNCTION = (OSError, AttributeError, TypeError)


def tune_process() -> None:
    """Tunes this process for a server that computes with one encoder and many small heads.

    Changes numpy's number of threads, what the C library keeps of freed memory, and the size of
    the pieces in which huggingface_hub downloads.
    """
    keep_freed_memory()
    _multiply_in_one_thread()
    from huggingface_hub import constants  # late: the decoding processes need none of this

    constants.DOWNLOAD_CHUNK_SIZE = DOWNLOAD_CHUNK_BYTES


def _multiply_in_one_thread() -> None:
    """Lets numpy multiply matrices in the thread that asks for it.

    After a product its other threads go on spinning for a while, and a picture that is encoded
    meanwhile takes twice as long.  Heads are small enough for one thread.
    """
    import numpy  # noqa: F401, so that its library is there
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().select(internal_api="openblas").lib_controllers:
        if "torch" not in library.filepath:
            library.set_num_threads(1)


def keep_freed_memory(n_bytes: int = 256 << 20) -> None:
    """Has the C library keep what a layer frees for the next one.

    Args:
        n_bytes: that are kept at most; blocks of a quarter of it are handed back.

    glibc hands a large block back at once, and the system has to find and clear it again:
    batches took a tenth longer.
    """
    with contextlib.suppress(*_NO_SUCH_FUNCTION):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, n_bytes)
        mallopt(_M_MMAP_THRESHOLD, n_bytes // 4)


def give_back_freed_memory() -> None:
    """Hands all of it to the system, for instance after a model went."""
    with contextlib.suppress(*_NO_SUCH_FUNCTION):
        ctypes.CDLL(None).malloc_trim(0)
