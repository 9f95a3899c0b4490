"""Flowers: petals, edges and colours against closed forms, factors against what is measured in the pictures."""

import colorsys
import math

import pytest
import torch

import gan_tutorial as gt
from gan_tutorial.flowers import FACTORS, KINDS, draw, hsv, paint, pictures, ring, shadow


def polar(size=400):
    """The points of a fine grid on [-1.2, 1.2]² in polar coordinates, and the area of a cell."""
    axis = ((torch.arange(size) + 0.5) / size * 2 - 1) * 1.2
    x, y = axis[None, :], axis[:, None]
    return torch.hypot(x, y), torch.atan2(y, x), (2.4 / size) ** 2


# -------------------------------------------------------------------------------------------------------- primitives


def test_a_ring_that_is_all_inner_part_is_a_disc_with_its_exact_distance():
    radius, angle, _ = polar()
    distance, along, _ = ring(radius, angle, 5, length=0.9, p=0.4, q=2.0, inner=1.0)
    torch.testing.assert_close(distance, 0.9 - radius)
    torch.testing.assert_close(along, radius / 0.9)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_area_of_straight_petals_is_its_integral(count):
    """R = L (1 - s), s uniform in [0, 1] over the angle: ∫ R²/2 dθ = π L² / 3, however many petals there are."""
    radius, angle, cell = polar()
    inside = ring(radius, angle, count, length=1.1, p=1.0, q=1.0)[0] > 0
    assert (inside.sum() * cell).item() == pytest.approx(math.pi * 1.1**2 / 3, rel=0.01)


def test_the_area_of_round_petals_is_its_integral_and_a_notch_takes_some_away():
    """R = L √(1 - s²): the mean of R² is L² · 2/3."""
    radius, angle, cell = polar()
    area = lambda notch: (ring(radius, angle, 6, 1.0, p=0.5, q=2.0, notch=notch)[0] > 0).sum() * cell  # noqa: E731
    assert area(0.0).item() == pytest.approx(2 * math.pi / 3, rel=0.01)
    assert area(0.2) < 0.95 * area(0.0)


@pytest.mark.parametrize("count", [3, 5])
def test_petals_repeat_around_the_centre(count):
    radius, angle, _ = polar(100)
    one, two = (ring(radius, angle + turn, count, 1.0, 0.45, 2.2, 0.3) for turn in (0, 2 * math.pi / count))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    half = ring(radius, angle + math.pi / count, count, 1.0, 0.45, 2.2, 0.3)[0]
    assert ((half > 0) != (one[0] > 0)).float().mean() > 0.01


def test_near_the_rim_the_distance_is_that_to_the_curve():
    """By brute force over 4,000 points of the curve, away from the clefts between petals."""
    count, form = 4, dict(length=1.0, p=0.9, q=2.0, inner=0.5)
    theta = torch.arange(4_000, dtype=torch.float64) / 4_000 * 2 * math.pi
    turns = theta * count / (2 * math.pi)
    s = 2 * (turns - turns.round()).abs()
    curve = torch.polar(0.5 + 0.5 * (1 - s**2) ** 0.9, theta)
    radius, angle, _ = polar(60)
    found, _, s = ring(radius.double(), angle.double(), count, **form)
    true = (torch.polar(radius.double(), angle.double()).view(-1, 1) - curve).abs().amin(1).view_as(found)
    near = (true < 0.05) & (s < 0.8)
    assert near.sum() > 100
    torch.testing.assert_close(found[near].abs(), true[near], atol=0.006, rtol=0)


def test_paint_covers_what_is_inside_and_half_of_what_the_rim_cuts():
    pixels = torch.tensor([-2.0, -0.5, -0.25, 0.0, 0.5, 3.0]).view(1, 1, 6)
    seen = paint(torch.zeros(1, 3, 1, 6), pixels, torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0.0, 0.0, 0.25, 0.5, 1.0, 1.0]))


def test_a_shadow_is_darkest_at_the_rim_and_ends():
    seen = shadow(torch.ones(1, 3, 1, 4), torch.tensor([[[0.1, 0.0, -0.08, -0.2]]]), depth=0.4)
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0.6, 0.6, 0.9, 1.0]))


def test_hue_saturation_and_brightness_are_the_standard_librarys():
    hue, saturation, value = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    for shift in (0, -1):  # hues go round
        seen = hsv(hue + shift, saturation, value)
        expected = [colorsys.hsv_to_rgb(*row) for row in torch.stack([hue, saturation, value], 1).tolist()]
        torch.testing.assert_close(seen, torch.tensor(expected), atol=1e-5, rtol=0)


# ----------------------------------------------------------------------------------------------------------- factors


def picture(kind="daisy", **factors):
    """One picture, (3, 64, 64) in [0, 1], of a flower in the middle unless told otherwise."""
    plain = dict(petals=0.5, shade=0.5, size=0.6, rotation=0.0, tilt=0.0, x=0.0, y=0.0, light=0.0)
    return pictures(KINDS[kind], {k: torch.tensor([float(v)]) for k, v in (plain | factors).items()})[0].float() / 255


def white(image):
    """Where petals of a daisy are, and their spread: moments about the middle, in pixels, x to the right, y down."""
    seen = (image.amin(0) > 0.5).float()
    axis = torch.arange(64) - 31.5
    across, down = (seen * axis).sum() / seen.sum(), (seen * axis[:, None]).sum() / seen.sum()
    spread = [
        (seen * (place - mean) ** 2).sum() / seen.sum() for place, mean in ((axis, across), (axis[:, None], down))
    ]
    return seen.sum(), across, down, spread[0], spread[1]


def test_the_flower_is_where_its_factors_say():
    (area, across, down, *_), (_, x, y, *_) = white(picture(x=0.125, y=-0.0625)), white(picture())
    assert area > 300
    assert (across - x).item() == pytest.approx(4, abs=0.2) and (down - y).item() == pytest.approx(2, abs=0.2)
    # the background changes from top to bottom only: a move to the right is a shift of all columns
    torch.testing.assert_close(picture(x=0.125)[:, :, 4:], picture()[:, :, :-4], atol=0.005, rtol=0)


def test_the_area_goes_with_the_square_of_the_size():
    small, large = white(picture(size=0.4))[0], white(picture(size=0.8))[0]
    assert (large / small).item() == pytest.approx(4, rel=0.1)


def test_a_tilted_flower_is_flatter_and_as_wide():
    _, _, _, wide, high = white(picture(size=0.8, tilt=0.4))
    _, _, _, round_, _ = white(picture(size=0.8))
    assert (wide / round_).item() == pytest.approx(1, rel=0.07)
    assert (high / wide).item() == pytest.approx(0.6**2, rel=0.1)


def test_rotation_by_a_petal_changes_the_leaves_alone():
    """Three leaves and fifteen petals: a third of a turn changes neither, a fifteenth only what is behind."""
    inner = lambda image: image[:, 24:40, 24:40]  # noqa: E731
    turn = 2 * math.pi / 15
    plain, petal = (picture(petals=0.999, rotation=angle) for angle in (0.0, turn))
    torch.testing.assert_close(inner(plain)[:, 6:10, 6:10].mean(), inner(petal)[:, 6:10, 6:10].mean(), atol=0.1, rtol=0)
    assert (white(plain)[0] / white(petal)[0]).item() == pytest.approx(1, rel=0.05)
    assert (plain - petal).abs().max() > 0.1


def test_light_and_shade_change_the_background_and_the_petals():
    dark, light = picture(light=0.0), picture(light=1.0)
    corner = lambda image: image[:, :4, :4].mean()  # noqa: E731
    assert corner(light) > 2 * corner(dark)
    yellow, orange = (picture("sunflower", shade=shade)[:, 20, 14:50].amax(1) for shade in (1.0, 0.0))
    assert yellow[1] > orange[1] + 0.1  # more green light


# ------------------------------------------------------------------------------------------------- drawing, the cache


def same(a, b):
    return (
        torch.equal(a[0], b[0])
        and torch.equal(a[1], b[1])
        and a[2].keys() == b[2].keys()
        and all(torch.equal(a[2][name], b[2][name]) for name in a[2])
    )


def test_what_is_drawn_is_in_range_and_balanced():
    images, label, factors = draw(600, size=16)
    assert images.shape == (600, 3, 16, 16) and images.dtype == torch.uint8 and label.dtype == torch.int64
    assert label.bincount(minlength=6).min() > 62  # 100 each, within 4.2 standard deviations
    assert set(factors) == set(FACTORS)
    for name, (low, high) in FACTORS.items():
        assert low <= factors[name].min() and factors[name].max() <= high
        assert factors[name].mean().item() == pytest.approx((low + high) / 2, abs=0.06 * (high - low))


def test_a_seed_decides_and_threads_and_the_number_do_not():
    few, threads, state = draw(40, size=16), torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        many = draw(70, size=16)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert same(few, (many[0][:40], many[1][:40], {name: value[:40] for name, value in many[2].items()}))
    assert not torch.equal(few[0], draw(40, seed=1, size=16)[0]) and torch.equal(state, torch.get_rng_state())


def test_training_and_test_flowers_do_not_overlap():
    both = torch.cat([draw(300, split=split, size=16)[0].flatten(1) for split in ("train", "test")])
    assert len(both.unique(dim=0)) == 600


def test_sizes_show_the_same_flowers():
    large, small = (draw(20, size=size)[0].float() for size in (64, 32))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (shrunk - small).abs().mean() < 5  # of 255


def test_the_cache_gives_back_what_was_drawn(tmp_path):
    fresh = draw(20, size=16, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert same(fresh, draw(20, size=16, cache=tmp_path))
    content = file.read_bytes()
    file.write_bytes(content[:-50])
    assert same(fresh, draw(20, size=16, cache=tmp_path)) and file.read_bytes() == content


def test_labels_belong_to_what_is_seen():
    """A linear classifier of 8 × 8 pixels, fitted to 500 flowers, knows 9 of 10 others."""
    data, other = gt.data.flowers(500, size=8), gt.data.flowers(300, size=8, split="test")
    design = lambda d: torch.cat([d.take(slice(None)).flatten(1), torch.ones(len(d), 1)], 1)  # noqa: E731
    x, y = design(data), torch.eye(6)[data.label]
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1]), x.T @ y)
    assert ((design(other) @ weights).argmax(1) == other.label).float().mean() > 0.9


def test_flowers_as_data(monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_TUTORIAL_CACHE", str(tmp_path))
    data = gt.data.flowers(30)
    assert data.shape == (3, 64, 64) and data.class_names == tuple(KINDS) and data.name == "flowers"
    assert not list(tmp_path.iterdir())  # a few are drawn sooner than read
    with pytest.raises(ValueError, match="'train' or 'test'"):
        gt.data.flowers(30, split="validation")
    for bad in ({"n": 0}, {"n": 5, "size": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            gt.data.flowers(**bad)
    with pytest.raises(ValueError, match="n is 2.5; it must be a whole number"):
        gt.data.flowers(2.5)


def test_the_flowers_are_those_of_every_other_machine():
    images, label, _ = draw(200, size=32)
    assert label[:12].tolist() == [0, 2, 5, 5, 5, 3, 4, 5, 1, 1, 3, 3]
    assert images.float().mean().item() == pytest.approx(90.559, abs=0.05)  # rounding may move a level by one
