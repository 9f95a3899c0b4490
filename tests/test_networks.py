"""Networks: shapes, numbers of weights, the same results by independent formulas, and inputs that they refuse."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gan_tutorial as gt

UPS = {"conv_transpose_up": gt.conv_transpose_up, "nearest_up": gt.nearest_up, "pixel_shuffle_up": gt.pixel_shuffle_up}
each_up = pytest.mark.parametrize("up", UPS.values(), ids=UPS)
VECTORS = {"none": lambda: None, "OneHot": lambda: gt.OneHot(3), "Embedding": lambda: gt.Embedding(3, dim=5)}
ALL = VECTORS | {"Projection": lambda: gt.Projection(3), "CoarseImage": lambda: gt.CoarseImage(2)}


def label_for(kind, n, size=14, classes=3):
    """Labels of a kind for n samples; neighbours differ."""
    if kind == "CoarseImage":
        return torch.linspace(-1, 1, n * 2 * (size // 2) ** 2).view(n, 2, size // 2, size // 2)
    return None if kind == "none" else torch.arange(n) % classes


def count(net):
    return sum(p.numel() for p in net.parameters())


def enlarged(images, times):
    """Each pixel becomes a block of times × times, by numpy."""
    return torch.from_numpy(np.kron(images.numpy(), np.ones((1, 1, times, times), np.float32)))


def awake(critic):
    """A critic whose Projection has learned something, since it starts at zero."""
    if critic.score.project is not None:
        nn.init.normal_(critic.score.project.weight)
    return critic


# --- fully connected -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28)])
def test_shapes_and_ranges(shape):
    G, C = gt.MLPGenerator(latent_dim=5, shape=shape, width=16), gt.MLPCritic(shape, width=16)
    fake = G(100 * torch.randn(7, 5))
    assert fake.shape == (7, *shape) and C(fake).shape == (7,)
    if len(shape) == 3:
        assert fake.abs().max() <= 1  # images live in [-1, 1] …
    else:
        assert fake.abs().max() > 1  # … points where they like
    assert gt.MLPGenerator(5, shape, 16, output=nn.Sigmoid())(torch.randn(7, 5)).min() >= 0


def test_numbers_of_weights():
    assert count(gt.MLPGenerator(5, (2,), width=16, depth=2)) == 6 * 16 + 17 * 16 + 17 * 2
    assert count(gt.MLPCritic((1, 28, 28), width=16, depth=1)) == 785 * 16 + 17
    # labels: three more inputs, five more and a table of 3 × 5, or a last layer for each of three classes
    assert count(gt.MLPGenerator(5, (2,), 16, 1, condition=gt.OneHot(3))) == 9 * 16 + 17 * 2
    assert count(gt.MLPGenerator(5, (2,), 16, 1, condition=gt.Embedding(3, 5))) == 15 + 11 * 16 + 17 * 2
    assert count(gt.MLPCritic((2,), 16, 1, condition=gt.Projection(3))) == 3 * 16 + 17 + 3 * 16


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
    image = gt.ConvGenerator(3, width=2, norm=None)(torch.randn(1, 3))
    assert image.shape == (1, 1, 28, 28) and gt.ConvCritic(width=2)(image).shape == (1,)


# --- convolutional ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "depth"), [(14, 1), (28, 2), (32, 2), (32, 3)])
@pytest.mark.parametrize("kind", VECTORS)
@each_up
def test_a_generator_of_images_keeps_its_promises(up, kind, size, depth):
    torch.manual_seed(0)
    G = gt.ConvGenerator(5, size, channels=2, width=2, depth=depth, condition=VECTORS[kind](), up=up)
    fake = G(100 * torch.randn(3, 5), label_for(kind, 3))
    assert fake.shape == (3, 2, size, size) and 0.5 < fake.abs().max() <= 1


@pytest.mark.parametrize(("size", "depth"), [(14, 1), (28, 2), (32, 2), (32, 3)])
@pytest.mark.parametrize("kind", ALL)
def test_a_critic_of_images_keeps_its_promises(kind, size, depth):
    C = gt.ConvCritic(size, channels=2, width=2, depth=depth, condition=ALL[kind]())
    x, label = torch.rand(3, 2, size, size) * 2 - 1, label_for(kind, 3, size)
    assert C(x, label).shape == (3,) and C.features(x, label).shape == (3, 2 * 2 ** (depth - 1) * (size >> depth) ** 2)


def test_numbers_of_weights_of_convolutions():
    up = {
        "conv_transpose_up": lambda i, o: 16 * i * o + o,
        "nearest_up": lambda i, o: 9 * i * o + o,
        "pixel_shuffle_up": lambda i, o: 9 * i * 4 * o + 4 * o,
    }
    for name, weights in up.items():
        G = gt.ConvGenerator(5, 28, channels=3, width=4, depth=2, condition=gt.OneHot(10), up=UPS[name])
        assert count(G) == (5 + 10 + 1) * 8 * 49 + 2 * 8 + weights(8, 4) + 2 * 4 + weights(4, 3)
        G = gt.ConvGenerator(5, 32, width=4, depth=3, norm=None, up=UPS[name])
        assert count(G) == (5 + 1) * 16 * 16 + weights(16, 8) + weights(8, 4) + weights(4, 1)
        S = gt.LaplacianLevel(5, 28, channels=3, width=4, up=UPS[name])
        assert count(S) == 6 * 196 + (9 * 4 * 4 + 4) + 2 * 4 + (9 * 4 * 4 + 4) + 2 * 4 + weights(4, 3) + 1
    conv, last = lambda inputs: 16 * inputs * 4 + 4 + 16 * 4 * 8 + 8, 8 * 49  # noqa: E731
    assert count(gt.ConvCritic(28, 3, width=4)) == conv(3) + last + 1
    assert count(gt.ConvCritic(28, 3, width=4, spectral=True)) == conv(3) + last + 1
    assert count(gt.ConvCritic(28, 3, width=4, norm=nn.BatchNorm2d)) == conv(3) + 2 * 8 + last + 1  # not the first one
    assert count(gt.ConvCritic(28, 3, width=4, hidden=5)) == conv(3) + (last + 1) * 5 + 5 + 1
    assert (
        count(gt.ConvCritic(28, 3, width=4, hidden=5, condition=gt.Projection(10))) == conv(3) + (last + 1) * 5 + 6 + 50
    )
    assert count(gt.ConvCritic(28, 3, width=4, condition=gt.OneHot(10))) == conv(3 + 10) + last + 1
    assert count(gt.ConvCritic(28, 3, width=4, condition=gt.Embedding(10, 5))) == 50 + conv(3 + 5) + last + 1
    assert count(gt.ConvCritic(28, 3, width=4, condition=gt.Projection(10))) == conv(3) + last + 1 + 10 * last
    assert count(gt.ConvCritic(28, 3, width=4, condition=gt.CoarseImage(3))) == conv(3 + 3) + last + 1


def test_a_generator_is_its_formula():
    """Linear, then transposed convolutions, ReLU between them and tanh at the end; BatchNorm before every ReLU."""
    for norm in (None, nn.BatchNorm2d):
        G = gt.ConvGenerator(5, size=8, channels=3, width=4, depth=2, norm=norm)
        z = torch.randn(6, 5)
        batch_norm = (
            (lambda x: x)
            if norm is None
            else lambda x: (
                (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
            )
        )
        linear, first, second = (m for m in G.modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d))
        x = (z @ linear.weight.T + linear.bias).view(6, 8, 2, 2)
        x = F.conv_transpose2d(batch_norm(x).relu(), first.weight, first.bias, stride=2, padding=1)
        x = F.conv_transpose2d(batch_norm(x).relu(), second.weight, second.bias, stride=2, padding=1)
        torch.testing.assert_close(G(z), x.tanh())


def test_a_critic_is_its_formula():
    """Convolutions of stride 2 with leaky ReLU, and a linear layer of what is left: its input are the features."""
    C, x = gt.ConvCritic(size=8, channels=3, width=4, depth=2), torch.randn(6, 3, 8, 8)
    first, second, last = (m for m in C.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    h = F.leaky_relu(F.conv2d(x, first.weight, first.bias, stride=2, padding=1), 0.2)
    h = F.leaky_relu(F.conv2d(h, second.weight, second.bias, stride=2, padding=1), 0.2).flatten(1)
    torch.testing.assert_close(C.features(x), h)
    torch.testing.assert_close(C(x), h @ last.weight[0] + last.bias)


@pytest.mark.parametrize("hidden", [None, 16])
def test_without_a_hidden_layer_a_critic_judges_distant_parts_apart(hidden):
    """f(a, c) + f(b, d) = f(a, d) + f(b, c), parts being 12 rows apart: no window of 10 × 10 pixels sees two of them.

    So no such critic, whatever its weights, prefers the two right pairs to the two wrong ones.
    """
    C, (a, b) = gt.ConvCritic(28, width=4, hidden=hidden), torch.randn(2, 1, 8, 28)
    c, d, gap = *torch.randn(2, 1, 8, 28), torch.zeros(1, 12, 28)
    right, wrong = (
        C(torch.stack([torch.cat([top, gap, below], 1) for top, below in pairs])).sum().detach()
        for pairs in ([(a, c), (b, d)], [(a, d), (b, c)])
    )
    assert torch.isclose(right, wrong, rtol=0, atol=1e-5) == (hidden is None)


@pytest.mark.parametrize("spectral", [False, True])
def test_the_hidden_layer_stands_between_the_convolutions_and_the_score(spectral):
    C, x = gt.ConvCritic(size=8, width=4, depth=2, hidden=5, spectral=spectral).eval(), torch.randn(6, 1, 8, 8)
    *_, hidden, last = (m for m in C.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    maps = C.layers[:5](x)  # two convolutions, each with its activation, flattened
    assert maps.shape == (6, 8 * 2 * 2)
    torch.testing.assert_close(C.features(x), F.leaky_relu(maps @ hidden.weight.T + hidden.bias, 0.2))
    torch.testing.assert_close(C(x), C.features(x) @ last.weight[0] + last.bias)
    assert len(normalised(C)) == 4 * spectral


def test_three_ways_to_double_a_map():
    x, inputs, outputs = torch.randn(2, 3, 4, 4), 3, 2
    by_transposition, by_upsampling, by_shuffling = (up(inputs, outputs) for up in UPS.values())
    # conv_transpose_up: each pixel adds a patch of 4 × 4 at its place, every second pixel; a margin of one is cut off
    canvas = torch.zeros(2, outputs, 10, 10)
    for i in range(4):
        for j in range(4):
            canvas[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += torch.einsum(
                "bi,iohw->bohw", x[:, :, i, j], by_transposition.weight.detach()
            )
    torch.testing.assert_close(
        by_transposition(x), canvas[:, :, 1:9, 1:9] + by_transposition.bias.detach().view(-1, 1, 1)
    )
    # nearest_up: blocks of 2 × 2, then a convolution
    conv = by_upsampling[1]
    torch.testing.assert_close(by_upsampling(x), F.conv2d(enlarged(x, 2), conv.weight, conv.bias, padding=1))
    # pixel_shuffle_up: a convolution at small size, of which four channels make one: no two of its pixels overlap
    conv = by_shuffling[0]
    small, big = F.conv2d(x, conv.weight, conv.bias, padding=1), by_shuffling(x)
    for place in range(4):
        torch.testing.assert_close(big[:, :, place // 2 :: 2, place % 2 :: 2], small[:, place::4])


@each_up
def test_no_way_of_doubling_draws_a_checkerboard_by_overlap(up):
    """A constant map under constant weights stays constant inside; a transposed kernel of 3 does not manage that."""
    control = nn.ConvTranspose2d(1, 1, kernel_size=3, stride=2, padding=1, output_padding=1)
    net = up(1, 1)
    for p in (*net.parameters(), *control.parameters()):
        nn.init.constant_(p, float(p.ndim == 4))
    inside = lambda net: net(torch.ones(1, 1, 8, 8))[:, :, 3:-3, 3:-3]  # noqa: E731
    assert torch.equal(inside(net), inside(net)[:, :, :1, :1].expand(-1, -1, 10, 10))
    assert inside(control).unique().tolist() == [1, 2, 4]


# --- any size --------------------------------------------------------------------------------------------------------

SIZES = [28, 64, 7, 2, 30, 33, (48, 80), (80, 48), (17, 100), (28, 29)]


@pytest.mark.parametrize(
    ("size", "depth"), [(2, 1), (7, 1), (14, 1), (15, 2), (28, 2), (29, 3), (56, 3), (64, 4), (112, 4), (256, 6)]
)
def test_the_depth_follows_from_the_shorter_side(size, depth):
    """Halved until 7 pixels or fewer are left, by counting convolutions; once at least."""
    convolutions = lambda net, kind: sum(isinstance(m, kind) for m in net.modules())  # noqa: E731
    for sides in (size, (size, 300), (300, size)):
        with torch.device("meta"):
            G, C = gt.ConvGenerator(3, sides, width=1), gt.ConvCritic(sides, width=1)
        assert convolutions(G, nn.ConvTranspose2d) == convolutions(C, nn.Conv2d) == depth


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size(size, channels):
    sides = (size, size) if isinstance(size, int) else size
    fake = gt.ConvGenerator(3, size, channels, width=2)(torch.randn(2, 3))
    assert fake.shape == (2, channels, *sides) and fake.abs().max() <= 1
    C = gt.ConvCritic(size, channels, width=2, hidden=4)
    assert C(fake).shape == (2,) and C.features(fake).shape == (2, 4)
    wrong = "x must be " + r".*\(batch, {}, {}, {}\)".format(channels, *sides)
    with pytest.raises(ValueError, match=wrong):
        C(torch.zeros(2, channels, sides[0] + 1, sides[1]))


@pytest.mark.parametrize("size", [size for size in SIZES if size != 2], ids=str)  # 2: most of a kernel sees padding
@each_up
def test_every_pixel_and_every_weight_counts_at_any_size(up, size):
    """No pixel is left out where a side does not halve, and nothing that is cut off has weights of its own."""
    torch.manual_seed(0)
    G, C = gt.ConvGenerator(3, size, 2, width=4, norm=None, up=up), gt.ConvCritic(size, 2, width=4)
    for module in [*G.modules(), *C.modules()]:
        if isinstance(module, nn.ReLU | nn.LeakyReLU):
            module.register_forward_hook(lambda module, inputs, output: inputs[0])  # so that no unit is off
    for weight in (*G.parameters(), *C.parameters()):
        nn.init.uniform_(weight, 0.01, 0.02)  # so that nothing cancels
    x = G(torch.rand(3, 3)).detach().requires_grad_()
    C(x).sum().backward()
    assert (x.grad > 0).all()
    G(torch.rand(3, 3)).sum().backward()
    assert all((weight.grad > 0).all() for weight in G.parameters())
    assert all((weight.grad != 0).all() for weight in C.parameters())


def test_a_rectangle_is_not_transposed():
    """A critic of (height, width) images and its formula: rows are rows."""
    C, x = gt.ConvCritic((6, 10), width=2, depth=1), torch.randn(3, 1, 6, 10)
    conv, last = (m for m in C.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    h = F.leaky_relu(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1), 0.2)
    assert h.shape == (3, 2, 3, 5)
    torch.testing.assert_close(C(x), h.flatten(1) @ last.weight[0] + last.bias)
    S = gt.LaplacianLevel(3, (6, 10), width=2)
    assert S(torch.randn(3, 3), torch.zeros(3, 1, 3, 5)).shape == (3, 1, 6, 10)


def test_what_doubling_makes_too_much_is_cut_off_below_and_right():
    G, whole = gt.ConvGenerator(3, (30, 25), width=2, depth=3), gt.ConvGenerator(3, 32, width=2, depth=3)
    whole.load_state_dict(G.state_dict())
    z = torch.randn(2, 3)
    assert torch.equal(G(z), whole(z)[:, :, :30, :25])


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_each_score_belongs_to_its_own_sample_and_label(kind):
    C = awake(gt.ConvCritic(14, 2, width=4, depth=1, condition=ALL[kind]()))
    x, label = torch.randn(6, 2, 14, 14), label_for(kind, 6)
    one = None if label is None else label[3:4]
    torch.testing.assert_close(C(x, label)[3:4], C(x[3:4], one))


@pytest.mark.parametrize("kind", sorted(set(ALL) - {"none"}))
def test_swapped_labels_change_what_comes_out(kind):
    """Trap 12, for every kind of label and every network that takes it: only the swapped samples change."""
    label = label_for(kind, 6)
    swapped = label[[0, 2, 1, 3, 4, 5]]
    images, points, z = torch.randn(6, 2, 14, 14), torch.randn(6, 2), torch.randn(6, 3)
    calls = [(awake(gt.ConvCritic(14, 2, width=4, depth=1, condition=ALL[kind]())), images)]
    if kind == "CoarseImage":
        calls += [(gt.LaplacianLevel(3, 14, 2, width=4).eval(), z)]
    else:
        calls += [(awake(gt.MLPCritic(condition=ALL[kind]())), points)]
    if kind in VECTORS:
        calls += [
            (gt.ConvGenerator(3, 14, 2, width=4, depth=1, condition=VECTORS[kind]()).eval(), z),
            (gt.MLPGenerator(3, condition=VECTORS[kind]()), z),
        ]
    for net, x in calls:
        change = (net(x, label) - net(x, swapped)).abs().view(6, -1).amax(1)
        assert (change[1:3] > 1e-5).all() and (change[[0, 3, 4, 5]] < 1e-6).all(), type(net).__name__


@pytest.mark.parametrize("kind", ["OneHot", "Embedding"])
def test_concatenation_is_an_unconditional_network_with_more_inputs(kind):
    """The same weights in a network without labels, whose input we extend by hand."""
    label = label_for(kind, 6)

    def beside(net, x):
        numbers = torch.eye(3)[label] if kind == "OneHot" else net.condition.table.weight.detach()[label]
        maps = [torch.stack([torch.full(x.shape[2:], float(v)) for v in row]) for row in numbers]
        return torch.cat([x, torch.stack(maps)], dim=1)

    more = 3 if kind == "OneHot" else 5
    for build, x, key in [
        (lambda n, label: gt.MLPGenerator(n, width=8, condition=label), torch.randn(6, 4), 4),
        (lambda n, label: gt.MLPCritic((n,), width=8, condition=label), torch.randn(6, 4), 4),
        (lambda n, label: gt.ConvGenerator(n, 8, width=2, norm=None, condition=label), torch.randn(6, 4), 4),
        (lambda n, label: gt.ConvCritic(8, n, width=2, condition=label), torch.randn(6, 2, 8, 8), 2),
    ]:
        net, plain = build(key, VECTORS[kind]()), build(key + more, None)
        plain.load_state_dict({name: v for name, v in net.state_dict().items() if not name.startswith("condition.")})
        torch.testing.assert_close(net(x, label), plain(beside(net, x)))


def test_concatenation_beside_an_image_that_an_mlp_takes_apart():
    C, plain = gt.MLPCritic((1, 4, 4), width=8, condition=gt.OneHot(3)), gt.MLPCritic((19,), width=8)
    plain.load_state_dict(C.state_dict())
    x, label = torch.randn(6, 1, 4, 4), label_for("OneHot", 6)
    torch.testing.assert_close(C(x, label), plain(torch.cat([x.flatten(1), torch.eye(3)[label]], 1)))


@pytest.mark.parametrize(
    "build",
    [
        lambda label: gt.ConvCritic(8, 2, width=2, condition=label),
        lambda label: gt.MLPCritic((2, 8, 8), width=8, condition=label),
    ],
    ids=["conv", "MLP"],
)
def test_projection_gives_each_class_a_last_layer_of_its_own(build):
    """w·h + b + v(label)·h by loops, and the critic without labels whose last layer is w + v(class)."""
    C, plain, x = build(gt.Projection(3)), build(None), torch.randn(6, 2, 8, 8)
    state = {name: v for name, v in C.state_dict().items() if "project" not in name}
    plain.load_state_dict(state)
    label = label_for("Projection", 6)
    assert torch.equal(C(x, label), plain(x))  # it begins as a critic that knows no label
    awake(C)
    h = C.features(x, label) if hasattr(C, "features") else C.layers(x.flatten(1))
    w, b, v = C.score.linear.weight[0], C.score.linear.bias[0], C.score.project.weight
    expected = [sum((w[k] + v[y, k]) * h[n, k] for k in range(h.shape[1])) + b for n, y in enumerate(label.tolist())]
    torch.testing.assert_close(C(x, label), torch.stack(expected), atol=1e-4, rtol=1e-4)
    for y in range(3):
        plain.load_state_dict(state | {"score.linear.weight": (w + v[y]).detach()[None]})
        torch.testing.assert_close(C(x, torch.full((6,), y)), plain(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_coarse_image_stands_beside_the_fine_one(times):
    C, plain = gt.ConvCritic(8, 2, width=2, condition=gt.CoarseImage(3)), gt.ConvCritic(8, 5, width=2)
    plain.load_state_dict(C.state_dict())
    x, coarse = torch.randn(6, 2, 8, 8), torch.randn(6, 3, 8 // times, 8 // times)
    torch.testing.assert_close(C(x, coarse), plain(torch.cat([x, enlarged(coarse, times)], 1)))


def test_a_label_module_of_ones_own():
    """Whatever has `extra` and takes (x, label): here a critic that is given labels and does not look."""

    class Unseen(nn.Module):
        extra = 0

        def forward(self, x, label):
            return x

    C, plain = gt.ConvCritic(8, width=2, condition=Unseen()), gt.ConvCritic(8, width=2)
    plain.load_state_dict(C.state_dict())
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(C(x, torch.arange(3)), plain(x))


# --- a stacked level -------------------------------------------------------------------------------------------------


@each_up
def test_a_stacked_level_without_residual_enlarges(up):
    """tanh(2 c), each pixel a block, whatever z."""
    S = gt.LaplacianLevel(3, 8, channels=2, width=4, up=up)
    for p in S.residual[-1].parameters():
        nn.init.zeros_(p)
    coarse = torch.rand(6, 2, 4, 4) * 2 - 1
    torch.testing.assert_close(S(torch.randn(6, 3), coarse), torch.tanh(2 * enlarged(coarse, 2)))


def test_a_stacked_level_is_its_formula():
    S = gt.LaplacianLevel(3, 8, channels=2, width=4, norm=None)
    z, coarse = torch.randn(6, 3), torch.rand(6, 2, 4, 4) * 2 - 1
    nn.init.constant_(S.gain, 0.5)
    linear, first, second, up = (m for m in S.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d))
    noise = (z @ linear.weight.T + linear.bias).view(6, 1, 4, 4)
    h = F.conv2d(torch.cat([coarse, noise], 1), first.weight, first.bias, padding=1).relu()
    h = F.conv2d(h, second.weight, second.bias, padding=1).relu()
    residual = F.conv_transpose2d(h, up.weight, up.bias, stride=2, padding=1)
    torch.testing.assert_close(S(z, coarse), torch.tanh(0.5 * enlarged(coarse, 2) + residual))
    assert S.gain.requires_grad and sum(isinstance(m, nn.BatchNorm2d) for m in gt.LaplacianLevel(3, 8).modules()) == 2


# --- spectral normalisation ------------------------------------------------------------------------------------------


def normalised(net):
    """The layers under spectral normalisation, and their (u, v)."""
    return [m for m in net.modules() if hasattr(m, "parametrizations")]


def largest_singular_value(layer):
    weight = layer.weight.detach().numpy()
    return np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]


def test_the_largest_singular_value_of_every_weight_becomes_one():
    """Trap 13. By an SVD, after weights were changed and the critic has seen many batches since."""
    torch.manual_seed(0)
    C = gt.ConvCritic(8, 1, width=3, depth=2, spectral=True, condition=gt.Projection(3))
    layers = normalised(C)
    assert len(layers) == 4 and not normalised(gt.ConvCritic(8, 1, width=3, condition=gt.Projection(3)))
    for layer in layers:
        nn.init.normal_(layer.parametrizations.weight.original)
    x, label = torch.randn(1, 1, 8, 8), torch.zeros(1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(300):
            C(x, label)
    C.eval()
    assert [largest_singular_value(layer) for layer in layers] == pytest.approx([1] * 4, rel=1e-4)


def test_the_power_iteration_moves_in_training_only_even_when_frozen():
    C = gt.ConvCritic(8, width=3, spectral=True)
    nn.init.normal_(normalised(C)[1].parametrizations.weight.original)
    x = torch.randn(2, 1, 8, 8)
    buffers = lambda: torch.cat([b.flatten() for b in C.buffers()])  # noqa: E731
    before, first = C.eval() and buffers(), C(x)
    assert torch.equal(first, C(x)) and torch.equal(before, buffers())
    C.train().requires_grad_(False)(x)
    assert not torch.equal(before, buffers())


@pytest.mark.parametrize("size", [8, 16])
def test_how_far_a_convolution_under_spectral_normalisation_stretches(size):
    """By the Jacobian's SVD: two at most, and nearly as far for a constant kernel.

    A constant image of n pixels a side has the outputs 4 times a pixel inside and less in the outer row, so that the
    largest singular value is at least 2 - 3.5 / n.
    """
    C = gt.ConvCritic(size, width=3, depth=1, spectral=True)
    conv = normalised(C)[0]
    nn.init.constant_(conv.parametrizations.weight.original, 1.0)
    for _ in range(20):
        C(torch.ones(1, 1, size, size))
    J = torch.func.jacrev(C.eval().layers[0])(torch.zeros(1, 1, size, size)).detach().reshape(-1, size**2)
    assert 2 - 3.5 / size < np.linalg.svd(J.numpy(), compute_uv=False)[0] <= 2 + 1e-5


# --- first weights ---------------------------------------------------------------------------------------------------


def looks_normal(values, mean, std):
    """Five standard errors of a mean and of a standard deviation."""
    n = values.numel()
    return abs(values.mean() - mean) < 5 * std / n**0.5 and abs(values.std() - std) < 5 * std / (2 * n) ** 0.5


@pytest.mark.parametrize(
    "build",
    [
        lambda: gt.ConvGenerator(64, 16, condition=gt.OneHot(10)),
        lambda: gt.ConvGenerator(64, 16, up=gt.pixel_shuffle_up),
        lambda: gt.ConvCritic(16, 3, norm=nn.BatchNorm2d),
        lambda: gt.ConvCritic(16, 3, spectral=True),
        lambda: gt.MLPGenerator(64),
        lambda: gt.LaplacianLevel(64, 16),
    ],
    ids=["generator", "pixel_shuffle_up", "critic", "spectral", "MLP", "stacked"],
)
def test_dcgan_begins_with_small_weights_and_scales_near_one(build):
    """Trap 16. N(0, 0.02²) for weights, N(1, 0.02²) for BatchNorm's scales, zero for biases."""
    torch.manual_seed(0)
    net = build()
    for p in net.parameters():
        nn.init.constant_(p, 7.0)
    assert gt.dcgan_init(net) is net
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    scales = {id(m.weight) for m in norms}
    for name, p in net.named_parameters():
        if name == "gain":
            assert p == 7  # no layer's weight
        elif name.endswith("bias"):
            assert not p.any()
        else:
            assert looks_normal(p.detach(), *((1.0, 0.02) if id(p) in scales else (0.0, 0.02))), name


@pytest.mark.parametrize("training", [True, False])
def test_spectral_normalisation_follows_dcgans_weights(training):
    """Its vectors belonged to the weights that are gone, and a critic in evaluation never looks again."""
    C = gt.dcgan_init(gt.ConvCritic(28, spectral=True, condition=gt.Projection(10)).train(training))
    assert all(m.training == training for m in C.modules())
    C.eval()
    assert [largest_singular_value(layer) for layer in normalised(C)] == pytest.approx([1] * 4, rel=0.1)


def test_dcgan_leaves_labels_and_norms_without_scales_alone():
    G = gt.ConvGenerator(3, 8, condition=gt.Embedding(3, 5), norm=lambda n: nn.BatchNorm2d(n, affine=False))
    table = G.condition.table.weight.detach().clone()
    gt.dcgan_init(G)
    assert torch.equal(G.condition.table.weight, table)
    assert not gt.dcgan_init(gt.ConvCritic(8, condition=gt.Projection(3))).score.project.weight.any()


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_inputs_are_refused_with_a_sentence():
    G, C = gt.MLPGenerator(3), gt.MLPCritic()
    for call, words in [
        (lambda: G(torch.zeros(4, 2)), r"z must be .*\(batch, 3\)"),
        (lambda: G(torch.zeros(3)), r"z must be"),
        (lambda: C(torch.zeros(4, 3)), r"x must be .*\(batch, 2\)"),
        (lambda: C(torch.zeros(4, 2, dtype=torch.uint8)), "uint8"),
        (lambda: C(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)), "takes no condition"),
        (lambda: G(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)), "takes no condition"),
        (lambda: gt.MLPCritic(depth=0), "depth of at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("shape", [2, (), (0,), (2.0,), "2", (True,)])
def test_what_is_no_shape_of_a_sample_is_refused(shape):
    for build in (lambda: gt.MLPGenerator(2, shape), lambda: gt.MLPCritic(shape)):
        with pytest.raises(ValueError, match="Expected the shape of a sample, such as"):
            build()


def test_bad_images_are_refused_with_a_sentence():
    G, C, S = gt.ConvGenerator(3, width=2), gt.ConvCritic(28, 3, width=2), gt.LaplacianLevel(3, 28, width=2)
    z, coarse = torch.zeros(4, 3), torch.zeros(4, 1, 14, 14)
    for call, words in [
        (lambda: G(torch.zeros(4, 2)), r"z must be .*\(batch, 3\)"),
        (lambda: G(z.long()), "int64"),
        (lambda: C(torch.zeros(4, 3, 32, 32)), r"x must be .*\(batch, 3, 28, 28\), not .*32, 32"),
        (lambda: C(torch.zeros(4, 1, 28, 28)), r"x must be"),
        (lambda: C.features(torch.zeros(4, 3, 28, 28).byte()), "uint8"),
        (lambda: C(torch.zeros(4, 3, 28, 28), torch.arange(4)), "ConvCritic takes no condition"),
        (lambda: G(z, torch.arange(4)), "ConvGenerator takes no condition"),
        (lambda: S(torch.zeros(4, 2), coarse), r"z must be"),
        (lambda: S(z), "LaplacianLevel needs the coarse image"),
        (lambda: S(z, torch.zeros(4, 1, 7, 7)), r"coarse image must be .*14, 14\)"),
        (lambda: S(z, torch.arange(4)), "coarse image must be"),
        (lambda: gt.ConvGenerator(3, 7, depth=3), "7 by 7 pixels cannot be halved 3 times: .* from 1 to 2"),
        (lambda: gt.ConvGenerator(3, 28, depth=0), "cannot be halved 0 times: .* from 1 to 4"),
        (lambda: gt.ConvGenerator(3, 28, depth=1.5), "cannot be halved 1.5 times"),
        (lambda: gt.ConvGenerator(3, 28, depth=True), "cannot be halved True times"),
        (lambda: gt.ConvCritic((64, 28), depth=5), "64 by 28 pixels cannot be halved 5 times: .* from 1 to 4"),
        (lambda: gt.ConvCritic((64, 1)), "64 by 1 pixels cannot be halved 1 times: .* two pixels or more"),
        (lambda: gt.LaplacianLevel(3, 15), "15 pixels are not a double: take an even size"),
        (lambda: gt.LaplacianLevel(3, (28, 15)), r"\(28, 15\) pixels are not a double"),
        *(
            (partial(net, bad), r"size of an image, such as 28 or \(48, 80\), got ")
            for bad in (0, -3, 2.5, "28", True, None, (28,), (3, 64, 64), (28, 0))
            for net in (partial(gt.ConvGenerator, 3), gt.ConvCritic, partial(gt.LaplacianLevel, 3))
        ),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_a_depth_may_be_numpys():
    for build in (partial(gt.ConvGenerator, 3, width=2), partial(gt.ConvCritic, width=2)):
        whole, numpys = (build(depth=kind(2)).state_dict() for kind in (int, np.int64))
        assert {name: value.shape for name, value in whole.items()} == {n: v.shape for n, v in numpys.items()}


@pytest.mark.parametrize("kind", ["OneHot", "Embedding", "Projection"])
@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "needs a condition with each sample.*labelled=True"),
        (torch.zeros(4), "int64.*float32"),
        (torch.zeros(4, dtype=torch.int32), "int64.*int32"),
        (torch.zeros(4, 1, dtype=torch.long), r"shape \(4, 1\)"),
        (torch.tensor(1), r"shape \(\)"),
        (torch.zeros(1, dtype=torch.long), r"here \(4,\), not .*\(1,\)"),  # it would broadcast
        (torch.tensor([0, 1, 2, 3]), "from 0 to 2 here, but there is one from 0 to 3"),
        (torch.tensor([0, -1, 2, 1]), "from 0 to 2 here, but there is one from -1 to 2"),
    ],
)
def test_labels_that_are_no_classes_are_refused(kind, label, words):
    critics = [
        (gt.MLPCritic(condition=ALL[kind]()), torch.zeros(4, 2)),
        (gt.ConvCritic(8, width=2, condition=ALL[kind]()), torch.zeros(4, 1, 8, 8)),
    ]
    generators = (
        [
            (build, torch.zeros(4, 3))
            for build in (
                gt.MLPGenerator(3, condition=ALL[kind]()),
                gt.ConvGenerator(3, 8, width=2, condition=ALL[kind]()),
            )
        ]
        if kind in VECTORS
        else []
    )
    for net, x in critics + generators:
        with pytest.raises(ValueError, match=words):
            net(x, label)


def test_no_samples_have_no_labels():
    none = torch.zeros(0, dtype=torch.long)
    assert gt.MLPCritic(condition=gt.OneHot(3))(torch.zeros(0, 2), none).shape == (0,)
    S = gt.LaplacianLevel(3, 8, norm=None)
    assert S(torch.zeros(0, 3), torch.zeros(0, 1, 4, 4)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(
    "label",
    [
        torch.arange(4),
        torch.zeros(4, 2, 4, 4),
        torch.zeros(4, 1, 3, 4),
        torch.zeros(4, 1, 4, 16),
        torch.zeros(4, 1, 4, 4, dtype=torch.uint8),  # bytes would become numbers up to 255
        torch.zeros(4, 1, 0, 4),
    ],
    ids=["classes", "channels", "height", "width", "bytes", "empty"],
)
def test_labels_that_are_no_coarse_images_are_refused(label):
    C = gt.ConvCritic(8, width=2, condition=gt.CoarseImage())
    words = r"floating-point image \(batch, 1, h, w\) whose sides divide \(8, 8\).*prepare"
    with pytest.raises(ValueError, match=words):
        C(torch.zeros(4, 1, 8, 8), label)


@pytest.mark.parametrize(
    "build",
    [
        lambda: gt.MLPGenerator(3, condition=gt.Projection(3)),
        lambda: gt.ConvGenerator(3, condition=gt.Projection(3)),
        lambda: gt.MLPGenerator(3, condition=gt.CoarseImage()),
        lambda: gt.ConvGenerator(3, condition=gt.CoarseImage()),
        lambda: gt.MLPCritic((1, 8, 8), condition=gt.CoarseImage()),
        lambda: gt.ConvCritic(condition=10),
        lambda: gt.ConvGenerator(3, condition=gt.OneHot),
        lambda: gt.ConvGenerator(3, condition=nn.Embedding(10, 16)),  # without `extra`
    ],
)
def test_a_way_for_labels_that_a_network_would_not_use_is_refused(build):
    """Without a word it would train an unconditional network."""
    with pytest.raises(ValueError, match=r"Expected condition=OneHot\(10\)"):
        build()


def test_networks_can_be_copied():
    """A running average begins as a copy: the same results, from weights of its own."""
    for net, label in [
        (gt.ConvCritic(8, width=2, spectral=True, condition=gt.Projection(3)).eval(), torch.arange(3)),
        (gt.ConvCritic(8, width=2, condition=gt.Embedding(3)), torch.arange(3)),
    ]:
        twin, x = copy.deepcopy(net), torch.randn(3, 1, 8, 8)
        assert torch.equal(net(x, label), twin(x, label))
        assert not {id(p) for p in net.parameters()} & {id(p) for p in twin.parameters()}


def test_a_cascade_hands_each_level_its_part_of_z_and_the_image_before():
    torch.manual_seed(0)
    levels = gt.MLPGenerator(3, (1, 7, 7)), gt.LaplacianLevel(2, 14, width=4), gt.LaplacianLevel(4, 28, width=4)
    net, z = gt.Cascade(*levels).eval(), torch.randn(5, 9)
    image = levels[0](z[:, :3])
    image = levels[1](z[:, 3:5], image)
    assert torch.equal(net(z), levels[2](z[:, 5:], image)) and net.latent_dim == 9
    with pytest.raises(ValueError, match=r"\(batch, 9\)"):
        net(z[:, :8])
    with pytest.raises(ValueError, match="takes no condition"):
        net(z, torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="levels of a stack"):
        gt.Cascade()


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), 0, -1])
def test_whole_numbers_are_pythons_and_numpys(value):
    assert gt.networks.is_whole(value) and not gt.networks.is_whole(float(value))
    assert not any(map(gt.networks.is_whole, (True, False, np.True_, "3", None, torch.tensor(3))))


# --- what sees a whole batch -----------------------------------------------------------------------------------------


def test_minibatch_std_by_numpy_and_by_hand():
    h = torch.randn(6, 3, 4, 5)
    made = gt.MinibatchStd()(h)
    assert made.shape == (6, 4, 4, 5) and torch.equal(made[:, :3], h)
    torch.testing.assert_close(made[:, 3], torch.full((6, 4, 5), float(h.numpy().std(axis=0).mean())))
    points = gt.MinibatchStd()(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))  # deviations 1 and 0
    torch.testing.assert_close(points[:, 2], torch.tensor([0.5, 0.5]), atol=1e-4, rtol=0)


def test_minibatch_std_of_equal_samples_is_nothing_and_has_a_gradient():
    h = torch.ones(4, 3, requires_grad=True)
    made = gt.MinibatchStd()(h)[:, 3]
    assert made.max() < 1.1e-4  # the root of 1e-8
    made.sum().backward()
    assert h.grad.isfinite().all()


def test_a_critic_with_minibatch_std_sees_the_company_and_others_do_not():
    torch.manual_seed(0)
    x = torch.randn(6, 2)
    alike = torch.cat([x[:1], x[:1].expand(5, 2)])
    for depth in (1, 2, 3):
        C = gt.MLPCritic((2,), 16, depth, minibatch_std=True)
        assert count(C) == count(gt.MLPCritic((2,), 16, depth)) + 16  # one more input of the last hidden layer
        assert isinstance(C.layers[-3], gt.MinibatchStd)
        assert (C(x)[0] - C(alike)[0]).abs() > 1e-3
    plain = gt.MLPCritic((2,), 16)
    torch.testing.assert_close(plain(x)[0], plain(alike)[0])


@pytest.mark.parametrize("h", [torch.ones(4), torch.ones(4, 2, dtype=torch.int64)])
def test_what_has_no_features_has_no_spread(h):
    with pytest.raises(ValueError, match="Expected floating-point features"):
        gt.MinibatchStd()(h)


def test_a_packed_critic_judges_neighbours_together():
    """For a linear critic, by hand: pack k holds the samples mk … mk + m - 1, each as channels of its own."""

    class Linear(nn.Module):
        def forward(self, packs):
            return packs.flatten(1) @ torch.arange(1.0, packs[0].numel() + 1)

    x = torch.randn(6, 2)
    torch.testing.assert_close(
        gt.Packed(Linear(), 3)(x),
        torch.stack([x[k : k + 3].flatten() @ torch.arange(1.0, 7) for k in (0, 0, 0, 3, 3, 3)]),
    )
    images = torch.randn(4, 3, 5, 5)
    seen = []
    gt.Packed(Seen(seen), 2)(images)
    assert seen[0].shape == (2, 6, 5, 5)
    assert torch.equal(seen[0][1, 3:], images[3]) and torch.equal(seen[0][0, :3], images[0])


class Seen(nn.Module):
    """A critic that keeps what it was shown."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, packs):
        self.seen.append(packs)
        return packs.flatten(1).sum(1)


def test_a_mean_over_samples_is_the_mean_over_packs_and_packs_of_one_change_nothing():
    critic, x = gt.MLPCritic((4,), 8), torch.randn(8, 2)
    losses = [F.softplus(scores).mean() for scores in (gt.Packed(critic, 2)(x), critic(x.view(4, 4)))]
    torch.testing.assert_close(*losses)
    alone = gt.MLPCritic((2,), 8)
    torch.testing.assert_close(gt.Packed(alone, 1)(x), alone(x))


@pytest.mark.parametrize("penalty", [gt.r1, gt.r2])
def test_r1_and_r2_weigh_as_many_times_as_a_pack_has_samples(penalty):
    critic, x, eps = gt.MLPCritic((6,), 8), torch.randn(9, 2), torch.rand(9)
    packs = x.view(3, 6)
    torch.testing.assert_close(
        penalty(gt.Packed(critic, 3), x, x, eps), 3 * penalty(critic, packs, packs, eps[:3]), rtol=1e-4, atol=1e-6
    )


def test_packs_play_in_a_game():
    G, C = gt.MLPGenerator(2, (2,), 8), gt.Packed(gt.MLPCritic((4,), 8), 2)
    players = gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3))
    log = gt.fit(players, gt.Feed(gt.data.ring(100), 2, 16), 3)
    assert log["critic"]["game"].isfinite().all()


def test_packs_that_cannot_be_made_are_refused():
    critic = gt.MLPCritic((4,), 8)
    with pytest.raises(ValueError, match="a batch that 2 divides"):
        gt.Packed(critic, 2)(torch.randn(5, 2))
    with pytest.raises(ValueError, match="takes no condition"):
        gt.Packed(critic, 2)(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \(batch, 4\)"):
        gt.Packed(critic, 3)(torch.randn(6, 2))
    for m in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="whole number of samples in a pack"):
            gt.Packed(critic, m)
