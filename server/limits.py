"""How much one client may ask for.  Counted by the `limits` library, in this process."""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from classifiers.errors import ClassNamesError, LimitError
from classifiers.words.prompts import check_prompt_count


@dataclass(frozen=True)
class Limits:
    """Per client: an IPv4 address or an IPv6 network.  0 means no limit."""

    requests_a_minute: int = 120
    new_heads_a_day: int = 500
    classes_a_head: int = 10_000
    prompts_a_head: int = 100_000  # classes × templates; ImageNet with CLIP's 80 makes 80,000
    prompts_a_day: int = 2_000_000


class Client(Protocol):
    """What a request of FastAPI and one of Gradio have in common."""

    @property
    def client(self) -> Any: ...


class LimitKeeper:
    """Counts requests and new heads of each client."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(storage)
        self._adder = FixedWindowRateLimiter(storage)  # keeps a sum, not an entry for each prompt

    def count_request(self, request: Request) -> None:
        """
        Raises:
            LimitError: the client asks too often.
        """
        if self.limits.requests_a_minute:
            self._count(
                self._limiter,
                RateLimitItemPerMinute(self.limits.requests_a_minute),
                "requests",
                request,
                f"More than {self.limits.requests_a_minute:,} requests a minute",
            )

    def count_new_head(self, request: Client, n_classes: int, n_prompts: int) -> None:
        """Called before a head is built from `n_prompts` prompts, which is what it costs.

        Raises:
            ClassNamesError, TemplateError: too much for one head.
            LimitError: too much in a day.
        """
        most = self.limits.classes_a_head
        if most and n_classes > most:
            raise ClassNamesError(f"{n_classes:,} classes are too many; {most:,} is the most.")
        check_prompt_count(n_classes, n_prompts // n_classes, self.limits.prompts_a_head)
        if self.limits.prompts_a_day:
            self._count(
                self._adder,
                RateLimitItemPerDay(self.limits.prompts_a_day),
                "prompts",
                request,
                f"New classifiers of more than {self.limits.prompts_a_day:,} prompts a day",
                n_prompts,
            )
        if self.limits.new_heads_a_day:
            self._count(
                self._limiter,
                RateLimitItemPerDay(self.limits.new_heads_a_day),
                "heads",
                request,
                f"More than {self.limits.new_heads_a_day:,} new classifiers a day",
            )

    def _count(
        self,
        limiter: RateLimiter,
        item: RateLimitItem,
        what: str,
        request: Client,
        sentence: str,
        cost: int = 1,
    ) -> None:
        # Behind a proxy that uvicorn was told to trust, this is the client it names.
        client = network_of(request.client.host) if request.client else "unknown"
        # Tested first: what is refused should not count, and a sum counts whatever it is told.
        if limiter.test(item, what, client, cost=cost) and limiter.hit(
            item, what, client, cost=cost
        ):
            return
        window = limiter.get_window_stats(item, what, client)
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
