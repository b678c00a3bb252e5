"""Whether a model fits, also where a container allows less than the machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifiers.errors import ModelError
from classifiers.models import memory
from classifiers.models.memory import check_memory


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP_DIR", tmp_path)
    (tmp_path / "memory.max").write_text("1000000000\n")
    (tmp_path / "memory.current").write_text("900000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    check_memory("small", 70_000_000)
    with pytest.raises(ModelError, match=r"0\.2 GB"):
        check_memory("large", 90_000_000)
    check_memory("large", 90_000_000, freed_bytes=100_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    check_memory("large", 90_000_000)
