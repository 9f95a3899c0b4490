"""Differentiable augmentation: each part against a formula of its own, gradients, and what it is for."""

import pytest
import torch
from torch.nn.functional import pad

import gan_tutorial as gt
from gan_tutorial.augment import DiffAugment, brightness, contrast, cut_out, saturation, translate

ONLY = {
    "colour": DiffAugment(True, 0, 0),
    "translation": DiffAugment(False, 0.25, 0),
    "cutout": DiffAugment(False, 0, 0.5),
    "all": DiffAugment(),
}
each = pytest.mark.parametrize("augment", ONLY.values(), ids=ONLY)


def some_images(n=6, channels=3, size=(8, 12)):
    return 2 * torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(0)) - 1


def test_how_many_numbers_an_image_needs():
    assert [augment.uniforms for augment in ONLY.values()] == [3, 2, 2, 7]


@each
def test_a_value_that_can_be_compared_and_is_deterministic(augment):
    x, u = some_images(), torch.rand(6, augment.uniforms)
    assert torch.equal(augment(x, u), augment(x, u)) and augment(x, u).shape == x.shape
    assert DiffAugment(augment.colour, augment.translation, augment.cutout) == augment
    with pytest.raises(AttributeError):
        augment.colour = False


def test_at_one_half_colour_and_translation_change_nothing():
    x = some_images()
    torch.testing.assert_close(DiffAugment(cutout=0)(x, torch.full((6, 5), 0.5)), x)


@each
def test_each_image_is_altered_by_its_own_numbers(augment):
    x, u = some_images(), torch.rand(6, augment.uniforms)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(augment(x, u)[order], augment(x[order], u[order]))
    torch.testing.assert_close(augment(x, u)[2:3], augment(x[2:3], u[2:3]))


def test_colour_by_its_closed_forms():
    x, u = some_images(), torch.rand(6)
    torch.testing.assert_close(brightness(x, u) - x, (u - 0.5).view(6, 1, 1, 1).expand_as(x), atol=1e-6, rtol=0)
    grey = x.sum(1, keepdim=True) / 3
    torch.testing.assert_close(saturation(x, torch.zeros(6)), grey.expand_as(x))
    torch.testing.assert_close(saturation(x, torch.ones(6)), 2 * x - grey)
    # a pixel's mean over channels stays, and so does an image's mean, whose spread is multiplied
    torch.testing.assert_close(saturation(x, u).mean(1), x.mean(1))
    seen = contrast(x, u)
    torch.testing.assert_close(seen.mean((1, 2, 3)), x.mean((1, 2, 3)))
    torch.testing.assert_close(seen.std((1, 2, 3)), (u + 0.5) * x.std((1, 2, 3)))


def test_images_of_one_channel_have_no_saturation():
    x = some_images(channels=1)
    assert torch.equal(saturation(x, torch.rand(6)), x)


def moved(image, down, right):
    """By zero padding and slicing."""
    height, width = image.shape[1:]
    padded = pad(image, (width,) * 2 + (height,) * 2)
    return padded[:, height - down : 2 * height - down, width - right : 2 * width - right]


def test_a_translation_is_a_shift_with_zeros():
    """8 rows and 12 columns at a quarter: by -2 … 2 down and by -3 … 3 to the right, each as likely."""
    x = some_images(35)
    down, right = torch.arange(35) // 7 - 2, torch.arange(35) % 7 - 3
    seen = translate(x, (down + 2.5) / 5, (right + 3.5) / 7, 0.25)
    for image, result, dy, dx in zip(x, seen, down.tolist(), right.tolist(), strict=True):
        assert torch.equal(result, moved(image, dy, dx))


def test_translations_are_equally_likely():
    n = 7000
    spot = torch.zeros(n, 1, 8, 12)
    spot[:, 0, 4, 6] = 1
    where = translate(spot, *torch.rand(2, n, generator=torch.Generator().manual_seed(0)), 0.25).flatten(1).argmax(1)
    rows, columns = (where // 12).bincount(minlength=8), (where % 12).bincount(minlength=12)
    for counts, share in ((rows[2:7], n / 5), (columns[3:10], n / 7)):
        assert ((counts - share).abs() < 5 * share**0.5).all() and counts.sum() == n


def test_a_rectangle_is_cut_out_around_any_pixel():
    """Half of 8 rows and of 12 columns, from two above its middle and three left of it on, where there are any."""
    x = torch.ones(96, 2, 8, 12)
    row, column = torch.arange(96) // 12, torch.arange(96) % 12
    seen = cut_out(x, (row + 0.5) / 8, (column + 0.5) / 12, 0.5)
    for result, r, c in zip(seen, row.tolist(), column.tolist(), strict=True):
        expected = torch.ones(2, 8, 12)
        expected[:, max(r - 2, 0) : r + 2, max(c - 3, 0) : c + 3] = 0
        assert torch.equal(result, expected)


def test_images_in_half_precision_go_to_the_same_places():
    """bfloat16 has 8 bits: 1 - 2^-24 is 1 in it, and a place among 300 another."""
    u = torch.tensor([0.123, 0.456, 0.789, 1 - 2**-24])
    x = torch.ones(4, 1, 300, 300)
    for place in (translate, cut_out):
        half = place(x.bfloat16(), u, u.flip(0), 0.25)
        assert half.dtype == torch.bfloat16 and torch.equal(half.float(), place(x, u, u.flip(0), 0.25))
    assert DiffAugment()(x.bfloat16(), torch.rand(4, 7)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["translation", "cutout"])
def test_geometry_keeps_the_range(name):
    augment = ONLY[name]
    seen = augment(some_images(), torch.rand(6, 2))
    assert seen.abs().max() <= 1 and (seen == 0).any()


@each
def test_gradients_pass_through(augment):
    """By finite differences, to the second order: a gradient penalty differentiates twice."""
    x, u = some_images(2, size=(4, 6)).double().requires_grad_(), torch.rand(2, augment.uniforms).double()
    weight = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: augment(x, u), x)
    assert torch.autograd.gradgradcheck(lambda x: (augment(x, u) ** 2 * weight).sum(), x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DiffAugment()(torch.zeros(4, 3, 8), torch.zeros(4, 7)), "without augmentation"),
        (lambda: DiffAugment()(torch.zeros(4, 3, 8, 8), torch.zeros(4, 6)), r"7 uniform numbers .* \(4, 6\)"),
        (lambda: DiffAugment()(torch.zeros(4, 3, 8, 8), torch.zeros(1, 7)), "each of 4 images"),  # it would broadcast
        (lambda: DiffAugment(translation=1.0), "translation=1.0"),
        (lambda: DiffAugment(cutout=-0.1), "cutout=-0.1"),
        (lambda: DiffAugment(False, 0, 0), "augment=None"),
        (lambda: DiffAugment(False, 0.01, 0)(torch.zeros(4, 1, 28, 28), torch.zeros(4, 2)), "translation=0.01 .* 28"),
        (lambda: DiffAugment(True, 0, 0.01)(torch.zeros(4, 1, 28, 28), torch.zeros(4, 5)), "cutout=0.01 .* one pixel"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_real_and_fake_images_are_altered_by_different_numbers_before_the_critic_only():
    seen = []

    class Critic(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, condition=None):
            seen.append(x.detach())
            return self.gain * x.mean((1, 2, 3))

    data = gt.Data("grey", torch.full((20, 3, 8, 8), 127, dtype=torch.uint8))
    augment, generator = DiffAugment(), gt.ConvGenerator(3, 8, 3, width=2, norm=None)
    players = gt.adversaries(generator, Critic(), gt.nonsaturating, gt.adam(1e-3), augment=augment)
    feed = gt.Feed(data, 3, 4, uniforms=2 * augment.uniforms)
    batch = next(feed)
    feed.batches_drawn = 0
    with torch.no_grad():
        fake = generator(batch.z)
    gt.fit(players, feed, steps=1)
    real_u, fake_u = batch.u.split(7, 1)
    torch.testing.assert_close(seen[0], augment(batch.real, real_u))
    torch.testing.assert_close(seen[1], augment(fake, fake_u))
    assert not torch.equal(real_u, fake_u) and len(seen) == 3


def test_a_recipe_with_augmentation_trains():
    from dataclasses import replace

    data = gt.Data("few", torch.randint(256, (40, 3, 16, 16), dtype=torch.uint8))
    recipe = replace(gt.recipes.DCGAN, augment=DiffAugment(), flip=True, batch_size=8)
    assert recipe.train(data, steps=2).sample(3).shape == (3, 3, 16, 16)
