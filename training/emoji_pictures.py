"""Emoji of a free font on varied backgrounds: flags, food, professions, animals, things.

They know what no photograph here shows. Drawn from Noto Color Emoji (OFL-1.1); names are
Unicode's own, by way of the package `emoji`.
"""

import random
from pathlib import Path

import emoji
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tqdm import tqdm

from training.captions import Caption
from training.pictures import STORED_PIXELS
from training.vocabulary import hypernyms_within, is_visible, synset_names
from training.wordnet import load_wordnet

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_PIXELS = 109  # the one size the font's bitmaps have
FULLY_QUALIFIED = 2


def is_flag(sign: str) -> bool:
    """Whether the emoji is a country's flag: two regional indicators."""
    return len(sign) == 2 and all(0x1F1E6 <= ord(letter) <= 0x1F1FF for letter in sign)


def emoji_names() -> dict[str, str]:
    """Emoji → English name, "woman dancing"; no skin tones, buttons, arrows or symbols."""
    found = {}
    for sign, data in emoji.EMOJI_DATA.items():
        name = data["en"].strip(":").replace("_", " ")
        dull = ("skin tone", "button", "arrow", "facing", "sign", "mark")
        if data["status"] == FULLY_QUALIFIED and not any(word in name for word in dull):
            found[sign] = name
    return found


def emoji_caption(sign: str, name: str, wordnet_directory: Path | None = None) -> Caption:
    """What an emoji may be called: its name, and hypernyms where WordNet knows the thing."""
    if is_flag(sign):
        return Caption(name, (f"flag of {name}",), {"flag": 1})
    wordnet = load_wordnet(wordnet_directory)
    name = name.removesuffix(" face") or name
    thing = name.rsplit(" ", 1)[-1] if name.count(" ") == 1 else name  # "red apple" is an apple
    for words in (name, thing):
        senses = wordnet.synsets(words.replace(" ", "_"), "n")
        if senses and is_visible(senses[0]):
            hypernyms = {w: n for w, n in hypernyms_within(senses[0], 2).items() if w != name}
            if words != name:
                hypernyms = {words: 1} | hypernyms
            synonyms = synset_names(senses[0]) if words == name else []
            others = [word for word in synonyms if word != name and word not in hypernyms]
            return Caption(name, tuple(others), hypernyms)
    return Caption(name, (), {})


def draw(sign: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """One emoji, cut to its ink, RGBA; None where the font lacks it (it draws several)."""
    canvas = Image.new("RGBA", (4 * FONT_PIXELS, 2 * FONT_PIXELS))
    ImageDraw.Draw(canvas).text((8, 8), sign, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None or box[2] - box[0] > 1.5 * FONT_PIXELS:
        return None
    return canvas.crop(box)


def background(rng: random.Random, scenes: np.ndarray) -> Image.Image:
    """A plain colour, or a photograph out of focus; (64, 64) RGB."""
    size = (STORED_PIXELS, STORED_PIXELS)
    if rng.random() < 0.5:
        if rng.random() < 0.4:
            return Image.new("RGB", size, "white")
        return Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    scene = scenes[rng.randrange(len(scenes))].transpose(1, 2, 0)
    return Image.fromarray(scene).filter(ImageFilter.GaussianBlur(rng.uniform(1, 4)))


def render_emoji(
    copies: int, scenes: np.ndarray, cache: Path, font_path: Path = FONT, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Every emoji the font has, each `copies` times at another place, size and background.

    Args:
        scenes: uint8 (n, 3, 64, 64), photographs to put some of them on.

    Returns:
        uint8 (n, 3, 64, 64); int64 (n,) which emoji; the emoji.
    """
    rng = random.Random(seed)
    font = ImageFont.truetype(str(font_path), FONT_PIXELS)
    drawn = {sign: draw(sign, font) for sign in emoji_names()}
    signs = [sign for sign, picture in drawn.items() if picture is not None]
    labels = np.repeat(np.arange(len(signs)), copies)
    if not cache.exists():
        pixels = np.empty((len(labels), 3, STORED_PIXELS, STORED_PIXELS), np.uint8)
        for i, label in enumerate(tqdm(labels, desc="emoji", mininterval=10)):
            sticker = drawn[signs[label]]
            assert sticker is not None
            longest = rng.randint(34, STORED_PIXELS)
            scale = longest / max(sticker.size)
            sides = [max(1, round(side * scale)) for side in sticker.size]
            sticker = sticker.resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
            sticker = sticker.rotate(rng.gauss(0, 6), Image.Resampling.BICUBIC)
            picture = background(rng, scenes)
            x, y = (rng.randint(0, STORED_PIXELS - side) for side in sticker.size)
            picture.paste(sticker, (x, y), sticker)
            pixels[i] = np.asarray(picture).transpose(2, 0, 1)
        np.save(cache, pixels)
    return np.load(cache, mmap_mode="c"), labels, signs
