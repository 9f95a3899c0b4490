"""Synthetic digits: geometry against closed forms, factors against what is measured in the pictures, and the cache."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gan_tutorial.synthetic import (
    FACES,
    FACTORS,
    KNOTS,
    draw,
    draw_digits,
    glyphs,
    outline,
    pictures,
    signed_distance,
    thin,
)

SANS = list(FACES).index("DejaVu Sans") * 10  # the glyph of its zero


def picture(glyph: int, **factors) -> torch.Tensor:
    """One picture, (28, 28) in [0, 1], of a digit in the middle unless told otherwise."""
    plain = {
        "thickness": 2.5,
        "contrast": 0.5,
        "slant": 0.0,
        "rotation": 0.0,
        "size": 18.0,
        "width": 1.0,
        "x": 0.0,
        "y": 0.0,
        "wobble": 0.0,
    }
    settings = {name: torch.tensor([float(value)]) for name, value in (plain | factors).items()}
    return pictures(glyph, settings, torch.zeros(1, 2, KNOTS, KNOTS))[0, 0] / 255


def moments(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centre of the ink, x to the right and y down from the middle of the picture, and its covariance."""
    axis = torch.arange(28) - 13.5
    place = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)
    ink = image.reshape(-1, 1) / image.sum()
    centre = (ink * place).sum(0)
    return centre, (ink * (place - centre)).T @ (place - centre)


# ---------------------------------------------------------------------------------------------------------- geometry


def polygon(*corners) -> torch.Tensor:
    a = torch.tensor(corners, dtype=torch.float32)
    return torch.stack([a, a.roll(-1, 0)], 1)


SQUARE = polygon((-1, -1), (1, -1), (1, 1), (-1, 1))


def random_points(n=3000):
    x, y = 4 * torch.rand(2, n, 1, generator=torch.Generator().manual_seed(0)) - 2
    return x, y


def test_the_distance_to_a_square_is_its_closed_form():
    x, y = random_points()
    qx, qy = x[:, 0].abs() - 1, y[:, 0].abs() - 1
    outside = torch.hypot(qx.clamp(min=0), qy.clamp(min=0))
    expected = torch.where((qx < 0) & (qy < 0), -torch.maximum(qx, qy), -outside)
    torch.testing.assert_close(signed_distance(SQUARE, x, y), expected, atol=1e-5, rtol=0)
    the_other_way_round = SQUARE.flip(1)
    torch.testing.assert_close(signed_distance(the_other_way_round, x, y), expected, atol=1e-5, rtol=0)


def test_a_hole_is_outside_and_an_overlap_inside():
    at = torch.tensor([[0.0], [0.75]]), torch.tensor([[0.0], [0.1]])
    hole = torch.cat([SQUARE, 0.5 * SQUARE.flip(1)])
    torch.testing.assert_close(signed_distance(hole, *at), torch.tensor([-0.5, 0.25]))
    overlap = torch.cat([SQUARE, 0.5 * SQUARE])
    assert (signed_distance(overlap, *at) > 0).all()


def test_points_level_with_a_corner_are_not_counted_twice():
    diamond = polygon((-1, 0), (0, -1), (1, 0), (0, 1))
    x = torch.tensor([[-2.0], [-0.5], [0.5], [2.0]])
    assert (signed_distance(diamond, x, torch.zeros(4, 1)) > 0).tolist() == [False, True, True, False]


def euler(ink: torch.Tensor) -> torch.Tensor:
    """Connected parts less holes, where cells that touch by a corner are connected: from 2 × 2 windows (Gray, 1971)."""
    windows = F.unfold(F.pad(ink.float()[:, None], (1, 1, 1, 1)), 2)  # (n, 4, …)
    total = windows.sum(1)
    diagonal = (total == 2) & (windows[:, 0] == windows[:, 3])
    return ((total == 1).sum(1) - (total == 3).sum(1) - 2 * diagonal.sum(1)) / 4


def test_thinning_keeps_parts_and_holes_and_leaves_lines():
    ink = glyphs()[0][:, 0] > 0
    skeleton = thin(ink)
    assert (skeleton <= ink).all() and torch.equal(thin(skeleton), skeleton)
    assert torch.equal(euler(skeleton), euler(ink))
    assert skeleton.sum((1, 2)).float().mean() < 0.15 * ink.sum((1, 2)).float().mean()
    assert euler(ink).view(-1, 10)[:, [0, 1, 7, 8]].tolist() == [[0.0, 1.0, 1.0, -1.0]] * len(FACES)


def test_thinning_a_bar_leaves_its_middle():
    ink = torch.zeros(1, 11, 40, dtype=torch.bool)
    ink[0, 3:8, 3:37] = True
    rows = thin(ink)[0].nonzero()[:, 0]
    assert set(rows[6:-6].tolist()) == {5}


def test_every_face_has_ten_glyphs_of_its_own():
    fields, numbers = glyphs()
    assert len(fields) == 10 * len(FACES) and torch.isfinite(fields).all() and torch.isfinite(numbers).all()
    d = fields[:, 0].view(len(FACES), 10, -1)
    digits = torch.cdist(d, d) + 9 * torch.eye(10)
    assert digits.min() > 1  # no digit stands for another
    faces = torch.cdist(d.flatten(1), d.flatten(1)) + 99 * torch.eye(len(FACES))
    assert faces.min() > 3  # no typeface is another by a second name
    for file, zero, _ in FACES.values():
        height = np.ptp(outline(file, zero)[..., 1].numpy())
        assert height == pytest.approx(1, abs=1e-5)


# ----------------------------------------------------------------------------------------------------------- factors


@pytest.mark.parametrize("digit", range(10))
def test_the_ink_is_where_its_factors_say(digit):
    for x, y in ((0, 0), (1.0, -0.5)):
        centre, _ = moments(picture(SANS + digit, x=x, y=y))
        torch.testing.assert_close(centre, torch.tensor([float(x), float(y)]), atol=0.4, rtol=0)


@pytest.mark.parametrize("thickness", [1.6, 4.0])
@pytest.mark.parametrize("size", [16.0, 20.0])
def test_height_and_thickness_are_in_pixels(size, thickness):
    one = picture(SANS + 1, size=size, thickness=thickness)  # a stem on a foot
    assert one.sum(0).max().item() == pytest.approx(size, abs=0.7)  # the column through the stem
    assert one[14].sum().item() == pytest.approx(thickness, abs=0.5)  # a row through the stem
    zero = picture(SANS, size=size, thickness=thickness)
    assert zero[:, 13:15].sum().item() / 2 == pytest.approx(2 * thickness, abs=1.0)


def test_a_pen_has_one_width_and_a_typeface_thick_and_thin():
    zero = list(FACES).index("STIX Bold") * 10
    for contrast, alike in ((0.0, True), (1.0, False)):
        image = picture(zero, contrast=contrast, thickness=3.0)
        sides, top = image[13:15].sum() / 4, image[:8, 13:15].sum() / 2
        assert (abs(sides / top - 1) < 0.25) == alike


def test_slant_and_width_act_on_the_second_moments_as_a_linear_map_does():
    _, plain = moments(picture(SANS + 5, size=16))
    for slant, width in ((0.3, 1.0), (0.0, 1.2), (-0.1, 0.9)):
        _, seen = moments(picture(SANS + 5, size=16, slant=slant, width=width))
        linear = torch.tensor([[width, -slant], [0.0, 1.0]])  # y points down here
        torch.testing.assert_close(seen, linear @ plain @ linear.T, atol=0.6, rtol=0.05)


def test_italics_stand_upright_at_slant_zero():
    # The stem of an upright one: its ink hardly drifts sideways from the upper to the lower half.
    for name in ("STIX Italic", "STIX Bold Italic"):
        one = picture(list(FACES).index(name) * 10 + 1, contrast=0.0)
        axis = torch.arange(28.0)
        upper, lower = ((one[rows] @ axis).sum() / one[rows].sum() for rows in (slice(11, 14), slice(17, 20)))
        assert abs(upper - lower) < 0.6


def test_a_quarter_turn_turns_the_picture():
    plain = picture(SANS + 3)
    for quarter in (1, 2, 3):
        turned = picture(SANS + 3, rotation=quarter * math.pi / 2)
        torch.testing.assert_close(turned, torch.rot90(plain, quarter), atol=0.03, rtol=0)


def test_a_constant_push_is_a_shift():
    push = torch.ones(1, 2, KNOTS, KNOTS) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
    f = {
        name: torch.tensor([value])
        for name, value in dict(
            thickness=2.5, contrast=0.5, slant=0.0, rotation=0.0, size=18.0, width=1.0, x=0.0, y=0.0, wobble=2.0
        ).items()
    }
    shifted = pictures(SANS + 3, f, push)[0, 0] / 255
    torch.testing.assert_close(shifted, picture(SANS + 3, x=2.0, y=2.0), atol=0.02, rtol=0)


# ------------------------------------------------------------------------------------------------- drawing, the cache


def same(a, b) -> bool:
    return (
        torch.equal(a[0], b[0])
        and torch.equal(a[1], b[1])
        and a[2].keys() == b[2].keys()
        and all(torch.equal(a[2][name], b[2][name]) for name in a[2])
    )


def test_what_is_drawn_is_in_range_and_filled():
    images, label, factors = draw(3000)
    assert images.shape == (3000, 1, 28, 28) and images.dtype == torch.uint8 and label.dtype == torch.int64
    assert label.bincount(minlength=10).min() > 230  # 300 each, within 4.2 standard deviations
    assert set(factors) == {"typeface", *FACTORS} and factors["typeface"].unique().tolist() == list(range(len(FACES)))
    for name, (low, high) in FACTORS.items():
        assert low <= factors[name].min() and factors[name].max() <= high
        assert factors[name].mean().item() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    ink = images.flatten(1).float().mean(1) / 255
    assert ink.min() > 0.03 and ink.max() < 0.5 and (images.amax((1, 2, 3)) > 200).all()
    rim = torch.cat([images[:, 0, 0], images[:, 0, -1], images[:, 0, :, 0], images[:, 0, :, -1]], 1)
    assert (rim > 127).any(1).float().mean() < 0.03  # hardly a digit is cut off


def test_a_seed_decides_and_threads_and_the_number_do_not():
    few = draw(50)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        many = draw(80)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert same(few, (many[0][:50], many[1][:50], {name: value[:50] for name, value in many[2].items()}))
    assert not torch.equal(few[0], draw(50, seed=1)[0])


def test_training_and_test_digits_do_not_overlap():
    both = torch.cat([draw(2000, split=split)[0].flatten(1) for split in ("train", "test")])
    assert len(both.unique(dim=0)) == 4000


class Counted:
    """Draws digits anew, and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *arguments):
        self.calls += 1
        return draw_digits(*arguments)


def test_the_cache_gives_back_what_was_drawn(tmp_path):
    counted = Counted()
    fresh = draw(20, cache=tmp_path / "new", draw_now=counted)
    assert same(fresh, draw(20, cache=tmp_path / "new", draw_now=counted)) and counted.calls == 1
    assert same(fresh, draw(20, draw_now=counted)) and counted.calls == 2
    draw(20, seed=1, cache=tmp_path / "new", draw_now=counted)
    draw(20, split="test", cache=tmp_path / "new", draw_now=counted)
    assert counted.calls == 4 and len(list((tmp_path / "new").iterdir())) == 3


def test_a_damaged_drawing_is_drawn_again_and_that_is_said(tmp_path, capsys):
    counted = Counted()
    fresh = draw(20, cache=tmp_path, draw_now=counted)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 3
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for damaged in (b"", b"PK", whole[:middle], whole[:-30], flipped, b"\x80\x04K\x01."):
        file.write_bytes(damaged)
        assert same(fresh, draw(20, cache=tmp_path, draw_now=counted)) and file.read_bytes() == whole
        assert f"{file.name} in the cache is damaged" in capsys.readouterr().out
    for other in ({"images": fresh[0][:10]}, {"images": fresh[0], "label": fresh[1]}):
        with file.open("wb") as out:
            np.savez(out, **other)
        assert same(fresh, draw(20, cache=tmp_path, draw_now=counted))
        assert "holds something else" in capsys.readouterr().out
    assert counted.calls == 9 and list(tmp_path.iterdir()) == [file]


def test_an_earlier_version_leaves_nothing_behind_and_others_are_left_alone(tmp_path):
    for name in ("synthetic-train-0-20-0123456789ab.npz", "synthetic-train-0-30-0123456789ab.npz"):
        (tmp_path / name).write_bytes(b"old")
    draw(20, cache=tmp_path)
    names = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())
    assert names == ["synthetic-train-0-20", "synthetic-train-0-30"]


def test_a_cache_that_cannot_be_written_to_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert same(draw(5, cache=tmp_path / "file"), draw(5))


def test_the_digits_are_those_of_every_other_machine():
    images, label, _ = draw(1000)
    assert label[:12].tolist() == [8, 2, 5, 2, 6, 3, 3, 7, 6, 8, 2, 6]
    assert images.float().mean().item() == pytest.approx(36.017, abs=0.01)  # rounding may move a grey level by one
