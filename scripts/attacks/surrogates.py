"""Halves of characters, which JSON can write and UTF-8 cannot, in every field that takes text."""

from __future__ import annotations

from attacks.client import Answer, call_with_body, post
from attacks.server import Server

LONE = '"\\ud800"'  # half of a character, as JSON writes it


def lone_surrogates(server: Server) -> list[Answer]:
    whole = {"name": '"n"', "template": '"a {}"', "classes": '["a", "b"]', "format": '"txt"',
             "precision": '"float32"'}  # fmt: skip
    answers = []
    headers = {"Content-Type": "application/json"}
    for field in whole:
        for value in (LONE, f"[{LONE}]", f'"a {{}} {LONE[1:-1]}"'):
            with_lone = {**whole, field: f"[{value}]" if field == "classes" else value}
            body = "{" + ", ".join(f'"{key}": {text}' for key, text in with_lone.items()) + "}"
            for suffix in ("txt", "xml", "json", "safetensors", "zip", "pt"):
                if field != "format":
                    sent = body.replace('"txt"', f'"{suffix}"')
                    answers.append(_post_json(server, sent))
            answers.append(_post_json(server, body))
    for data in (f'{LONE}, "a {{}}", "a, b"', f'"", {LONE}, "a, b"', f'"", "a {{}}", {LONE}'):
        answers.append(
            call_with_body(server, "create_classifier", f'{{"data": [{data}]}}'.encode())
        )
    for name, data in (
        ("export_classifier", f'"ages", {LONE}'),
        ("export_classifier", f'{LONE}, "pt"'),
    ):
        answers.append(call_with_body(server, name, f'{{"data": [{data}]}}'.encode()))
    fields = {"classifier": b"\xed\xa0\x80", "x": "y"}
    answers.append(post(server, "/api/v1/classify", data=fields, files={"picture": b"x"}))
    answers.append(post(server, "/api/v1/classify", headers=headers, content=b'{"a": "\\ud800"}'))
    return answers


def _post_json(server: Server, body: str) -> Answer:
    headers = {"Content-Type": "application/json"}
    return post(server, "/api/v1/heads", content=body.encode(), headers=headers)
