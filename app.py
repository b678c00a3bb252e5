"""Headsmith: a web page that turns words into image classifiers.

python app.py [--host 127.0.0.1] [--port 7860] [--model builtin] [--cache-dir DIR]
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from platformdirs import user_cache_dir

from classifiers.loading import LoadedModels
from classifiers.models import BUILTIN
from ui.page import build_page
from ui.theme import CSS_FILE, theme

MAX_UPLOAD = "50mb"
MAX_WAITING = 64  # requests in the queue; more are told to come back


@dataclass(frozen=True)
class Settings:
    """How this process runs: from the command line, else the environment, else defaults."""

    host: str | None  # None: Gradio's own GRADIO_SERVER_NAME, else 127.0.0.1
    port: int | None  # None: Gradio's own GRADIO_SERVER_PORT, else the first free from 7860
    model: str
    cache_dir: Path


def read_settings(arguments: list[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", help="address to serve on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to serve on (default 7860)")
    parser.add_argument(
        "--model",
        default=os.environ.get("HEADSMITH_MODEL", BUILTIN),
        help="builtin, ARCHITECTURE/TAG of open_clip, hf-hub:ORG/REPO or local-dir:PATH",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=os.environ.get("HEADSMITH_CACHE") or user_cache_dir("headsmith"),
        help="where heads are kept; can be deleted at any time",
    )
    chosen = parser.parse_args(arguments)
    return Settings(chosen.host, chosen.port, chosen.model, Path(chosen.cache_dir))


def main(arguments: list[str] | None = None) -> None:
    settings = read_settings(arguments)
    models = LoadedModels(settings.cache_dir / "heads", default=settings.model)
    page = build_page(models)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)
    models.preload()  # in the background: the page is there first
    page.launch(
        server_name=settings.host,
        server_port=settings.port,
        theme=theme(),
        css_paths=[CSS_FILE],
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        footer_links=["api"],
        share=False,
    )


if __name__ == "__main__":
    main()
