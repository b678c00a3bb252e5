"""Headsmith: a web page that turns words into image classifiers.

python app.py [--host 127.0.0.1] [--port 7860] [--model auto] [--offline] ...
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from classifiers.files import usable_folder
from settings import Settings, read_settings

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI

    from classifiers.export.cache import ExportCache
    from classifiers.loaded_models import LoadedModels
    from server.limits import LimitKeeper
    from server.upload_quota import UploadQuota

MAX_UPLOAD = "50mb"
MAX_VISITOR_BYTES = 4_000_000_000  # of uploads and of files made for visitors, on disk
MAX_WAITING = 48  # requests in the queue; more are told to come back
MAX_AT_ONCE = 16  # of one kind; those that compute for long wait in shorter lines of their own
MAX_CONNECTIONS = 1_000  # open pages hold one each
# What Gradio remembers of a page that was opened takes 0.22 MB; the oldest is forgotten first.
MAX_SESSIONS = 1_000
SECONDS_TO_FINISH = 3  # for what is being answered when the server is stopped


def main(arguments: list[str] | None = None) -> None:
    settings = read_settings(arguments)
    # These libraries read the environment when they are imported, so they are imported late.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    upload_dir = usable_folder(settings.upload_dir)
    os.environ["GRADIO_TEMP_DIR"] = str(upload_dir)
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from classifiers.bounded_folder import BoundedFolder
    from classifiers.decoding.decoder import PictureDecoder
    from classifiers.export.cache import ExportCache
    from classifiers.loaded_models import LoadedModels, choose_default
    from classifiers.models.catalog import PREFERRED
    from classifiers.process_tuning import tune_process
    from classifiers.words.prompts import MAX_PROMPTS
    from server.limits import LimitKeeper
    from server.upload_quota import UploadQuota
    from ui.downloads import bound_downloads
    from ui.page import build_page
    from ui.picture import EXAMPLES_DIR
    from ui.theme import CSS_FILE, theme
    from ui.uploads import bound_uploads

    tune_process()
    decoder = PictureDecoder()
    models = LoadedModels(
        settings.cache_dir / "heads",
        choose_default(settings.model),
        offline=settings.offline,
        any_model=settings.any_model,
        max_models=settings.max_models,
        open_picture=decoder.open,
        max_prompts=settings.limits.prompts_a_head or MAX_PROMPTS,
    )
    keeper = LimitKeeper(settings.limits)
    # Among the uploads, so that Gradio gives them out where they are instead of copies.
    exports = ExportCache(BoundedFolder(upload_dir / "exports", MAX_VISITOR_BYTES))
    quota = UploadQuota(upload_dir, MAX_VISITOR_BYTES)
    bound_uploads(quota)
    bound_downloads()
    page = build_page(models, keeper, exports)
    page.queue(max_size=MAX_WAITING, default_concurrency_limit=MAX_AT_ONCE, api_open=False)
    server = build_application(
        models,
        page,
        keeper,
        exports,
        quota,
        local_url=f"http://{_local_host(settings.host)}:{settings.port}/",
        trusts_proxy=bool(settings.trusted_proxies),
        server_name=settings.host,
        server_port=settings.port,
        theme=theme(),
        css_paths=[CSS_FILE],
        max_file_size=MAX_UPLOAD,
        enable_monitoring=False,
        footer_links=["api"],
        show_error=False,
        mcp_server=True,
        allowed_paths=[str(EXAMPLES_DIR)],
        run_history=False,
    )
    quota.start()
    # In the background: the page is there first.
    models.preload().add_done_callback(lambda _: decoder.start())
    if settings.model == "auto" and not settings.offline:
        models.preload(PREFERRED)
    print(f"Headsmith is on http://{settings.host}:{settings.port}", flush=True)
    try:
        _serve(server, settings)
    finally:
        decoder.close()


def build_application(
    models: LoadedModels,
    page: gr.Blocks,
    keeper: LimitKeeper,
    exports: ExportCache,
    quota: UploadQuota,
    *,
    local_url: str = "",
    trusts_proxy: bool = False,
    **gradio: Any,
) -> FastAPI:
    """Page and API in one: the page at /, the rest as `server.app.build_server` has it.

    Args:
        local_url: where this server answers on its own machine.
        gradio: passed on to `gr.mount_gradio_app`: look, upload limits.
    """
    import gradio as gr

    from server.app import build_server

    functions = {name for fn in page.fns.values() for name in (fn._id, fn.api_name) if name}
    server = build_server(
        models,
        keeper,
        exports,
        quota,
        functions=functions | {0},
        parameters=_parameters_of(page),
        trusts_proxy=trusts_proxy,
    )
    # Only `launch` sets it; without, Gradio lets a request name any file of the server.
    page.has_launched = True
    page.state_session_capacity = MAX_SESSIONS
    mounted = gr.mount_gradio_app(server, page, path="/", **gradio)
    if page.mcp_server_obj is not None:
        # Else the first request's own headers say where all assistants' calls go.
        page.mcp_server_obj._local_url = local_url
    return mounted


def _parameters_of(page: gr.Blocks) -> dict[str, dict[str, bool]]:
    """Of each named function its parameters, and whether each must be given."""
    endpoints = page.get_api_info()["named_endpoints"]
    return {
        name.removeprefix("/"): {
            parameter["parameter_name"]: not parameter["parameter_has_default"]
            for parameter in endpoint["parameters"]
        }
        for name, endpoint in endpoints.items()
    }


def _local_host(host: str) -> str:
    """Where this machine reaches a server that listens on `host`."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _serve(server: FastAPI, settings: Settings) -> None:
    import uvicorn

    uvicorn.run(
        server,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        # Open pages and assistants hold connections that never end by themselves.
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
        limit_concurrency=MAX_CONNECTIONS,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )


if __name__ == "__main__":
    main()
