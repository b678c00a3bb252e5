"""Who imports the library keeps the process as it was; a server asks to have it tuned."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from classifiers.process_tuning import give_back_freed_memory, keep_freed_memory

ROOT = Path(__file__).resolve().parents[2]

# Prints the settings of the process: before, with a loaded model, and after `tune_process`.
SETTINGS = """
import json, sys

tuned_memory = []
sys.addaudithook(
    lambda event, about: tuned_memory.append(1)
    if event == "ctypes.dlsym" and about[1] == "mallopt" else None
)
import numpy, open_clip, torch
from huggingface_hub import constants
from threadpoolctl import ThreadpoolController

def settings():
    return {
        "torch": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "numpy": {
            library.filepath: library.num_threads
            for library in ThreadpoolController().select(internal_api="openblas").lib_controllers
            if "numpy" in library.filepath
        },
        "download": constants.DOWNLOAD_CHUNK_SIZE,
        "memory": len(tuned_memory),
    }

before = settings()
import classifiers.models.hub
from classifiers import build_zero_shot_head, load_encoder
build_zero_shot_head(load_encoder(sys.argv[1]), ["cat"], ["a {}"], name="Cat")
loaded = settings()
from classifiers.process_tuning import tune_process
tune_process()
print(json.dumps([before, loaded, settings()]))
"""


def test_a_loaded_model_leaves_the_process_as_it_was_until_it_is_tuned(tiny_model: str) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, tiny_model],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, loaded, tuned = json.loads(done.stdout.splitlines()[-1])
    assert loaded == before, "a researcher's own products would be slower after the import"
    assert set(tuned["numpy"].values()) <= {1}
    assert tuned["download"] == 1 << 20 and tuned["torch"] == before["torch"]
    if sys.platform == "linux":
        assert tuned["memory"] == 1


def test_a_system_whose_c_library_cannot_be_found_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_on_windows(name: str | None) -> None:
        raise TypeError("bad argument type for built-in operation")

    monkeypatch.setattr(ctypes, "CDLL", as_on_windows)
    keep_freed_memory()
    give_back_freed_memory()
