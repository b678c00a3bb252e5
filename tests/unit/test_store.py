"""Heads on disk: whole or not there, bounded, and never a way out of their folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from classifiers.heads import Head
from classifiers.store import HeadStore

MakeHead = Callable[..., Head]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_head_is_found_again_even_by_another_process(make_head: MakeHead, tmp_path: Path) -> None:
    head = make_head()
    HeadStore(tmp_path / "heads").put(head)
    found = HeadStore(tmp_path / "heads").get(head.id)
    assert found is not None and found.id == head.id
    np.testing.assert_array_equal(found.weights, head.weights)


def test_a_head_that_was_never_stored_is_not_there(make_head: MakeHead, tmp_path: Path) -> None:
    assert HeadStore(tmp_path).get(make_head().id) is None


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_file_is_dropped_and_can_be_stored_again(
    damage: bytes | None, make_head: MakeHead, tmp_path: Path
) -> None:
    store, head = HeadStore(tmp_path), make_head()
    store.put(head)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert store.get(head.id) is None, "a person would get half a classifier"
    assert files(tmp_path) == [], "the damaged file would be found again and again"
    store.put(head)
    assert store.get(head.id) is not None


def test_a_file_under_another_s_id_is_not_believed(make_head: MakeHead, tmp_path: Path) -> None:
    store = HeadStore(tmp_path)
    mine, other = make_head(2), make_head(3)
    other.save(tmp_path / f"{mine.id}.safetensors")
    assert store.get(mine.id) is None


@pytest.mark.parametrize(
    "head_id",
    [
        "",
        "..",
        "../secret",
        "../" * 8 + "etc/passwd",
        "/etc/passwd",
        "secret",
        "secret.safetensors",
        "a" * 31,
        "a" * 33,
        "A" * 32,
        "g" * 32,
        "a" * 32 + "\n",
        "a" * 31 + "\0",
        "../heads/" + "a" * 32,
        "٣" * 32,  # digits, but not ours
        "*" * 32,
    ],
)
def test_an_id_that_is_a_path_finds_nothing_and_touches_nothing(
    head_id: str, make_head: MakeHead, tmp_path: Path
) -> None:
    make_head().save(tmp_path / "secret.safetensors")
    (tmp_path / "heads").mkdir()
    assert HeadStore(tmp_path / "heads").get(head_id) is None
    assert files(tmp_path) == ["heads", "secret.safetensors"]


def test_when_it_is_full_the_oldest_goes_first(make_head: MakeHead, tmp_path: Path) -> None:
    heads = [make_head(10, templates=(f"photo {i} of a {{}}",)) for i in range(4)]
    heads[0].save(tmp_path / "size")
    size = (tmp_path / "size").stat().st_size
    store = HeadStore(tmp_path / "heads", max_bytes=3 * size + size // 2)
    for age, head in enumerate(heads[:3]):
        store.put(head)
        path = tmp_path / "heads" / f"{head.id}.safetensors"
        os.utime(path, (1_000_000 + age, 1_000_000 + age))  # long ago, in this order
    assert store.get(heads[0].id) is not None  # used just now, so no longer the oldest
    store.put(heads[3])
    there = [head.id in "".join(files(tmp_path / "heads")) for head in heads]
    assert there == [True, False, True, True]


def test_a_write_that_fails_leaves_the_old_head_and_no_rubbish(
    make_head: MakeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, head = HeadStore(tmp_path), make_head()
    store.put(head)
    before = files(tmp_path)

    def full_disk(self: Head, path: str) -> None:
        Path(path).write_bytes(b"half a he")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Head, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.put(head)
    assert files(tmp_path) == before
    assert store.get(head.id) is not None


def test_readers_see_a_whole_head_while_it_is_written(make_head: MakeHead, tmp_path: Path) -> None:
    store, head = HeadStore(tmp_path), make_head(500)
    store.put(head)

    def work(i: int) -> bool:
        if i % 2:
            store.put(head)
            return True
        return store.get(head.id) is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(80)))
    assert len(files(tmp_path)) == 1
