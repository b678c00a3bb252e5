"""Heads on disk: whole or not there, bounded, and never a way out of their folder."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from classifiers.errors import HeadError
from classifiers.heads.head import Head
from classifiers.heads.head_format import pack
from classifiers.heads.store import SECONDS_BEFORE_SWEEPING, HeadStore

ROOT = Path(__file__).resolve().parents[3]

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


def run(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A process of its own, which a limit or a signal may strike."""
    imports = (
        "import os, pathlib, resource, signal, sys\n"
        "from classifiers.heads.head import Head\n"
        "from classifiers.heads.store import HeadStore\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", imports + code, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


NO_DESCRIPTOR_LEFT = """
store = HeadStore(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    print("none left", store.get(sys.argv[2]))
for descriptor in taken:
    os.close(descriptor)
print("some left", store.get(sys.argv[2]).id)
"""


def test_a_head_outlives_a_moment_without_file_descriptors(
    make_head: MakeHead, tmp_path: Path
) -> None:
    head = make_head()
    HeadStore(tmp_path).put(head)
    said, log = run(NO_DESCRIPTOR_LEFT, tmp_path, head.id).communicate(timeout=60)
    assert said.splitlines() == ["none left None", f"some left {head.id}"], log
    assert "cannot be read now: Too many open files" in log
    assert files(tmp_path) == [f"{head.id}.safetensors"], "a sound head was thrown away"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read_now_is_kept(
    code: int, make_head: MakeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, head = HeadStore(tmp_path), make_head()
    store.put(head)

    def fail(self: Path) -> bytes:
        raise OSError(code, os.strerror(code), str(self))

    with monkeypatch.context() as unreadable:
        unreadable.setattr(Path, "read_bytes", fail)
        assert store.get(head.id) is None
    assert store.get(head.id) is not None


DISK_IS_FULL = """
head = Head.load(sys.argv[2])
store = HeadStore(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    store.put(head)
except OSError as error:
    print(error.strerror)
"""


def test_a_disk_without_room_is_an_error_of_the_disk_and_leaves_no_rubbish(
    make_head: MakeHead, tmp_path: Path
) -> None:
    make_head().save(tmp_path / "head.safetensors")
    process = run(DISK_IS_FULL, tmp_path / "heads", tmp_path / "head.safetensors")
    said, log = process.communicate(timeout=60)
    assert said == "File too large\n", log
    assert files(tmp_path / "heads") == []


def test_words_too_long_for_the_format_are_a_sentence() -> None:
    with pytest.raises(HeadError, match="shorten them"):
        pack({"weights": np.eye(2, dtype=np.float32)}, {"classes": "x" * 100_000_001})


def test_a_folder_that_was_removed_meanwhile_is_made_again(
    make_head: MakeHead, tmp_path: Path
) -> None:
    store, head = HeadStore(tmp_path / "cache" / "heads"), make_head()
    shutil.rmtree(tmp_path / "cache")
    assert store.get(head.id) is None
    store.put(head)
    assert store.get(head.id) is not None


def test_a_folder_that_cannot_be_is_told_once_and_done_without(
    make_head: MakeHead, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")  # closed to root too, unlike permissions
    store, head = HeadStore(tmp_path / "file" / "heads"), make_head()
    for _ in range(3):
        store.put(head)
        assert store.get(head.id) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Not a directory" in caplog.text and "choose another cache folder" in caplog.text

    (tmp_path / "file").unlink()
    store.put(head)
    assert store.get(head.id) is not None, "somebody has put it right"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_closed_to_writing_is_told_at_the_start(
    code: int,
    make_head: MakeHead,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    HeadStore(tmp_path).put(make_head())

    def refuse(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    store = HeadStore(tmp_path)
    assert len(caplog.records) == 1 and os.strerror(code) in caplog.text
    store.put(make_head(3))
    assert store.get(make_head().id) is not None, "what is there can be read"
    assert len(caplog.records) == 1


KILLED_WHILE_WRITING = """
def killed(self, data):
    with open(self, "wb") as file:
        file.write(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

head = Head.load(sys.argv[2])
store = HeadStore(pathlib.Path(sys.argv[1]))
pathlib.Path.write_bytes = killed
store.put(head)
"""


def test_a_killed_writer_leaves_one_unfinished_file_which_is_swept_later(
    make_head: MakeHead, tmp_path: Path
) -> None:
    head, heads = make_head(), tmp_path / "heads"
    head.save(tmp_path / "head.safetensors")
    process = run(KILLED_WHILE_WRITING, heads, tmp_path / "head.safetensors")
    process.communicate(timeout=60)
    assert process.returncode == -9
    (left,) = files(heads)
    assert left.endswith(".part")
    (heads / ".tmpQ3x9aB").write_bytes(b"what safetensors' own writing left")

    store = HeadStore(heads)
    assert store.get(head.id) is None
    store.put(head)
    assert len(files(heads)) == 3, "another process might be writing it still"
    for path in heads.iterdir():
        modified = path.stat().st_mtime - SECONDS_BEFORE_SWEEPING - 1
        os.utime(path, (modified, modified))
    store.put(make_head(3))
    assert files(heads) == sorted(f"{h.id}.safetensors" for h in (head, make_head(3)))


WORKING = """
head = Head.load(sys.argv[2])
store = HeadStore(pathlib.Path(sys.argv[1]))
for _ in range(100):
    store.put(head)
    assert store.get(head.id) is not None
"""


def test_two_processes_share_one_folder(make_head: MakeHead, tmp_path: Path) -> None:
    make_head(200).save(tmp_path / "head.safetensors")
    both = [run(WORKING, tmp_path / "heads", tmp_path / "head.safetensors") for _ in range(2)]
    logs = [process.communicate(timeout=60)[1] for process in both]
    assert logs == ["", ""] and len(files(tmp_path / "heads")) == 1
