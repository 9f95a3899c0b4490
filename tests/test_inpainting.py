"""Filling in: holes, known pixels, the energy score, and the recipe's way through a file."""

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial import checkpoint, inpainting
from gan_tutorial.inpainting import INPAINTING, condition, energy_score, holes
from gan_tutorial.training import Spec, Trainer

random = torch.Generator().manual_seed(0)
GREY = gt.Data("squares", (torch.rand(70, 1, 12, 16, generator=random) * 255).byte(), torch.arange(70) % 2)
SMALL = INPAINTING.configure(batch_size=16, latent_dim=3)


def test_a_hole_has_its_size_and_lies_anywhere_within_the_image():
    mask = holes(torch.rand(4000, 2, generator=random), (28, 28))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert (1 - mask).sum((1, 2, 3)).unique().tolist() == [256.0]
    corners = (1 - mask)[:, 0].flatten(1).argmax(1)
    assert {(corner // 28, corner % 28) for corner in corners.tolist()} == {
        (i, j) for i in range(13) for j in range(13)
    }
    ends = holes(torch.tensor([[0.0, 0.0], [0.999999, 0.999999]]), (28, 28))[:, 0]
    assert ends[0, :16, :16].sum() == 0 and ends[1, 12:, 12:].sum() == 0


@pytest.mark.parametrize(("u", "side"), [(torch.rand(3), 0.5), (torch.rand(3, 3), 0.5), (torch.rand(3, 2), 1.0)])
def test_a_hole_that_makes_no_sense_is_refused(u, side):
    with pytest.raises(ValueError, match="Expected"):
        holes(u, (8, 8), side)


def test_known_pixels_are_kept_to_the_bit_and_hidden_ones_are_not_seen():
    torch.manual_seed(0)
    net = inpainting.Filler(Spec((1, 12, 16), 0, 3)).eval()
    real, mask = GREY.take(slice(0, 5)), holes(torch.rand(5, 2, generator=random), (12, 16))
    z = torch.randn(5, 3, generator=random)
    made = net(z, condition(real, mask))
    assert torch.equal(made * mask, real * mask)
    other = torch.where(mask == 1, real, -real)  # other pixels in the hole
    assert torch.equal(made, net(z, condition(other, mask)))
    assert not torch.equal(made, net(-z, condition(real, mask)))


def test_the_energy_score_is_least_for_the_right_distribution():
    """On a line, against its exact values: half the mean distance of two draws for the right one."""

    def score(mean, width, n=200_000):
        draw = torch.randn(3, n, 1, generator=random)
        return energy_score(mean + width * draw[0], mean + width * draw[1], draw[2]).item()

    right = score(0.0, 1.0)
    assert right == pytest.approx(1 / torch.pi**0.5, abs=0.006)  # E|a - b| = 2/√π for standard normal a, b
    assert all(score(*wrong) > right + 0.02 for wrong in ((0.0, 0.3), (0.0, 2.0), (0.5, 1.0)))
    # Always the mean: E|x|, without a spread that would be subtracted.
    assert score(0.0, 0.0) == pytest.approx((2 / torch.pi) ** 0.5, abs=0.006)


def test_batches_are_a_function_of_seed_and_number():
    feeds = [inpainting.batches(SMALL, GREY, seed=4) for _ in range(2)]
    first = [next(feeds[0]) for _ in range(3)]
    feeds[1].batches_drawn = 2
    again = next(feeds[1])
    assert torch.equal(first[2].condition, again.condition) and torch.equal(first[2].z, again.z)
    assert not torch.equal(first[0].condition[:, 1:], first[1].condition[:, 1:])  # the hole moves


@pytest.mark.filterwarnings("ignore:The recipe")
def test_the_recipe_trains_is_saved_goes_on_is_loaded_and_fills(tmp_path):
    file = tmp_path / "filled.safetensors"
    whole, first = Trainer(SMALL, GREY, seed=3), Trainer(SMALL, GREY, seed=3)
    whole.run(steps=5)
    first.run(steps=2)
    checkpoint.save(first, file)
    second = checkpoint.resume(file, GREY, recipe=SMALL)
    second.run(steps=5)
    states = [checkpoint.state_of(trainer.networks).values() for trainer in (whole, second)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert torch.equal(whole.log["generator"]["energy"], second.log["generator"]["energy"])

    checkpoint.save(second, file)
    model = checkpoint.load(file, recipe=SMALL)
    real, mask = GREY.take(slice(0, 5)), holes(torch.rand(5, 2, generator=random), (12, 16))
    filled = [model.sample(5, condition(real, mask), seed=k) for k in (0, 0, 1)]
    assert torch.equal(filled[0], whole.model().sample(5, condition(real, mask)))
    assert torch.equal(filled[0], filled[1]) and not torch.equal(filled[0], filled[2])
    assert torch.equal(filled[2] * mask, real * mask)


def test_networks_refuse_what_they_cannot_halve_and_a_missing_condition():
    with pytest.raises(ValueError, match="not multiples of 4"):
        inpainting.Filler(Spec((1, 14, 14), 0, 3))
    for net in (inpainting.Filler(Spec((1, 12, 12), 0, 3)), inpainting.HoleCritic(Spec((1, 12, 12), 0, 3))):
        with pytest.raises(ValueError, match="needs a condition"):
            net(torch.zeros(2, 3))


REAL, MASK = GREY.take(slice(0, 5)), holes(torch.full((5, 2), 0.5), (12, 16))
TOLD = condition(REAL, MASK)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (REAL, r"of shape \(n, 2, 12, 16\) and floating point.*got torch.float32 of shape \(5, 1, 12, 16\)"),
        (TOLD[..., :12], r"of shape \(n, 2, 12, 16\)"),
        (TOLD.byte(), "got torch.uint8"),
        (torch.where(TOLD == TOLD[0, 0, 0, 0], torch.nan, TOLD), "NaN or infinite"),
        (condition((REAL + 1) * 127.5, MASK), r"in \[-1, 1\] as condition of inpainting"),
        (torch.cat([REAL, 2 * MASK - 1], 1), "mask of 1 where a pixel is known and 0 in the hole.*got values from -1"),
    ],
)
def test_a_model_fills_only_what_it_has_learned_to_fill(told, words):
    model = Trainer(SMALL, GREY).model()
    assert model.sample(5, TOLD).shape == (5, 1, 12, 16)
    with pytest.raises(ValueError, match=words):
        model.sample(5, told)


def test_a_filler_says_what_it_takes():
    net = inpainting.Filler(Spec((1, 12, 16), 0, 3)).eval()
    z = torch.zeros(5, 3)
    for told in (REAL, TOLD[..., :12], TOLD[:4], TOLD.byte(), TOLD[0]):
        with pytest.raises(ValueError, match=r"of shape \(5, 2, 12, 16\), one for each z.*inpainting.condition"):
            net(z, told)
