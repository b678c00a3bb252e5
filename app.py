"""Headsmith: a web page that turns words into image classifiers.

python app.py [--host 127.0.0.1] [--port 7860] [--model auto] [--offline] ...
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

MAX_UPLOAD = "50mb"
MAX_WAITING = 64  # requests in the queue; more are told to come back
TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Settings:
    """How this process runs: from the command line, else the environment, else defaults."""

    host: str | None  # None: Gradio's own GRADIO_SERVER_NAME, else 127.0.0.1
    port: int | None  # None: Gradio's own GRADIO_SERVER_PORT, else the first free from 7860
    model: str
    max_models: int
    offline: bool
    any_model: bool
    cache_dir: Path


def read_settings(arguments: list[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    environment = os.environ.get
    parser.add_argument("--host", help="address to serve on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to serve on (default 7860)")
    parser.add_argument(
        "--model",
        default=environment("HEADSMITH_MODEL", "auto"),
        help="auto (the default: ViT-B-32/openai if it is on this machine, else the built-in "
        "model while that is fetched), builtin, ARCHITECTURE/TAG of open_clip, "
        "hf-hub:ORG/REPO or local-dir:PATH",
    )
    parser.add_argument(
        "--max-models", type=int, default=2, help="models in memory at once (default 2)"
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        default=environment("HF_HUB_OFFLINE", "").lower() in TRUE,
        help="fetch nothing, ever",
    )
    parser.add_argument(
        "--curated-only",
        action="store_true",
        default="SPACE_ID" in os.environ,
        help="visitors choose among the curated models only (the default on Spaces)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=environment("HEADSMITH_CACHE") or user_cache_dir("headsmith"),
        help="where heads are kept; can be deleted at any time",
    )
    chosen = parser.parse_args(arguments)
    return Settings(
        host=chosen.host,
        port=chosen.port,
        model=chosen.model,
        max_models=chosen.max_models,
        offline=chosen.offline,
        any_model=not chosen.curated_only,
        cache_dir=Path(chosen.cache_dir),
    )


def main(arguments: list[str] | None = None) -> None:
    settings = read_settings(arguments)
    # These libraries read the environment when they are imported, so they are imported late.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from classifiers.loading import LoadedModels, choose_default
    from classifiers.models import PREFERRED
    from ui.page import build_page
    from ui.theme import CSS_FILE, theme

    models = LoadedModels(
        settings.cache_dir / "heads",
        choose_default(settings.model),
        offline=settings.offline,
        any_model=settings.any_model,
        max_models=settings.max_models,
    )
    page = build_page(models)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)
    models.preload()  # in the background: the page is there first
    if settings.model == "auto" and not settings.offline:
        models.preload(PREFERRED)
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
