"""Networks: shapes, ranges, parameter counts, and inputs that they refuse."""

import pytest
import torch
from torch import nn

import gan_tutorial as gt


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28)])
def test_shapes_and_ranges(shape):
    G, C = gt.MLPGenerator(latent=5, shape=shape, width=16), gt.MLPCritic(shape, width=16)
    fake = G(100 * torch.randn(7, 5))
    assert fake.shape == (7, *shape) and C(fake).shape == (7,)
    if len(shape) == 3:
        assert fake.abs().max() <= 1  # images live in [-1, 1] …
    else:
        assert fake.abs().max() > 1  # … points where they like
    assert gt.MLPGenerator(5, shape, 16, output=nn.Sigmoid())(torch.randn(7, 5)).min() >= 0


def test_numbers_of_weights():
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    assert count(gt.MLPGenerator(5, (2,), width=16, depth=2)) == 6 * 16 + 17 * 16 + 17 * 2
    assert count(gt.MLPCritic((1, 28, 28), width=16, depth=1)) == 785 * 16 + 17


def test_a_score_belongs_to_its_own_sample():
    C, x = gt.MLPCritic((2,)), torch.randn(6, 2)
    torch.testing.assert_close(C(x)[3:4], C(x[3:4]))
    # no squashing at the end: a critic's range is the whole line
    assert C(1e4 * x).abs().max() > 10


def test_hidden_layers_bend():
    """One unit by hand: a critic's slope is 0.2 where the unit is off and 1 where it is on; a generator's 0 and 1."""
    C, G = gt.MLPCritic((1,), width=1, depth=1), gt.MLPGenerator(1, (1,), width=1, depth=1)
    with torch.no_grad():
        for weight in (*C.parameters(), *G.parameters()):
            weight.fill_(float(weight.ndim == 2))
    x = torch.tensor([[-2.0], [3.0]])
    torch.testing.assert_close(C(x), torch.tensor([-0.4, 3.0]))
    torch.testing.assert_close(G(x), torch.tensor([[0.0], [3.0]]))


def test_a_generator_of_one_sample_and_a_critic_of_one_keep_the_batch_dimension():
    assert gt.MLPGenerator(3)(torch.randn(1, 3)).shape == (1, 2) and gt.MLPCritic()(torch.randn(1, 2)).shape == (1,)


def test_bad_inputs_are_refused_with_a_sentence():
    G, C = gt.MLPGenerator(3), gt.MLPCritic()
    for call, words in [(lambda: G(torch.zeros(4, 2)), r"z must be .*\(batch, 3\)"),
                        (lambda: G(torch.zeros(3)), r"z must be"),
                        (lambda: C(torch.zeros(4, 3)), r"x must be .*\(batch, 2\)"),
                        (lambda: C(torch.zeros(4, 2, dtype=torch.uint8)), "uint8"),
                        (lambda: C(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)), "takes no label"),
                        (lambda: G(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)), "takes no label"),
                        (lambda: gt.MLPCritic(depth=0), "at least one hidden layer")]:
        with pytest.raises(ValueError, match=words):
            call()
