"""Files that a client names by a public URL instead of sending them: fetched with bounds.

Gradio's own download holds whatever comes in memory, however much.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urljoin

import anyio
import httpx
import safehttpx
from gradio import processing_utils

from classifiers.errors import HeadsmithError, UploadError
from ui.messages import api_error
from ui.uploads import MAX_UPLOAD_BYTES, new_file

MAX_PORT = 65_535
MAX_REDIRECTS = 5
MAX_SECONDS = 30.0
SECONDS_FOR_AN_ANSWER = 10.0


async def fetch(url: str, max_bytes: int = MAX_UPLOAD_BYTES) -> bytes:
    """What is at a public `url`.  Addresses of private networks are not asked.

    Raises:
        UploadError: it cannot be had, is too large or takes too long.
    """
    try:
        with anyio.fail_after(MAX_SECONDS):
            return await _fetch(url, max_bytes)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, TimeoutError):
        raise UploadError(
            "There is no file to be had at that address; it must be public and answer quickly."
        ) from None


async def _fetch(url: str, max_bytes: int) -> bytes:
    for _ in range(MAX_REDIRECTS):
        parsed = httpx.URL(url)
        if (parsed.port or 0) > MAX_PORT:
            raise ValueError("no port")
        # The name is looked up once, checked, and connected to by the address that was checked.
        address = await public_address(parsed.host)
        async with (
            httpx.AsyncClient(
                transport=safehttpx.AsyncSecureTransport(address), timeout=SECONDS_FOR_AN_ANSWER
            ) as client,
            # Compressed, a few bytes could become very many.
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if not response.has_redirect_location:
                response.raise_for_status()
                return await _read(response, max_bytes)
            url = urljoin(url, response.headers["Location"])
    raise UploadError("That address leads to another too often; send the file itself.")


async def public_address(host: str) -> str:
    """
    Raises:
        ValueError: the host has no address that everybody reaches.
    """
    address = await safehttpx.async_validate_url(host)
    # Which takes for public what providers use among themselves (100.64.0.0/10).
    if not ipaddress.ip_address(address).is_global:
        raise ValueError("not public")
    return address


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    data = bytearray()
    async for block in response.aiter_raw():
        data += block
        if len(data) > max_bytes:
            raise UploadError(f"The file there is larger than {max_bytes // 1_000_000} MB.")
    return bytes(data)


def bound_downloads() -> None:
    """Has Gradio fetch what requests name by URL through `fetch`; it has no setting for that."""
    processing_utils.async_ssrf_protected_download = _fetch_for_gradio


async def _fetch_for_gradio(url: str, cache_dir: str) -> str:
    """Takes the place of `processing_utils.async_ssrf_protected_download`."""
    try:
        return str(new_file(_name_in(url), await fetch(url)))
    except HeadsmithError as error:
        raise api_error(error) from error


def _name_in(url: str) -> str:
    """The last part of an address as a plain name of a file."""
    last = httpx.URL(url).path.rstrip("/").rpartition("/")[2]
    kept = "".join(c for c in last if c.isalnum() or c in "._-").lstrip(".")
    return kept[-100:] or "file"
