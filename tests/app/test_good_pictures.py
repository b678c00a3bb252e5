"""What bounds pictures of strangers refuses nothing that people rightly send."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from good_pictures import GOOD
from PIL import Image


@pytest.mark.parametrize("name", GOOD)
def test_a_large_picture_is_answered_over_http(http: httpx.Client, photo: Path, name: str) -> None:
    with Image.open(photo) as lion:
        data = GOOD[name](lion.convert("RGB"))
    assert len(data) < 50_000_000, "no upload may be as large"
    response = http.post(
        "/api/v1/classify", files={"picture": (name, data)}, data={"classifier": "ages"}
    )
    assert response.status_code == httpx.codes.OK, response.text
    assert len(response.json()["guesses"]) == 5


@pytest.mark.parametrize("name", ["100_megapixels.jpg", "48_megapixels.png"])
def test_a_large_picture_is_answered_on_the_page(
    classify: Callable[..., dict[str, float]], photo: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    with Image.open(photo) as lion:
        path.write_bytes(GOOD[name](lion.convert("RGB")))
    assert len(classify(path)) == 5
