"""A stand-in for what three scripts use of torchvision, on the book's own copy of MNIST. See benchmarks/README.md."""

from . import datasets, transforms, utils

__all__ = ["datasets", "transforms", "utils"]
