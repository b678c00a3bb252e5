"""All rows: a table on the screen, JSON and a growth plot in a folder.

    python -m benchmarks [--out build/benchmarks] [--only heads,pictures,start]

Heads and pictures are measured on a ViT-B-32 of random weights, which costs what real ones
cost; starts on the built-in model.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from benchmarks import cold_start, heads, pictures, pipeline
from benchmarks.measure import N_THREADS, Row
from classifiers.encoder.encoder import Encoder
from classifiers.encoder.executor import compute
from classifiers.encoder.load import load_encoder
from classifiers.heads.library import HeadLibrary
from classifiers.heads.store import HeadStore
from classifiers.process_tuning import tune_process
from classifiers.words.label_lists import load_label_list

ARCHITECTURE = "ViT-B-32"
PARTS = ("heads", "pictures", "start")
VERSIONS = ("torch", "open_clip_torch", "transformers", "gradio")
HOLDS = {True: "yes", False: "no", None: ""}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    chosen = parser.parse_args()
    parts = chosen.only.split(",")
    tune_process()
    torch.set_num_threads(N_THREADS)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        # Peers compute in the same thread as encoders do: see `executor`.
        model = compute(random_model, Path(folder) / "model")
        encoder = load_encoder(model)
        if "heads" in parts:
            rows += head_rows(encoder, model) + pipeline.rows(encoder)
            plot(heads.growth(encoder), chosen.out / "growth.png")
        if "pictures" in parts:
            library = HeadLibrary(encoder, HeadStore(Path(folder) / "heads"))
            rows += pictures.rows(encoder, library, Path(folder))
    if "start" in parts:
        rows += cold_start.rows()
    print(table(rows))
    report = {
        "machine": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": N_THREADS,
        "versions": {name: version(name) for name in VERSIONS},
        "rows": [row.to_json() for row in rows],
    }
    (chosen.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")


def random_model(folder: Path) -> str:
    """A ViT-B-32 with random weights in open_clip's layout; its name."""
    folder.mkdir()
    torch.manual_seed(0)
    config = {"model_cfg": open_clip.get_model_config(ARCHITECTURE), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(ARCHITECTURE)
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"


def head_rows(encoder: Encoder, model: str) -> list[Row]:
    nouns, one = load_label_list("nouns").classes, [heads.TEMPLATE]
    tenth, eighty = open_clip.IMAGENET_CLASSNAMES[:100], imagenet_templates()
    return [
        *heads.cold_row(encoder, "30 classes, one template", nouns[:30], one, ">=15", 1),
        *heads.cold_row(encoder, "4,000 nouns, one template", nouns, one, ">=25", 0.02),
        *heads.cold_row(
            encoder, "100 of 1,000 ImageNet names × 80 templates", tenth, eighty, ">=8", 0.1
        ),
        *heads.again_row(encoder, nouns[:30]),
        *heads.again_row(encoder, nouns),
        heads.rate_row(encoder),
        heads.memory_row(model),
    ]


def imagenet_templates() -> list[str]:
    return [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]


def table(rows: list[Row]) -> str:
    lines = ["| what | against | ours | theirs | ratio | target | holds |", "|---" * 7 + "|"]
    for row in rows:
        peers = "" if row.peers is None else f"{row.peers:.4g} {row.unit}"
        lines.append(
            f"| {row.what} | {row.against} | {row.ours:.4g} {row.unit} | {peers} "
            f"| {row.ratio:.3g} | {row.target} | {HOLDS[row.holds]} |"
        )
    return "\n".join(lines)


def plot(points: list[tuple[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    counts, seconds = zip(*points, strict=True)
    axes.loglog(counts, seconds, marker="o", label="measured")
    axes.loglog(counts, [seconds[0] * n / counts[0] for n in counts], "--", label="linear")
    axes.set_xlabel("classes")
    axes.set_ylabel("seconds")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
