"""OpCounter against closed forms."""

import pytest
import torch
from torch import nn

from gan_tutorial.flops import OpCounter


def test_a_linear_layer_and_its_way_back():
    layer, x = nn.Linear(30, 20), torch.randn(7, 30, requires_grad=True)
    with OpCounter() as forwards:
        y = layer(x).sum()
    assert forwards.flops == 2 * 7 * 30 * 20
    with OpCounter() as backwards:
        y.backward()
    assert backwards.flops == 2 * forwards.flops  # to the input, and to the weights
    with pytest.raises(ValueError, match="no_grad"), torch.inference_mode(), OpCounter():
        layer(x)


@pytest.mark.parametrize(
    "layer, size, flops",
    [
        (nn.Conv2d(3, 5, 4, stride=2, padding=1), 14, 2 * 16 * 3 * 5 * 7 * 7),
        (nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1), 14, 2 * 16 * 3 * 5 * 14 * 14),
    ],
)
def test_convolutions(layer, size, flops):
    with OpCounter() as costs, torch.no_grad():
        layer(torch.randn(2, 3, size, size))
    assert costs.flops == 2 * flops and costs.by_name["convolution"]["flops"] == 2 * flops


def test_bytes_are_those_of_inputs_and_outputs_and_views_are_free():
    x = torch.randn(100, 10)
    with OpCounter() as costs:
        y = x.view(10, 100).t()[:50]
    assert costs.bytes == costs.operations == costs.flops == 0
    with OpCounter() as costs:
        torch.relu(y)
    assert costs.operations == 1 and costs.bytes == 2 * 4 * y.numel()
    with OpCounter() as costs:
        x.add_(1)  # read and written in one place: counted once
    assert costs.bytes == 4 * x.numel()
    rows = torch.tensor([3, 5])
    with OpCounter() as costs:
        x[rows]  # two of a hundred
    assert costs.bytes == 2 * 4 * 20


def test_it_listens_inside_of_functional_gradients():
    weight = torch.randn(6, 6, requires_grad=True)
    with OpCounter() as costs:
        torch.func.grad(lambda x: (x @ weight).sum())(torch.randn(4, 6))
    assert costs.flops == 2 * 2 * 4 * 6 * 6  # there, and back to x
