"""MNIST, sample by sample, from the files that the book reads."""

import contextlib
import io
import time

from PIL import Image
from torch.utils.data import Dataset

import gan_tutorial as gt


class MNIST(Dataset):
    """(picture, digit) pairs: a PIL image in mode "L", through `transform` where one is given, and an int.

    `root` and `download` are taken and left alone: `load` says where the digits come from. The first read of any sample
    is noted in `first_read` (seconds of `clock`): until then a script was setting up, and from then on it trains.
    OSError or ValueError where the files are missing or damaged.
    """

    clock = staticmethod(time.perf_counter)
    load = staticmethod(gt.data.mnist)
    first_read: float | None = None

    def __init__(self, root, train=True, transform=None, download=False):
        with contextlib.redirect_stdout(io.StringIO()):
            data = self.load("train" if train else "test")
        self.pictures, self.digits, self.transform = data.values[:, 0].numpy(), data.label.tolist(), transform

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index):
        if MNIST.first_read is None:
            MNIST.first_read = MNIST.clock()
        picture = Image.fromarray(self.pictures[index])
        return (picture if self.transform is None else self.transform(picture)), self.digits[index]
