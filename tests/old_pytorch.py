"""Files of ours in PyTorch 1.13, as Debian's `python3-torch` brings it for the system's Python.

`OLD_PYTORCH=PYTHON` names another interpreter, for instance one with PyTorch 2.1, the other
release that phones have.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

# Run by the old interpreter: loads FILE, feeds it INPUT (.npy), writes OUTPUT_0.npy, …
RUNNER = """
import sys
import numpy as np
import torch
from torch.jit.mobile import _load_for_lite_interpreter
file, given, output = sys.argv[1:]
module = _load_for_lite_interpreter(file) if file.endswith(".ptl") else torch.jit.load(file)
with torch.no_grad():
    answer = module(torch.from_numpy(np.load(given)))
for i, tensor in enumerate(answer if isinstance(answer, tuple) else (answer,)):
    np.save(f"{output}_{i}.npy", tensor.numpy())
"""


@functools.cache
def old_python() -> str | None:
    """A Python whose torch is 1.13, outside of this environment; or the one asked for."""
    if asked_for := os.environ.get("OLD_PYTORCH"):
        return asked_for
    for candidate in ("/usr/bin/python3", "/usr/bin/python3.11", shutil.which("python3.11")):
        if candidate is None or not Path(candidate).exists():
            continue
        code = "import torch; print(torch.__version__)"
        done = subprocess.run([candidate, "-I", "-c", code], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.startswith("1.13"):
            return candidate
    return None


def run_in_pytorch_1_13(file: Path, given: np.ndarray) -> list[np.ndarray]:
    """What the module in `file` (.pt or .ptl) answers to `given`, tensor by tensor."""
    python = old_python()
    assert python is not None, "no Python with PyTorch 1.13 here"
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "given.npy", given)
        done = subprocess.run(
            [python, "-I", "-c", RUNNER, file, f"{folder}/given.npy", f"{folder}/output"],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in this process, see conftest
        )
        assert done.returncode == 0, f"a phone could not run {file.name}:\n{done.stderr[-2000:]}"
        return [np.load(path) for path in sorted(Path(folder).glob("output_*.npy"))]
