"""From a PIL image to a tensor, by the steps and to the values of the real transforms, for single-channel images."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class Compose:
    """One transform after the other."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x


class Resize:
    """A square picture of side `size`, by PIL's bilinear filter, which does not alias. The same size is no work."""

    def __init__(self, size: int):
        self.size = (size, size)

    def __call__(self, picture: Image.Image) -> Image.Image:
        if picture.width != picture.height:
            raise ValueError(f"This Resize is for square pictures, not for {picture.width} × {picture.height}.")
        return picture if picture.size == self.size else picture.resize(self.size, Image.Resampling.BILINEAR)


class ToTensor:
    """A grey picture as float32 (1, height, width) in [0, 1]."""

    def __call__(self, picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(picture)).unsqueeze(0).float().div_(255)


class Normalize:
    """(x - mean) / std for one channel; x is changed in place, since nobody else holds it."""

    def __init__(self, mean, std):
        (self.mean,), (self.std,) = mean, std

    def __call__(self, x: Tensor) -> Tensor:
        return x.sub_(self.mean).div_(self.std)
