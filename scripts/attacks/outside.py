"""Files outside a server's upload folder that hold a canary, and the search for that canary."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from attacks.client import post
from attacks.server import Server

CANARY = "canary-7d1f4c92e6b84a03"
_STAND_IN = "x" * len(CANARY)  # in a head while the server makes it: its cache must not hold ours
ENVIRONMENT = "GRADIO_TEMP_DIR="  # what /proc/self/environ of the server holds
CANARIES = (CANARY.encode(), ENVIRONMENT.encode())


@dataclass(frozen=True)
class Pair:
    """A path that is there and one that is not, of one kind; both must be answered alike."""

    kind: str
    present: str
    absent: str


def pairs(server: Server, folder: Path) -> list[Pair]:
    """Writes the files to `folder`, and links to them into the server's upload folder.

    What may never end when it is read, a pipe and a device, comes last.
    """
    outside = folder / "outside"
    if not outside.exists():
        _write(outside, server)
    links = server.uploads / "linked"
    links.mkdir(parents=True, exist_ok=True)
    for link, target in (("present", "present.jpg"), ("absent0", "absent0.jpg")):
        path = links / f"{link}.jpg"
        if not path.is_symlink():
            path.symlink_to(outside / target)
    files = [
        Pair(suffix, str(outside / f"present.{suffix}"), str(outside / f"absent0.{suffix}"))
        for suffix in ("jpg", "txt", "csv", "safetensors", "zip")
    ]
    up = f"{server.uploads}/{os.path.relpath(outside, server.uploads)}"
    return [
        *files,
        Pair("..", f"{up}/present.jpg", f"{up}/absent0.jpg"),
        Pair("directory", str(outside / "present"), str(outside / "absent0")),
        Pair("link", str(links / "present.jpg"), str(links / "absent0.jpg")),
        Pair("/proc", "/proc/self/environ", "/proc/self/environx"),
        Pair("pipe", str(outside / "present.fifo"), str(outside / "absent0.fifo")),
        Pair("/dev", "/dev/zero", "/dev/zerx"),
    ]


def _write(outside: Path, server: Server) -> None:
    outside.mkdir(parents=True)
    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, "JPEG", comment=CANARY.encode())
    words = f"{CANARY} cat\n{CANARY} dog\n"
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr(f"{CANARY}.txt", words)
    contents = {
        "jpg": picture.getvalue(),
        "txt": words.encode(),
        "csv": words.encode(),
        "safetensors": _head(server),
        "zip": zipped.getvalue(),
    }
    for suffix, content in contents.items():
        (outside / f"present.{suffix}").write_bytes(content)
    (outside / "present").mkdir()
    (outside / "present" / "inside.txt").write_text(words, encoding="utf-8")
    os.mkfifo(outside / "present.fifo")


def _head(server: Server) -> bytes:
    """A head of the model in use that says the canary when it is opened."""
    wanted = {"name": _STAND_IN, "classes": [f"{_STAND_IN} a", "b"], "format": "safetensors"}
    made = post(server, "/api/v1/heads", json=wanted)
    if made.kind != "2xx":
        raise RuntimeError(f"no head to hide: {made}")
    return made.content.replace(_STAND_IN.encode(), CANARY.encode())


def canaries_in(content: bytes) -> list[str]:
    return [canary.decode() for canary in CANARIES if canary in content]


def files_with_canaries(folders: list[Path]) -> list[Path]:
    """Files below `folders` that hold a canary; links are not followed."""
    found = []
    for folder in folders:
        for directory, _, names in os.walk(folder):
            for name in names:
                path = Path(directory) / name
                if path.is_symlink() or not path.is_file():
                    continue
                if canaries_in(path.read_bytes()):
                    found.append(path)
    return found
