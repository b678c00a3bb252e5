"""Files that can be made again: whole or not there, however many write, and bounded in bytes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classifiers import bounded_folder
from classifiers.bounded_folder import SECONDS_IN_USE, BoundedFolder, drop_oldest

ROOT = Path(__file__).resolve().parents[2]
LARGE = 1_000_000_000


@pytest.fixture(autouse=True)
def files_count_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_folder, "LEAST_BYTES_OF_A_FILE", 0)


def writer_of(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def never(_: Path) -> None:
    pytest.fail("it was written again")


def age(path: Path, seconds: float = 2 * SECONDS_IN_USE) -> None:
    """As if it had been used that long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_file_is_written_once(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path / "files", LARGE)
    path = folder.get("key", "a name.txt", writer_of(b"data"))
    assert path.name == "a name.txt" and path.read_bytes() == b"data"
    assert folder.get("key", "a name.txt", never) == path
    assert folder.get("other", "a name.txt", writer_of(b"other")).read_bytes() == b"other"
    assert path.read_bytes() == b"data"


def test_threads_that_want_one_file_have_it_written_once(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, LARGE)
    n_written = 0

    def write(path: Path) -> None:
        nonlocal n_written
        n_written += 1
        path.write_bytes(b"data")

    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: folder.get("key", "f", write), range(40)))
    assert len(paths) == 1 and n_written == 1


def test_nobody_sees_half_a_file(tmp_path: Path) -> None:
    """Looked at while it is being written, by name and by walking through the folder."""
    folder = BoundedFolder(tmp_path, LARGE)
    seen: list[list[Path]] = []

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(b"first half")
            file.flush()
            seen.append([p for p in (tmp_path / "key").iterdir() if p.is_file()])
            file.write(b", second half")

    path = folder.get("key", "f.bin", write)
    assert seen == [[]]
    assert path.read_bytes() == b"first half, second half"
    assert list(path.parent.iterdir()) == [path], "something unfinished was left"


def test_two_processes_may_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from classifiers.bounded_folder import BoundedFolder\n"
        "folder, me = BoundedFolder(Path(sys.argv[1]), 5_000), sys.argv[2].encode()\n"
        "for n in range(300):\n"
        "    path = folder.get(f'k{n % 20}', 'f', lambda p: p.write_bytes(me * 1000))\n"
        "    data = path.read_bytes()\n"
        "    assert len(data) == 1000 and len(set(data)) == 1, data\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), me], cwd=ROOT) for me in "ab"
    ]
    assert [process.wait(60) for process in both] == [0, 0]


def test_what_a_killed_process_had_half_written_does_not_count(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from classifiers.bounded_folder import BoundedFolder\n"
        "def write(path):\n"
        "    path.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "BoundedFolder(Path(sys.argv[1]), 5_000).get('key', 'f.bin', write)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    folder = BoundedFolder(tmp_path, 5_000)
    assert folder.get("key", "f.bin", writer_of(b"whole")).read_bytes() == b"whole"
    # What is left of it goes as everything does that nobody uses.
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    (unfinished,) = (path for path in files if path.read_bytes() == b"half")
    age(unfinished)
    assert drop_oldest(tmp_path, 5) == 5 and not unfinished.exists()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, LARGE)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        folder.get("key", "f", fail)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert folder.get("key", "f", writer_of(b"data")).read_bytes() == b"data"


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, 2_500)
    paths = [folder.get(key, "f", writer_of(bytes(1_000))) for key in ("a", "b")]
    for n, path in enumerate(paths):
        age(path, 1_000 - n)
    folder.get("a", "f", never)  # used again, so the other is the older one
    age(paths[0], 900)
    third = folder.get("c", "f", writer_of(bytes(1_000)))
    assert [path.exists() for path in (*paths, third)] == [True, False, True]
    assert not paths[1].parent.exists(), "empty folders would stay for ever"


def test_what_was_used_just_now_stays_though_it_is_too_much(tmp_path: Path) -> None:
    """It is still being sent to someone."""
    folder = BoundedFolder(tmp_path, 1_500)
    paths = [folder.get(str(n), "f", writer_of(bytes(1_000))) for n in range(4)]
    assert all(path.exists() for path in paths)
    assert folder.drop_oldest() == 4_000
    for path in paths[:3]:
        age(path, SECONDS_IN_USE + 5)
    assert folder.drop_oldest() == 1_000
    assert [path.exists() for path in paths] == [False, False, False, True]


def test_tiny_files_count_for_more_than_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a bound in bytes would bound neither their number nor what they take."""
    monkeypatch.setattr(bounded_folder, "LEAST_BYTES_OF_A_FILE", 100)
    for n in range(20):
        (tmp_path / str(n)).write_bytes(b"x")
        age(tmp_path / str(n))
    assert drop_oldest(tmp_path, 1_000) == 1_000
    assert len(list(tmp_path.iterdir())) == 10


def test_what_was_not_used_for_long_goes_though_there_is_room(tmp_path: Path) -> None:
    for name, seconds in {"old": 90_000, "newer": 80_000, "new": 0}.items():
        (tmp_path / name).write_bytes(b"data")
        age(tmp_path / name, seconds)
    assert drop_oldest(tmp_path, LARGE, max_seconds=86_400) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "newer"]


def test_folders_that_come_and_go_meanwhile_are_passed_over(tmp_path: Path) -> None:
    stopped = threading.Event()

    def come_and_go(name: str) -> None:
        while not stopped.is_set():
            (tmp_path / name / "b").mkdir(parents=True)
            shutil.rmtree(tmp_path / name)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(come_and_go, name) for name in "cd"]
        try:
            for _ in range(300):
                drop_oldest(tmp_path, LARGE)
        finally:
            stopped.set()
        for other in others:
            other.result()


def test_links_are_counted_as_links_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    kept = tmp_path / "kept" / "large"
    kept.write_bytes(bytes(10_000))
    (tmp_path / "folder" / "x").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(kept)
    (tmp_path / "folder" / "linked").symlink_to(tmp_path / "kept")
    assert drop_oldest(tmp_path / "folder", 5_000) == sum(
        path.lstat().st_size for path in (tmp_path / "folder").iterdir() if path.is_symlink()
    )
    assert kept.exists()


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path / "files", LARGE)
    folder.get("key", "f", writer_of(b"data"))
    shutil.rmtree(tmp_path / "files")
    assert drop_oldest(tmp_path / "files", 10) == 0
    assert folder.get("key", "f", writer_of(b"again")).read_bytes() == b"again"


def test_locks_do_not_pile_up(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, LARGE)
    for n in range(50):
        folder.get(str(n), "f", writer_of(b""))
    assert len(folder._writing) == 0


def test_another_key_does_not_wait(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, LARGE)
    begun, go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> None:
        begun.set()
        assert go_on.wait(20)
        path.write_bytes(b"slow")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(folder.get, "slow", "f", slow)
        assert begun.wait(20)
        assert folder.get("quick", "f", writer_of(b"quick")).read_bytes() == b"quick"
        go_on.set()
        assert waiting.result(20).read_bytes() == b"slow"
