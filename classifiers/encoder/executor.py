"""The one thread in which encoders compute, whoever asks.

Every thread that computes with torch has helpers of its own. Two such sets on two cores wait
for each other in every layer: a small network then takes twice as long. So work queues here,
a batch at a time, and a picture waits for one batch of another's classifier, not for all.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

COMPUTING_THREAD = ThreadPoolExecutor(1, thread_name_prefix="computing")


def compute(
    work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """What `work` returns or raises, in its turn.  Not to be called by `work` itself."""
    return COMPUTING_THREAD.submit(work, *args, **kwargs).result()
