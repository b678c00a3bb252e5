"""Uploads together take no more of the disk than they may."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from classifiers import bounded_folder
from classifiers.errors import BusyError
from server import upload_quota
from server.upload_quota import UploadQuota

BOUND = 100_000


@pytest.fixture(autouse=True)
def files_count_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_folder, "LEAST_BYTES_OF_A_FILE", 0)
    monkeypatch.setattr(upload_quota, "LEAST_BYTES", 0)


AN_HOUR = 3_600


def put(folder: Path, name: str, n_bytes: int, age: float = 0.0) -> Path:
    path = folder / name / "upload.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(n_bytes))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_old_uploads_make_room_for_new_ones(tmp_path: Path) -> None:
    old, newer = put(tmp_path, "old", 60_000, 2 * AN_HOUR), put(tmp_path, "new", 60_000, AN_HOUR)
    UploadQuota(tmp_path, BOUND).make_room(1_000)
    assert not old.exists() and newer.exists()


def test_an_upload_of_the_last_minute_stays(tmp_path: Path) -> None:
    """Its visitor is about to ask for it."""
    mine = put(tmp_path, "mine", 150_000)
    UploadQuota(tmp_path, BOUND).make_room(1_000)
    assert mine.exists()


def test_more_than_twice_the_bound_within_a_minute_is_refused_until_there_is_room(
    tmp_path: Path,
) -> None:
    quota = UploadQuota(tmp_path, BOUND)
    flood = put(tmp_path, "flood", 2 * BOUND + 1)
    for _ in range(3):
        with pytest.raises(BusyError, match="busy with uploads; try again"):
            quota.make_room(10)
    os.utime(flood, (time.time() - AN_HOUR,) * 2)
    quota.make_room(10)
    assert not flood.exists()


def test_the_folder_is_not_looked_through_for_every_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks = 0

    def counted(_: Path, max_bytes: int, max_seconds: float) -> int:
        nonlocal n_looks
        n_looks += 1
        return 0

    monkeypatch.setattr(upload_quota, "drop_oldest", counted)
    quota = UploadQuota(tmp_path, BOUND)
    for _ in range(40):
        quota.make_room(500)
    # 20,000 bytes are four times a twentieth of the bound; the first looks anyway.
    assert 4 <= n_looks <= 5


def test_an_upload_goes_after_a_day(tmp_path: Path) -> None:
    old, newer = (put(tmp_path, str(n), 10, n * AN_HOUR) for n in (25, 23))
    UploadQuota(tmp_path, BOUND).make_room(10)
    assert not old.exists() and newer.exists()


def test_old_uploads_go_without_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()
    quota = UploadQuota(tmp_path, BOUND)
    monkeypatch.setattr(quota, "_sweep", looked.set)
    quota.start()
    assert looked.wait(20)


def test_tiny_uploads_are_looked_after_as_larger_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request may bring a thousand of them."""
    monkeypatch.setattr(upload_quota, "LEAST_BYTES", BOUND)
    quota, swept = UploadQuota(tmp_path, BOUND), []
    monkeypatch.setattr(quota, "_sweep", lambda: swept.append(1))
    for _ in range(3):
        quota.make_room(1)
    assert len(swept) == 3


def test_uploads_whose_folder_is_gone_are_taken(tmp_path: Path) -> None:
    UploadQuota(tmp_path / "removed", BOUND).make_room(1_000)
