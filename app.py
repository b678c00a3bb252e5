"""Headsmith: a web page that turns words into image classifiers.

python app.py [--host 127.0.0.1] [--port 7860] [--model auto] [--offline] ...
"""

from __future__ import annotations

import os

from settings import read_settings

MAX_UPLOAD = "50mb"
MAX_WAITING = 64  # requests in the queue; more are told to come back
SECONDS_TO_FINISH = 3  # for what is being answered when the server is stopped


def main(arguments: list[str] | None = None) -> None:
    settings = read_settings(arguments)
    # These libraries read the environment when they are imported, so they are imported late.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    import uvicorn

    from classifiers.loading import LoadedModels, choose_default
    from classifiers.models import PREFERRED
    from server.app import build_server
    from server.limits import LimitKeeper
    from ui.page import build_page
    from ui.theme import CSS_FILE, theme

    models = LoadedModels(
        settings.cache_dir / "heads",
        choose_default(settings.model),
        offline=settings.offline,
        any_model=settings.any_model,
        max_models=settings.max_models,
    )
    keeper = LimitKeeper(settings.limits)
    page = build_page(models, keeper)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=4)
    server = build_server(
        models,
        page,
        keeper,
        settings.cache_dir / "encoders",
        server_name=settings.host,
        server_port=settings.port,
        theme=theme(),
        css_paths=[CSS_FILE],
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        footer_links=["api"],
        show_error=False,
        mcp_server=True,
    )
    models.preload()  # in the background: the page is there first
    if settings.model == "auto" and not settings.offline:
        models.preload(PREFERRED)
    print(f"Headsmith is on http://{settings.host}:{settings.port}", flush=True)
    uvicorn.run(
        server,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        # Open pages and assistants hold connections that never end by themselves.
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )


if __name__ == "__main__":
    main()
