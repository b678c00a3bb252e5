"""Data sets of small pictures as uint8 arrays: TinyImageNet-200, CIFAR-10.

Arrays are (n, 3, size, size), RGB; labels are int64. Read once from the data sets' own
files, then kept as `.npy` so that a second run starts at once and memory can be mapped.
Knows nothing of words or networks.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

STORED_PIXELS = 64
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR10_WORDNET_IDS = (
    *("n02691156", "n02958343", "n01503061", "n02121620", "n02430045"),
    *("n02084071", "n01639765", "n02374451", "n04194289", "n04490091"),
)


class DataSetMissingError(RuntimeError):
    """A folder does not hold the data set it should; the message says what is missing."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of one data set: uint8 (n, 3, 64, 64), labels (n,), a WordNet id a class."""

    pixels: np.ndarray
    labels: np.ndarray
    wordnet_ids: tuple[str, ...]

    def only(self, which: np.ndarray | slice) -> "Pictures":
        """Some of the pictures, of the same classes: a mask (n,), indices or a slice."""
        return replace(self, pixels=self.pixels[which], labels=self.labels[which])


def read_picture(path: Path, size: int = STORED_PIXELS) -> np.ndarray:
    """One picture file → uint8 (3, size, size), RGB; resized whole where it is not square."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(rgb).transpose(2, 0, 1)


def read_pictures(paths: list[Path], cache: Path) -> np.ndarray:
    """Picture files → uint8 (n, 3, 64, 64), read from `cache` when it was written before."""
    if not cache.exists():
        pixels = np.empty((len(paths), 3, STORED_PIXELS, STORED_PIXELS), np.uint8)
        with ThreadPoolExecutor(4) as pool:
            for i, picture in enumerate(tqdm(pool.map(read_picture, paths), total=len(paths))):
                pixels[i] = picture
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".tmp.npy")
        np.save(partial, pixels)
        partial.rename(cache)
    return np.load(cache, mmap_mode="c")  # private: torch wants writable memory


def load_tiny_imagenet(folder: Path, split: str, cache: Path) -> Pictures:
    """TinyImageNet-200: `train` (500 pictures a class) or `val` (10,000, never trained on).

    Source: Le and Yang 2015, Tiny ImageNet Visual Recognition Challenge.

    Raises:
        DataSetMissingError: `folder` lacks `wnids.txt`; give the folder that holds it.
    """
    if not (folder / "wnids.txt").is_file():
        raise DataSetMissingError(f"No wnids.txt in {folder}: give the tiny-imagenet-200 folder.")
    ids = tuple((folder / "wnids.txt").read_text().split())
    if split == "train":
        paths = [p for i in ids for p in sorted((folder / "train" / i / "images").iterdir())]
        labels = [ids.index(path.parent.parent.name) for path in paths]
    else:
        rows = (folder / "val" / "val_annotations.txt").read_text().splitlines()
        paths = [folder / "val" / "images" / row.split("\t")[0] for row in rows]
        labels = [ids.index(row.split("\t")[1]) for row in rows]
    pixels = read_pictures(paths, cache / f"tiny-imagenet-{split}.npy")
    return Pictures(pixels, np.array(labels), ids)


def load_cifar10(folder: Path, split: str, cache: Path) -> Pictures:
    """CIFAR-10 as one folder of files a class, enlarged from 32 pixels.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.

    Raises:
        DataSetMissingError: `folder` has no `train/airplane`.
    """
    if not (folder / "train" / "airplane").is_dir():
        raise DataSetMissingError(f"No train/airplane in {folder}: give CIFAR-10's folder.")
    paths, labels = [], []
    for label, name in enumerate(CIFAR10_CLASSES):
        files = sorted((folder / split / name).iterdir())
        paths += files
        labels += [label] * len(files)
    pixels = read_pictures(paths, cache / f"cifar10-{split}.npy")
    return Pictures(pixels, np.array(labels), CIFAR10_WORDNET_IDS)
