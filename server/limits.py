"""How much one client may ask for.  Counted by the `limits` library, in this process."""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request
from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from classifiers.errors import ClassNamesError, LimitError


@dataclass(frozen=True)
class Limits:
    """Per client: an IPv4 address or an IPv6 network.  0 means no limit."""

    requests_a_minute: int = 120
    new_heads_a_day: int = 500
    classes_a_head: int = 10_000


class Client(Protocol):
    """What a request of FastAPI and one of Gradio have in common."""

    @property
    def client(self) -> Any: ...


class LimitKeeper:
    """Counts requests and new heads of each client."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count_request(self, request: Request) -> None:
        """
        Raises:
            LimitError: the client asks too often.
        """
        if self.limits.requests_a_minute:
            self._count(
                RateLimitItemPerMinute(self.limits.requests_a_minute),
                "requests",
                request,
                f"More than {self.limits.requests_a_minute:,} requests a minute",
            )

    def count_new_head(self, request: Client, n_classes: int) -> None:
        """
        Raises:
            ClassNamesError: too many classes.
            LimitError: too many new heads a day.
        """
        most = self.limits.classes_a_head
        if most and n_classes > most:
            raise ClassNamesError(f"{n_classes:,} classes are too many; {most:,} is the most.")
        if self.limits.new_heads_a_day:
            self._count(
                RateLimitItemPerDay(self.limits.new_heads_a_day),
                "heads",
                request,
                f"More than {self.limits.new_heads_a_day:,} new classifiers a day",
            )

    def _count(self, item: object, what: str, request: Client, sentence: str) -> None:
        # Behind a proxy that uvicorn was told to trust, this is the client it names.
        client = network_of(request.client.host) if request.client else "unknown"
        if self._limiter.hit(item, what, client):  # type: ignore[arg-type]
            return
        window = self._limiter.get_window_stats(item, what, client)  # type: ignore[arg-type]
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise LimitError(f"{sentence}; try again in {seconds:,} seconds.", seconds)


def network_of(address: str) -> str:
    """What one client counts as: an IPv6 host has a whole /64 of addresses to ask from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a test's client, or a socket without addresses
        return address
    if parsed.version == 4:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
