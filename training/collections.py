"""The public collections of photographs: where each is, what is kept out, what a picture shows.

A collection is a bare git repository below the data folder, read by `git cat-file`, so that
no picture is unpacked. What `is_held_out` says is never trained on. Knows nothing of networks.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

CALTECH_PER_CLASS = 15
CALTECH_LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")
CLOTHES_LEFT_OUT = ("Not sure", "Skip", "Other")
FLICKR_REVISION = "56a15d913c3f290e2ee896386ece6076c1eea02e"
FLAGS_REVISION = "ba2cf4101bf029d2ada26da2f95121de74581a4d"
TINY_IMAGENET_PER_CLASS = 10  # small, and the backbone has met them
# Pictures of one class that are trained on, where a collection has many alike.
PROFESSION_PER_CLASS, STYLE_PER_CLASS, CLOTHES_PER_CLASS = 400, 120, 250


class CollectionMissingError(RuntimeError):
    """The data folder lacks a collection; the message says which and how to get it."""


@dataclass(frozen=True)
class Photograph:
    """One picture of a collection: its path there, its git object, what it shows."""

    path: str
    blob: str
    label: str  # the class in words, or a WordNet id; empty where captions say it
    is_held_out: bool


class Repository:
    """A bare git repository, read through git."""

    def __init__(self, data: Path, name: str, revision: str = "HEAD") -> None:
        """Opens `data/owner+name`.

        Raises:
            CollectionMissingError: it is not there.
        """
        folder = data / name.replace("/", "+")
        inside = (folder, folder / "repo", folder / ".git", folder / "repo" / ".git")
        found = [each for each in inside if (each / "HEAD").is_file()]
        if not found:
            raise CollectionMissingError(
                f"{folder} is no git repository: git clone --bare https://github.com/{name} there."
            )
        self._git = ["git", "--git-dir", str(found[0])]
        self._revision = revision

    def files(self) -> list[tuple[str, str]]:
        """Every file of the revision: (path, git object)."""
        command = [*self._git, "ls-tree", "-r", "-z", self._revision]
        listing = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        rows = (row.split("\t", 1) for row in listing.split("\0") if row)
        return [(path, about.split()[2]) for about, path in rows]

    def read(self, path: str) -> bytes:
        """One file's content."""
        command = [*self._git, "show", f"{self._revision}:{path}"]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def read_blobs(self, blobs: list[str]) -> Iterator[bytes]:
        """The contents of git objects, in order, by one process."""
        command = [*self._git, "cat-file", "--batch"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20
        ) as git:
            assert git.stdin is not None and git.stdout is not None
            for blob in blobs:
                git.stdin.write(f"{blob}\n".encode())
                git.stdin.flush()
                size = int(git.stdout.readline().split()[2])
                yield git.stdout.read(size)
                git.stdout.read(1)  # the newline after the content
            git.stdin.close()


@dataclass(frozen=True)
class Collection:
    """One collection: where it is, and how its pictures are listed."""

    name: str
    repository: str
    photographs: Callable[[Repository], list[Photograph]]
    revision: str = "HEAD"

    def open(self, data: Path) -> Repository:
        """Its repository below the data folder."""
        return Repository(data, self.repository, self.revision)


def at_most(count: int, photographs: list[Photograph]) -> list[Photograph]:
    """The first `count` training pictures of every label, and all that are held out."""
    counts: dict[str, int] = {}
    kept = []
    for each in sorted(photographs, key=lambda photograph: photograph.path):
        if not each.is_held_out:
            counts[each.label] = counts.get(each.label, 0) + 1
        if each.is_held_out or counts[each.label] <= count:
            kept.append(each)
    return kept


def is_held_out_flickr(file_name: str) -> bool:
    """Whether a Flickr8k picture, by its name `<id>.jpg`, is kept out of every training."""
    return hashlib.sha1(file_name.encode()).hexdigest()[0] in "01"


def _flickr(repository: Repository) -> list[Photograph]:
    found = [(p, b) for p, b in repository.files() if p.startswith("data/images/")]
    return [
        Photograph(path, blob, "", is_held_out_flickr(path.rsplit("/", 1)[1]))
        for path, blob in found
        if path.endswith(".jpg")
    ]


def _imagenet_samples(repository: Repository) -> list[Photograph]:
    found = [(p, b) for p, b in repository.files() if p.lower().endswith(".jpeg")]
    return [Photograph(path, blob, path.split("_")[0], True) for path, blob in sorted(found)]


def _caltech(repository: Repository) -> list[Photograph]:
    """Fifteen a class, drawn with seed 0; a class's label is its folder's name in words."""
    by_class: dict[str, list[tuple[str, str]]] = {}
    for path, blob in sorted(repository.files()):
        parts = path.split("/")
        if len(parts) == 3 and parts[2].endswith(".jpg") and parts[1] not in CALTECH_LEFT_OUT:
            by_class.setdefault(parts[1], []).append((path, blob))
    rng = np.random.default_rng(0)
    chosen = []
    for folder, files in sorted(by_class.items()):
        for i in sorted(rng.permutation(len(files))[:CALTECH_PER_CLASS]):
            path, blob = files[i]
            chosen.append(Photograph(path, blob, caltech_name(folder), True))
    return chosen


CALTECH_NAMES = {
    "Faces": "face",
    "Leopards": "leopard",
    "Motorbikes": "motorbike",
    "airplanes": "airplane",
    "binocular": "binoculars",
    "car_side": "car",
    "cougar_body": "cougar",
    "cougar_face": "cougar face",
    "crocodile_head": "crocodile head",
    "flamingo_head": "flamingo head",
    "inline_skate": "inline skate",
    "joshua_tree": "Joshua tree",
    "water_lilly": "water lily",
    "wild_cat": "wild cat",
    "windsor_chair": "Windsor chair",
    "yin_yang": "yin yang symbol",
}


def caltech_name(folder: str) -> str:
    """What a person calls a class of Caltech-101."""
    return CALTECH_NAMES.get(folder, folder.replace("_", " "))


def _professions(repository: Repository) -> list[Photograph]:
    found = []
    for path, blob in repository.files():
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == "idenprof" and path.endswith(".jpg"):
            label = {"police": "police officer"}.get(parts[2], parts[2])
            found.append(Photograph(path, blob, label, parts[1] == "test"))
    return at_most(PROFESSION_PER_CLASS, found)


def _dishes(repository: Repository) -> list[Photograph]:
    held_out = set(repository.read("meta/test.txt").decode().split())
    found = []
    for path, blob in repository.files():
        if path.startswith("images/") and path.endswith(".jpg"):
            name = path.removeprefix("images/").removesuffix(".jpg")
            label = name.split("/")[0].replace("_", " ")
            found.append(Photograph(path, blob, label, name in held_out))
    return found


def grocery_name(path: str) -> str:
    """What a person calls a grocery: "Fruit/Apple/Pink-Lady" → "Pink Lady apple"."""
    *above, leaf = path.split("/")
    words = leaf.replace("-", " ")
    kind = above[-1].replace("-", " ") if len(above) > 1 else ""
    is_told = not kind or any(part.lower() in words.lower() for part in kind.split())
    return words if is_told else f"{words} {kind.lower()}"


def _groceries(repository: Repository) -> list[Photograph]:
    found = []
    for path, blob in repository.files():
        parts = path.split("/")
        is_picture = parts[0] == "dataset" and path.endswith(".jpg")
        if is_picture and parts[1] in ("train", "val", "test"):
            label = grocery_name("/".join(parts[2:-1]))
            found.append(Photograph(path, blob, label, parts[1] == "test"))
    return found


CLOTHES_NAMES = {
    "Body": "baby bodysuit",
    "Longsleeve": "long-sleeved shirt",
    "Outwear": "coat",
    "Polo": "polo shirt",
    "Top": "top",
}


def _clothes(repository: Repository) -> list[Photograph]:
    rows = csv.DictReader(io.StringIO(repository.read("images.csv").decode()))
    labels = {row["image"]: row["label"] for row in rows}
    found = []
    for path, blob in repository.files():
        label = labels.get(path.removeprefix("images/").removesuffix(".jpg"))
        if label and label not in CLOTHES_LEFT_OUT:
            name = CLOTHES_NAMES.get(label, label.lower())
            found.append(Photograph(path, blob, name, False))
    return at_most(CLOTHES_PER_CLASS, found)


STYLES = {
    "photo": "",
    "art_painting": "painting of a ",
    "cartoon": "cartoon ",
    "sketch": "sketch of a ",
}


def _styles(repository: Repository) -> list[Photograph]:
    """Seven things in four styles."""
    found = []
    for path, blob in repository.files():
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == "PACS":
            found.append(Photograph(path, blob, STYLES[parts[1]] + parts[2], False))
    return at_most(STYLE_PER_CLASS, found)


def _flags(repository: Repository) -> list[Photograph]:
    names = json.loads(repository.read("countries.json"))
    names = {code.lower(): name for code, name in names.items()}
    found = []
    for path, blob in repository.files():
        if path.startswith("png250px/") and path.endswith(".png"):
            name = names.get(path.split("/")[1].removesuffix(".png"))
            if name:
                found.append(Photograph(path, blob, f"flag of {name.split(',')[0]}", False))
    return found


def _tiny_imagenet(repository: Repository) -> list[Photograph]:
    found = []
    for path, blob in repository.files():
        parts = path.split("/")
        if len(parts) == 5 and parts[1] == "train" and path.endswith(".JPEG"):
            found.append(Photograph(path, blob, parts[2], False))
    return at_most(TINY_IMAGENET_PER_CLASS, found)


COLLECTIONS = {
    each.name: each
    for each in (
        Collection("imagenet_samples", "EliSchwartz/imagenet-sample-images", _imagenet_samples),
        Collection("caltech", "MachineLearning2020/Homework2-Caltech101", _caltech),
        Collection("flickr", "RlNZLER/Image-Text-Matching", _flickr, FLICKR_REVISION),
        Collection("professions", "ninja3697/Profession-Detection-System", _professions),
        Collection("dishes", "srohit0/food_mnist", _dishes),
        Collection("groceries", "marcusklasson/GroceryStoreDataset", _groceries),
        Collection("flags", "hampusborgos/country-flags", _flags, FLAGS_REVISION),
        Collection("clothes", "alexeygrigorev/clothing-dataset", _clothes),
        Collection("styles", "MachineLearning2020/Homework3-PACS", _styles),
        Collection("tiny_imagenet", "seshuad/IMagenet", _tiny_imagenet),
    )
}


@cache
def flickr_captions(data: Path) -> dict[str, list[str]]:
    """Flickr8k's five captions by file name `<id>.jpg`, held-out ones included."""
    repository = Repository(data, "quantumnaan/sic_translator")
    rows = csv.DictReader(io.StringIO(repository.read("data/ignore_captions.txt").decode()))
    captions: dict[str, list[str]] = {}
    for row in rows:
        captions.setdefault(row["image"], []).append(tidy_caption(row["caption"]))
    return captions


def tidy_caption(caption: str) -> str:
    """A caption as a person types it: no blank before the full stop, none at the end."""
    return " ".join(caption.split()).removesuffix(".").strip()
