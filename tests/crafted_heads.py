"""Head files that nobody honest wrote: whole safetensors files with something odd in them."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from classifiers.heads.head import Head

# JSON texts, as metadata values are; the first ones have broken answers before.
ODD_VALUES = (
    "{}", '""', '"0.2"', "true", "false", "null", "[]", "[[]]", "0", "-0.0", "-1", "1", "2.5",
    "1e308", "-1e308", "1e999", "-1e999", "1e-320", "NaN", "Infinity", "-Infinity", "1" * 400,
    "[1e999, 1]", "[1e9, 1]", "[0, 0]", "[-3, 4]", "[true, true]", "[32.5, 32]", "[32]",
    "[32, 32, 32]", "999999999999999999999", "[0, 0, 0]", "[1, 1, 1]", "[1e-300, 1, 1]",
    '["a", "b", "c"]', "[NaN, 0.5, 0.5]", "[0.5, 0.5]", "[0.5, 0.5, 0.5, 0.5]", "[true, 1, 1]",
    r'"\ud800"', r'["\ud800", "dog", "ant"]', r'["\udc00{}"]', r'["a \ud83d {}"]', "[1, 2, 3]",
    '["cat", null, "ant"]', '["cat", ["dog"], "ant"]', '[{"a": 1}, "dog", "ant"]',
    r'["\u0000", "\ufffe", "\uffff"]', r'["a\rb", "a\u0085b", "a\u2028b"]', r'["", " ", "\n"]',
    r'["<item>", "]]>", "&amp;"]', r'["@x", "?y", "\\\""]', '["a {}"]', '["no place"]',
    json.dumps(["x" * 6_000 + "{}"]), json.dumps([f"{i} {{}}" for i in range(300)]),
    "[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 500, "{", "\0", "cat", "", " ", "9" * 5_000,
    "\ufffe\uffff", "two\nlines", "../../etc/passwd", "x" * 10_000, "softmax", "sigmoid",
    "linear-probe", "prototype", "20", "-20", "0.5", "[224, 224]",
)  # fmt: skip
ODD_DTYPES = ("F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "F4", "C64", "f32", "", 3, None)
ODD_NUMBERS = (np.nan, np.inf, -np.inf, 3e38, 0.0, -1.0, 1e-45)


def head_file(metadata: dict[str, Any], tensors: dict[str, Any], data: bytes) -> bytes:
    """A safetensors file of any header, also of one that safetensors would not write.

    Args:
        tensors: `{name: {"dtype": …, "shape": …, "data_offsets": …}}`.
    """
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + data


def crafted_heads(head: Head, n: int, seed: int = 0) -> Iterator[bytes]:
    """`n` files that each differ from `head`'s own in some odd ways.  The same every time."""
    dice = random.Random(seed)
    own = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in head.metadata().items()
    }
    every = [(key, value) for key in own for value in ODD_VALUES]
    dice.shuffle(every)
    for nth in range(n):
        metadata: dict[str, Any] = dict(own)
        arrays = {"weights": head.weights.copy()}
        if nth % 3 == 0:
            arrays["bias"] = np.zeros(len(head.classes), np.float32)
        dtypes: dict[str, Any] = {}
        kind = dice.choice(("metadata",) * 6 + ("missing", "numbers", "tensors", "bytes"))
        if kind == "metadata":
            for key, value in (every[nth % len(every)], *dice.sample(every, dice.choice((0, 1)))):
                metadata[key] = value
        elif kind == "missing":
            key = dice.choice(sorted(own))
            metadata[key] = dice.choice((None, 7, [], {}, True))
            if metadata[key] is None and dice.random() < 0.5:
                del metadata[key]
        elif kind == "numbers":
            array = dice.choice(sorted(arrays))
            arrays[array].flat[dice.randrange(arrays[array].size)] = dice.choice(ODD_NUMBERS)
            if dice.random() < 0.3:
                arrays["bias"] = np.full(len(head.classes), dice.choice((1e4, 2e4)), np.float32)
        elif kind == "tensors":
            _change_tensors(arrays, dtypes, dice)
        yield _written(metadata, arrays, dtypes, dice if kind == "bytes" else None)


def _change_tensors(arrays: dict[str, np.ndarray], dtypes: dict[str, Any], dice: Any) -> None:
    weights = arrays["weights"]
    change = dice.randrange(6)
    if change == 0:
        arrays["weights"] = dice.choice((weights[0], weights[:1], weights[:, :0], weights[:0]))
    elif change == 1:
        arrays["weights"] = dice.choice((weights[None], weights[0, 0], weights.T.copy()))
    elif change == 2:
        arrays["bias"] = dice.choice((weights, weights[0], np.float32(1).reshape(())))
    elif change == 3:
        arrays.update({f"tensor {i}": weights[0] for i in range(dice.choice((1, 2_000)))})
    elif change == 4:
        arrays["else"] = arrays.pop("weights")
    else:
        dtypes["weights"] = dice.choice(ODD_DTYPES)


def _written(
    metadata: dict[str, Any], arrays: dict[str, np.ndarray], dtypes: dict[str, Any], dice: Any
) -> bytes:
    tensors, data = {}, b""
    for name, array in arrays.items():
        begin, data = len(data), data + np.ascontiguousarray(array).tobytes()
        tensors[name] = {
            "dtype": dtypes.get(name, "F32"),
            "shape": list(array.shape),
            "data_offsets": [begin, len(data)],
        }
    if dice is None:
        return head_file(metadata, tensors, data)
    # Damage: the header's length, lengths and offsets in it, any byte, or the end cut off.
    change = dice.randrange(4)
    if change == 0:
        length = dice.choice((0, 1, 2**31, 2**63, 2**64 - 1, 99_999_999, 11_000_000))
        return struct.pack("<Q", length) + head_file(metadata, tensors, data)[8:]
    if change == 1:
        odd = ([0], [0, 1], [8, 4], [-1, 3], [0, 2**63], ["0", "4"], None, [0, 1e3])
        tensors["weights"][dice.choice(("shape", "data_offsets"))] = dice.choice(odd)
        return head_file(metadata, tensors, data)
    whole = bytearray(head_file(metadata, tensors, data))
    if change == 2:
        return bytes(whole[: dice.randrange(len(whole))])
    for _ in range(dice.randrange(1, 20)):
        whole[dice.randrange(len(whole))] = dice.randrange(256)
    return bytes(whole)
