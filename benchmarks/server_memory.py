"""Whether the server's memory stays level: many requests, its resident memory between them.

python -m benchmarks.server_memory --url http://127.0.0.1:7860 --pid PID [--requests 2000]

Asks for new heads as `.pt`, for heads that are there, and to classify a picture, in turn.
Start the server with `--requests-a-minute 0 --heads-a-day 0`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import gradio
import httpx
import psutil

CLASSES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--requests", type=int, default=2_000)
    chosen = parser.parse_args()
    process = psutil.Process(chosen.pid)
    photo = Path(gradio.__file__).parent / "media_assets" / "images" / "lion.jpg"
    begun = time.monotonic()
    with httpx.Client(base_url=f"{chosen.url}/api/v1", timeout=120) as http:
        for n in range(chosen.requests):
            if n % max(1, chosen.requests // 10) == 0:
                megabytes = process.memory_info().rss / 1e6
                print(f"{n:6,} requests  {megabytes:7.1f} MB  {time.monotonic() - begun:6.1f} s")
            _ask(http, n, photo)
    print(f"{chosen.requests:6,} requests  {process.memory_info().rss / 1e6:7.1f} MB")


def _ask(http: httpx.Client, n: int, photo: Path) -> None:
    if n % 4 == 3:
        response = http.post("/classify", files={"picture": photo.read_bytes()})
    elif n % 4 == 2:
        response = http.get("/classifiers/ages/head", params={"format": "ptl"})
    else:
        classes = [f"{n} thing {number}" for number in range(CLASSES)]
        response = http.post("/heads", json={"classes": classes, "format": "pt"})
    response.raise_for_status()


if __name__ == "__main__":
    main()
