"""How this process runs.  The only module that reads the command line or the environment."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from server.limits import Limits

FIRST_PORT = 7860  # Gradio's, and what Spaces expect
TRUE = ("1", "true", "yes", "on")
PRIVATE_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.0/8,fc00::/7,::1/128"


@dataclass(frozen=True)
class Settings:
    """How this process runs: from the command line, else the environment, else defaults."""

    host: str
    port: int
    model: str
    max_models: int
    offline: bool
    any_model: bool
    cache_dir: Path
    upload_dir: Path
    limits: Limits
    trusted_proxies: str


def read_settings(arguments: list[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(
        description="Headsmith: a web page that turns words into image classifiers."
    )
    environment = os.environ.get
    parser.add_argument(
        "--host",
        default=environment("GRADIO_SERVER_NAME", "127.0.0.1"),
        help="address to serve on (default 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=environment("GRADIO_SERVER_PORT") or None,
        help="port to serve on (default: the first free one from 7860 on)",
    )
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
    add_limits(parser)
    chosen = parser.parse_args(arguments)
    upload_dir = environment("GRADIO_TEMP_DIR") or Path(chosen.cache_dir) / "visitors"
    return Settings(
        host=chosen.host,
        port=chosen.port or first_free_port(chosen.host),
        model=chosen.model,
        max_models=chosen.max_models,
        offline=chosen.offline,
        any_model=not chosen.curated_only,
        cache_dir=Path(chosen.cache_dir),
        upload_dir=Path(upload_dir).absolute(),
        limits=Limits(
            chosen.requests_a_minute,
            chosen.heads_a_day,
            chosen.classes_a_head,
            chosen.prompts_a_head,
            chosen.prompts_a_day,
        ),
        trusted_proxies=chosen.trusted_proxies,
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """What one client may ask for; 0 means no limit."""
    defaults = Limits()
    for flag, default, of in (
        ("--requests-a-minute", defaults.requests_a_minute, "requests a minute"),
        ("--heads-a-day", defaults.new_heads_a_day, "new heads a day"),
        ("--classes-a-head", defaults.classes_a_head, "classes a head"),
        ("--prompts-a-head", defaults.prompts_a_head, "prompts (classes × templates) a head"),
        ("--prompts-a-day", defaults.prompts_a_day, "prompts of new heads a day"),
    ):
        text = f"{of} and client of the HTTP API (default {default}, 0: no limit)"
        parser.add_argument(flag, type=int, default=default, help=text)
    parser.add_argument(
        "--trusted-proxies",
        # Spaces are reached by proxies only, whose own addresses are private.
        default=PRIVATE_NETWORKS if "SPACE_ID" in os.environ else "",
        type=proxies,
        help="addresses or networks, separated by commas, of proxies: of X-Forwarded-For the last "
        "entry that is none of them is believed",
    )


def proxies(text: str) -> str:
    """`text` if it names addresses or networks.

    Raises:
        argparse.ArgumentTypeError: a name that is none, or `*`.
    """
    for name in filter(None, (part.strip() for part in text.split(","))):
        try:
            ipaddress.ip_network(name, strict=False)
        except ValueError:
            reason = "; * would believe any address that a client writes" if name == "*" else ""
            raise argparse.ArgumentTypeError(
                f"{name!r} is no address or network such as 10.0.0.0/8{reason}"
            ) from None
    return text


def first_free_port(host: str) -> int:
    """The first port from 7860 on that nobody listens on, as Gradio itself chooses."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"No port from {FIRST_PORT} to {FIRST_PORT + 99} is free; give one: --port.")
