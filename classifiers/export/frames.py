"""Camera frames → the pixels that an image encoder takes, in operators that phones have.

Repeats in TorchScript what open_clip's preprocessing does with Pillow: any size resized with
antialiasing, then cropped or padded about the centre.  Knows no model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FramePreprocessing(nn.Module):
    """`forward(frames)`: uint8 `(n, height, width, 3)`, RGB, upright → float32
    `(n, 3, *image_size)` in [0, 1].

    Args:
        image_size: `(height, width)` of the result.
        resize_mode: `shortest` side fills the picture, `longest` fits into it, or `squash`.
        interpolation: `bicubic` or `bilinear`.
        max_aspect_ratio: strips longer than this are cut to their middle first.
        fill: what pads, 0 to 255.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        resize_mode: str,
        interpolation: str,
        max_aspect_ratio: int,
        fill: int = 0,
    ) -> None:
        super().__init__()
        self.height, self.width = image_size
        self.resize_mode = resize_mode
        # open_clip's own resizing for oblong models knows bicubic only.
        oblong = resize_mode == "shortest" and self.height != self.width
        self.bicubic = interpolation != "bilinear" or oblong
        self.max_aspect_ratio = max_aspect_ratio
        self.fill = float(fill)

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.permute(0, 3, 1, 2)
        if self.resize_mode == "shortest":
            x = self.middle(x)
        x = x.to(torch.float32).contiguous()
        height, width = self.resized(x.size(2), x.size(3))
        # Across, then down, rounded after each, as Pillow does with its 8-bit pictures.
        x = self.resize(x, x.size(2), width)
        x = self.resize(x, height, width)
        return self.crop_or_pad(x) / 255.0

    def middle(self, x: Tensor) -> Tensor:
        height, width = x.size(2), x.size(3)
        longest = min(height, width) * self.max_aspect_ratio
        top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
        return x[:, :, top : top + min(height, longest), left : left + min(width, longest)]

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The height and width before the crop."""
        if self.resize_mode == "squash":
            return self.height, self.width
        if self.resize_mode == "shortest" and self.height == self.width:
            # torchvision's rounding: down
            if height <= width:
                return self.height, int(self.height * width / height)
            return int(self.width * height / width), self.width
        down, across = height / self.height, width / self.width
        ratio = max(down, across) if self.resize_mode == "longest" else min(down, across)
        # TorchScript's round gives a float.
        return int(round(height / ratio)), int(round(width / ratio))  # noqa: RUF046

    def resize(self, x: Tensor, height: int, width: int) -> Tensor:
        if x.size(2) == height and x.size(3) == width:
            return x
        size = [height, width]
        if self.bicubic:
            x = torch.ops.aten._upsample_bicubic2d_aa(x, size, False, None, None)
        else:
            x = torch.ops.aten._upsample_bilinear2d_aa(x, size, False, None, None)
        return torch.floor(torch.clamp(x, 0.0, 255.0) + 0.5)

    def crop_or_pad(self, x: Tensor) -> Tensor:
        down, across = self.height - x.size(2), self.width - x.size(3)
        if down > 0 or across > 0:
            down, across = max(0, down), max(0, across)
            sides = [across // 2, across - across // 2, down // 2, down - down // 2]
            x = F.pad(x, sides, value=self.fill)
        top, left = (
            self.middle_start(x.size(2) - self.height),
            self.middle_start(x.size(3) - self.width),
        )
        return x[:, :, top : top + self.height, left : left + self.width]

    def middle_start(self, n: int) -> int:
        """Half of `n`; a half pixel goes to the even side, as Python's `round` has it."""
        return n // 2 + (1 if n % 4 == 3 else 0)
