"""Head files with something wrong in them, made of one that is right.  Knows the format only."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

FIELDS = ("format_version", "name", "kind", "model", "fingerprint", "classes", "templates",
          "examples", "logit_scale", "logit_bias", "activation", "abstain_below", "image_size",
          "mean", "std")  # fmt: skip
# As text in the metadata: wrong types, numbers that are none, and text that is none.
VALUES = ("", "null", "[]", "{}", "true", "-1", "0", "1e999", "-1e999", "NaN", "Infinity", "1e308",
          "1e-320", "9" * 5_000, '"text"', '["\\ud800", "b"]', "\\ud800", "[[1, 2], [3]]",
          "[1, 2, 3, 4]", '["a", "a"]', '["", " "]', "[null, null]", "[1e400, 1]", "\0",
          "[" * 3_000 + "]" * 3_000, '{"a": 1, "a": 2}', "<b>x</b>", "../../etc/passwd",
          "a" * 300_000,
          '["a\\u0000", "b\\n"]', "0x10", "1_000", "١", '[["a"], ["b"]]')  # fmt: skip
DTYPES = (
    "F64",
    "F16",
    "BF16",
    "I64",
    "I32",
    "U8",
    "BOOL",
    "F8_E4M3",
    "F8_E5M2",
    "F4",
    "XX",
    "",
    "f32",
)


class WholeHead:
    """A right head, taken apart.

    Attributes:
        metadata: text by field; weights: float32 `(n_classes, embed_dim)`.
    """

    def __init__(self, content: bytes) -> None:
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + length])
        self.metadata: dict[str, Any] = header["__metadata__"]
        begin, end = header["weights"]["data_offsets"]
        data = content[8 + length + begin : 8 + length + end]
        self.weights = np.frombuffer(data, "<f4").reshape(header["weights"]["shape"])


def file_of(header: Any, data: bytes, *, length: int | None = None) -> bytes:
    """A file of a header, as text or as what becomes JSON, and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def head_of(whole: WholeHead, weights: np.ndarray | None = None, **metadata: Any) -> bytes:
    """`whole` with other weights or metadata."""
    array = np.asarray(whole.weights if weights is None else weights, dtype="<f4")
    tensor = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}
    header = {"__metadata__": {**whole.metadata, **metadata}, "weights": tensor}
    return file_of(header, array.tobytes())


def crafted(whole: WholeHead, draw: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """What is wrong, and the file; the kinds in turn, then whatever chance gives."""
    some = [*_weights(whole), *_headers(whole)]
    fields = [(field, value) for field in FIELDS for value in VALUES]
    # A wrong value that is let in is worst with weights that are not those of the words.
    own = -whole.weights
    made = [*some, *[(f"{f} is {v[:20]!r}", head_of(whole, own, **{f: v})) for f, v in
                     draw.sample(fields, max(0, count * 3 // 4 - len(some)))]]  # fmt: skip
    yield from made[:count]
    for n in range(count - len(made)):
        data = bytearray(head_of(whole, own))
        for _ in range(draw.choice((1, 3, 20))):
            data[draw.randrange(min(len(data), 2_000))] = draw.randrange(256)
        yield f"bytes {n}", bytes(data)


def _weights(whole: WholeHead) -> Iterator[tuple[str, bytes]]:
    right = whole.weights
    n, size = right.shape
    strange = {
        "no rows": right[:0],
        "fewer rows": right[:1],
        "another width": right[:, :-1],
        "flat": right.ravel(),
        "three axes": right[:, :, None],
        "of no axis": np.float32(1),
        "NaN": np.full_like(right, np.nan),
        "infinite": np.full_like(right, np.inf),
        "zeros": np.zeros_like(right),
        "huge": np.full_like(right, 3e38),
        "tiny": np.full_like(right, 1e-45),
        "all alike": np.repeat(right[:1], n, axis=0),
        "one of NaN": np.where(np.eye(n, size, dtype=bool), np.float32(np.nan), right),
    }
    for what, weights in strange.items():
        yield f"weights: {what}", head_of(whole, weights)
    for scale in ("1e38", "1e308", "-1e30", "0"):
        for activation in ("softmax", "sigmoid"):
            more = {"logit_scale": scale, "logit_bias": scale, "activation": activation}
            yield f"scale {scale} {activation}", head_of(whole, -right, **more)
    for value in (np.nan, np.inf, 3e38, -3e38):
        header = _header(whole, bias={"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]})
        header["weights"]["data_offsets"] = [4 * n, 4 * n + right.nbytes]
        bias = np.full(n, value, dtype="<f4").tobytes()
        yield f"bias {value}", file_of(header, bias + right.tobytes())


def _header(whole: WholeHead, **tensors: Any) -> dict[str, Any]:
    shape, n_bytes = list(whole.weights.shape), whole.weights.nbytes
    weights = {"dtype": "F32", "shape": shape, "data_offsets": [0, n_bytes]}
    return {"__metadata__": dict(whole.metadata), "weights": weights, **tensors}


def _headers(whole: WholeHead) -> Iterator[tuple[str, bytes]]:
    data = whole.weights.tobytes()
    text = json.dumps(_header(whole)).encode()
    for length in (0, 1, 7, len(text) - 1, len(text) + 1, 2**31, 2**63, 2**64 - 1, 100_000_001):
        yield f"header of {length} bytes, it says", file_of(text, data, length=length)
    for dtype in DTYPES:
        header = _header(whole)
        header["weights"]["dtype"] = dtype
        yield f"dtype {dtype}", file_of(header, data)
    shape: Any
    for shape in ([2**40, 2**40], [-1, 4], [2.5, 3], ["a"], None, [0, 2**63], [10**400], {}):
        header = _header(whole)
        header["weights"]["shape"] = shape
        yield f"shape {str(shape)[:20]}", file_of(header, data)
    for offsets in ([0, 2**63], [5, 1], [-5, 5], [0], None, [0, len(data) + 1], [4, len(data) + 4]):
        header = _header(whole)
        header["weights"]["data_offsets"] = offsets
        yield f"offsets {offsets}", file_of(header, data)
    metadata: Any
    for metadata in (None, [], "text", 5, {"a": 1}, {"name": None}, {"name": ["a"]}, {}):
        yield f"metadata {metadata}", file_of({**_header(whole), "__metadata__": metadata}, data)
    twice = text[:-1] + b', "weights": ' + json.dumps(_header(whole)["weights"]).encode() + b"}"
    yield "weights twice", file_of(twice, data)
    yield "deep JSON", file_of(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", data)
    yield "no JSON", file_of(b"{" * 500, data)
    yield "not UTF-8", file_of(b'{"\xff\xfe": 1}', data)
    yield "10,000 tensors", file_of(
        _header(whole, **{f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
                          for n in range(10_000)}), data)  # fmt: skip
    yield "cut off", file_of(text, data[:-7])
    yield "longer", file_of(text, data + bytes(100))
    yield "empty", b""
    yield "another model", head_of(whole, model="ViT-B-32/openai")
    yield "other weights", head_of(whole, fingerprint="0" * 16)
    yield "a pickle", b"\x80\x04\x95" + bytes(200)
    yield "a zip", b"PK\x03\x04" + bytes(200)
