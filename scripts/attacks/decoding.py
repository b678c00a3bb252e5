"""The one place that decodes a picture as the server does; a process that does it on request.

Run as `python decoding.py`: reads pictures from standard input, each after its length, and
writes for each a line of JSON.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

# Run as a script, this file's folder is on the path, and the project is two above.
sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (1, 2)]

from PIL import Image  # noqa: E402

from classifiers.decoding.decoder import PictureDecoder  # noqa: E402
from classifiers.errors import ImageError  # noqa: E402

FOR_SIZE = (224, 224)
DECODER = PictureDecoder()


def open_in_server_s_way(data: bytes) -> Image.Image:
    """
    Raises:
        ImageError: it is no picture that can be read.
    """
    return DECODER.open(data, for_size=FOR_SIZE)


@dataclass(frozen=True)
class Decoded:
    """`kind`: picture, refused (with its sentence), wrong (any other error), died or hangs."""

    kind: str
    seconds: float
    text: str = ""
    megabytes: float = 0.0


class DecodingProcess:
    """A process that decodes one picture after the other, and is replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, data: bytes, seconds: float) -> Decoded:
        """What became of `data`; after `seconds` the process is ended."""
        begun = time.monotonic()
        process = self._started()
        assert process.stdin and process.stdout
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        try:
            process.stdin.write(struct.pack("<I", len(data)) + data)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        finally:
            killer.cancel()
        passed = time.monotonic() - begun
        if not line:
            code = process.wait()
            self._process = None
            return Decoded("hangs" if passed >= seconds else "died", passed, f"exit code {code}")
        said = json.loads(line)
        return Decoded(said["kind"], said["seconds"], said["text"], said["megabytes"])

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert self._process.stdout
            self._process.stdout.readline()  # it has imported what it needs
        return self._process


def _decode(data: bytes) -> tuple[str, str]:
    try:
        picture = open_in_server_s_way(data)
        whole = picture.mode == "RGB" and min(picture.size) > 0
        return ("picture", "") if whole else ("wrong", f"{picture.mode} {picture.size}")
    except ImageError as error:
        return "refused", str(error)
    except Exception as error:  # which the server would answer with 500
        return "wrong", f"{type(error).__name__}: {error}"[:200]


def _serve() -> None:
    import resource

    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # decoders may print to 1
    os.dup2(2, 1)
    print("{}", file=answers, flush=True)
    while len(length := sys.stdin.buffer.read(4)) == 4:
        data = sys.stdin.buffer.read(struct.unpack("<I", length)[0])
        begun = time.monotonic()
        kind, text = _decode(data)
        seconds = time.monotonic() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        said = {"kind": kind, "seconds": seconds, "text": text, "megabytes": peak}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
