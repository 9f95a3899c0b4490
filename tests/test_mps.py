"""An Apple GPU has no float64: what needs it is computed on the CPU. Shown by tensors that say that they are there."""

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import kernels, metrics

MPS = torch.device("mps")


class Apple(torch.Tensor):
    """A tensor on an Apple GPU, as far as types go."""

    device = property(lambda self: MPS)

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


@pytest.fixture(autouse=True)
def to_mps(monkeypatch):
    """x.to(a device) goes there and back, x.to(a tensor) to its device."""
    to = torch.Tensor.to

    def moved(self, place, *more, **settings):
        if place == MPS or isinstance(place, Apple):
            return to(self, *([place.dtype] if isinstance(place, Apple) else more), **settings).as_subclass(Apple)
        return to(self, place, *more, **settings)

    monkeypatch.setattr(torch.Tensor, "to", moved)


def normal(n, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def test_kernels():
    x, y, kernel = normal(20), normal(30, seed=1), kernels.gaussian(1.0)
    there = x.as_subclass(Apple), y.as_subclass(Apple)
    assert kernels.median_distance(*there) == kernels.median_distance(x, y)
    found, expected = kernels.permutation_test(*there, kernel), kernels.permutation_test(x, y, kernel)
    assert found.p_value == expected.p_value and torch.equal(found.null, expected.null)
    assert torch.equal(kernels.log_likelihood(*there, 0.5), kernels.log_likelihood(x, y, 0.5))


@pytest.mark.parametrize("span", [None, (-9, 9)])
def test_an_array_stays_where_it_is_and_its_labels_with_it(span):
    x, label = normal(20), torch.arange(20) % 2
    data, expected = (gt.data.array(there, range=span, label=label) for there in (x.as_subclass(Apple), x))
    assert data.values.device == data.label.device == MPS
    assert torch.equal(data.values.cpu(), expected.values) and torch.equal(data.label.cpu(), expected.label)
    assert torch.equal(data.unscale(data.values), expected.unscale(expected.values))


def test_a_table_is_judged_by_its_columns():
    x, y = normal(20), normal(30, seed=1)
    assert metrics.report(x.as_subclass(Apple), y.as_subclass(Apple)) == metrics.report(x, y)
