import base64
import html.parser
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from gan_tutorial import data, plots
from gan_tutorial.film import PAGE, Reel


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


# ------------------------------------------------------------------------------------------------------- colours


def linear(colour):
    """sRGB -> linear light (IEC 61966-2-1)."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(light):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        light, 0, 1
    )
    xyz /= [0.9505, 1, 1.089]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), 841 / 108 * xyz + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# What is left of linear light without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1).
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
PAIRS = [("real", "critic"), ("critic", "fake"), ("real", "fake")]
OTHERS = [("extra", "real"), ("extra", "critic"), ("extra", "neutral"), ("real", "theory")]


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("one, other", PAIRS + OTHERS)
def test_the_main_colours_differ_for_every_eye(one, other, kind):
    seen = [lab(np.array(BLINDNESS[kind]) @ linear(plots.COLOURS[role])) for role in (one, other)]
    assert np.linalg.norm(seen[0] - seen[1]) > 20  # 2.3 is just noticeable


@pytest.mark.parametrize("one, other", PAIRS)
def test_the_main_colours_differ_in_grey_and_in_dash(one, other):
    lightness = [lab(linear(plots.COLOURS[role]))[0] for role in (one, other)]
    assert abs(lightness[0] - lightness[1]) > 15
    assert plots.DASHES[one] != plots.DASHES[other]


@pytest.mark.parametrize("role", plots.COLOURS)
def test_colours_stand_out_from_white(role):
    luminance = linear(plots.COLOURS[role]) @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) >= 4.5  # of letters: a curve's name has its colour (WCAG 2.2, 1.4.3)


# --------------------------------------------------------------------------------------------------------- grids


def test_bytes_are_the_inverse_of_the_scaling_of_data():
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert (plots.as_bytes(data.Data("greys", grey).take(slice(None))) == grey.numpy()).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_grid_is_where_it_belongs(channels):
    images, columns, (down, across) = noise(7, channels, 4, 5), 3, (2, 1)
    sheet = plots.tile(images, columns, (down, across))
    assert sheet.shape[:2] == (3 * 4 + 2 * down, 3 * 5 + 2 * across)
    expected = np.full((*sheet.shape[:2], channels), 255)
    for n in range(7):
        for c in range(channels):
            for y in range(4):
                for x in range(5):
                    value = round(float((images[n, c, y, x].double() + 1) * 127.5))
                    expected[n // 3 * (4 + down) + y, n % 3 * (5 + across) + x, c] = value
    assert (sheet.reshape(expected.shape) == expected).all()


@pytest.mark.parametrize("n, size", [(1, (4, 4)), (10, (4, 49)), (11, (14, 19)), (64, (39, 39))])
def test_without_columns_a_grid_is_a_row_and_then_a_square(n, size):
    assert plots.tile(torch.zeros(n, 1, 4, 4)).shape == size


def test_the_grid_that_is_drawn_is_the_tile():
    images = noise(6, 1, 8, 8)
    ax = plots.grid(images, columns=3, title="six")
    assert (ax.images[0].get_array() == plots.tile(images, 3)).all()
    assert ax.images[0].get_clim() == (0, 255)
    assert ax.get_title(loc="left") == "six"


def test_texts_stand_at_their_images_and_rows():
    ax = plots.grid(noise(6, 1, 10, 10), columns=3, labels="abcdef", rows=["upper", "lower"])
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    assert texts["a"] == (5, -0.5) and texts["f"] == (2 * 11 + 5, 14 - 0.5)  # a gap of four pixels below each image
    assert texts["upper"][1] == 5 and texts["lower"][1] == 14 + 5


def test_a_data_set_can_be_drawn():
    digits = data.Data("dots", torch.randint(256, (4, 1, 5, 5), dtype=torch.uint8))
    ax = plots.grid(digits, columns=2)
    assert (ax.images[0].get_array()[:5, :5] == digits.values[0, 0].numpy()).all()


@pytest.mark.parametrize(
    "images, words",
    [
        (torch.zeros(3, 28, 28), "shape"),
        (torch.zeros(3, 5, 28, 28), "1 to 4 channels"),
        (torch.zeros(3, 28, 28, 3), r"Channels seem to be last: x\.permute"),
        (torch.zeros(0, 1, 28, 28), "shape"),
        (torch.zeros(3, 1, 4, 4, dtype=torch.uint8), "data.take"),
        (torch.full((1, 1, 2, 2), 255.0), "tanh"),
        (torch.full((1, 1, 2, 2), float("nan")), "tanh"),
    ],
)
def test_a_grid_refuses_what_is_no_image(images, words):
    with pytest.raises(ValueError, match=words):
        plots.grid(images)


@pytest.mark.parametrize("wrong", [{"labels": "ab"}, {"rows": "ab"}, {"columns": 0}])
def test_a_grid_refuses_what_does_not_fit(wrong):
    with pytest.raises(ValueError):
        plots.grid(torch.zeros(3, 1, 4, 4), **wrong)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_on_white(channels):
    """Opaque pixels keep their colour, transparent ones are white, and between them it is linear."""
    images = noise(3, channels, 4, 5)
    levels = torch.linspace(-1, 1, 20).reshape(4, 5)
    images[:, -1] = levels
    sheet = plots.tile(images, 3, (1, 1)).reshape(4, 3 * 6 - 1, -1)
    assert sheet.shape[-1] == channels - 1
    for n in range(3):
        colour, alpha = (images[n, :-1].permute(1, 2, 0).double() + 1) * 127.5, ((levels + 1) / 2)[..., None].double()
        expected = alpha * colour + (1 - alpha) * 255
        assert np.abs(sheet[:, 6 * n : 6 * n + 5] - expected.numpy()).max() <= 1.01  # colour and alpha are bytes first
    same = plots.tile(torch.cat([images[:, :-1], torch.ones(3, 1, 4, 5)], 1), 3)
    assert (same == plots.tile(images[:, :-1], 3)).all()


def test_a_tall_grid_fits_on_a_page():
    ax = plots.grid(torch.zeros(60, 3, 40, 20), columns=2)
    assert ax.figure.get_size_inches()[1] <= 12.01 and ax.images[0].get_array().shape == (30 * 41 - 1, 41, 3)


# ---------------------------------------------------------------------------------------------- signals and tables


def test_signals_are_drawn_on_one_scale():
    x = noise(6, 2, 30)
    x[0] *= 10
    curves = [line for line in plots.signals(x, columns=3).get_lines() if "channel" in line.get_label()]
    assert len(curves) == 12
    seen = np.stack([curve.get_ydata() for curve in curves]).reshape(6, 2, 30)
    left = np.stack([curve.get_xdata()[0] for curve in curves]).reshape(6, 2)
    assert (left == np.array([0, 1, 2, 0, 1, 2])[:, None]).all()  # the first row, then the second
    rows = np.array([1, 1, 1, 0, 0, 0])[:, None, None]
    assert (seen >= rows).all() and (seen <= rows + 0.9).all()
    scale = np.polyfit(x.double().numpy().ravel(), (seen - rows).ravel(), 1)
    np.testing.assert_allclose(np.polyval(scale, x.double().numpy()), seen - rows, atol=1e-6)  # one line for all
    assert scale[0] > 0
    for wrong in (torch.zeros(3, 4), torch.zeros(0, 1, 4)):
        with pytest.raises(ValueError, match="n, channels, length"):
            plots.signals(wrong)
    with pytest.raises(ValueError, match="at least one column"):
        plots.signals(x, columns=0)


def test_columns_of_a_table_are_drawn_in_pairs():
    fake, real = noise(50, 3), 1000 * noise(80, 3, seed=1)
    axes = np.reshape(plots.table(fake, real, names="abc", title="three").axes, (3, 3))
    for row in range(3):
        for column in range(3):
            if row != column:
                behind, before = axes[row, column].collections
                np.testing.assert_allclose(behind.get_offsets(), real[:, [column, row]], rtol=1e-6)
                np.testing.assert_allclose(before.get_offsets(), fake[:, [column, row]], rtol=1e-6)
        assert len(axes[row, row].patches) == 2 and axes[row, row].get_xlim()[1] > real[:, row].max()
        assert axes[-1, row].get_xlabel() == "abc"[row]
    assert [axes[row, 0].get_ylabel() for row in (1, 2)] == ["b", "c"]


def test_of_a_wide_table_twelve_densities_are_drawn_and_said():
    figure = plots.table(noise(50, 20))
    drawn = [ax for ax in figure.axes if ax.patches]
    assert len(drawn) == 12 and figure.get_suptitle() == "the first 12 of 20 columns"
    height, edges, _ = drawn[11].patches[0].get_data()
    assert float((height * np.diff(edges)).sum()) == pytest.approx(1)
    assert len([ax for ax in plots.table(noise(50, 6)).axes if ax.axison]) == 6


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(), "rows"),
        (dict(fake=torch.zeros(5)), "rows"),
        (dict(fake=torch.zeros(5, 3), real=torch.zeros(5, 4)), "one d"),
        (dict(fake=torch.zeros(5, 3), names=["a"]), "one name for each of 3"),
    ],
)
def test_a_table_refuses_what_does_not_fit(wrong, words):
    with pytest.raises(ValueError, match=words):
        plots.table(**wrong)


def test_samples_are_drawn_by_their_shape():
    bare = {
        "images": plots.samples(noise(6, 4, 8, 5)).images,
        "signals": plots.samples(noise(6, 2, 30), title="s").get_lines(),
        "plane": plots.samples(noise(6, 2), real=noise(9, 2)).collections,
        "line": plots.samples(noise(6, 1), real=noise(9, 1)).patches,
        "numbers": plots.samples(noise(6)).patches,
        "table": plots.samples(noise(6, 5), real=noise(9, 5)).axes,
    }
    assert {name: len(found) for name, found in bare.items()} == {
        "images": 1,
        "signals": 18,
        "plane": 2,
        "line": 2,
        "numbers": 1,
        "table": 8,
    }
    ax = plots.samples(data.Data("dots", torch.zeros(100, 1, 4, 4, dtype=torch.uint8)))
    assert ax.images[0].get_array().shape == (8 * 5 - 1, 8 * 5 - 1)  # 64 of them
    ring = plots.samples(data.ring(50))
    assert ring.collections[0].get_facecolor()[0, :3] == pytest.approx(matplotlib.colors.to_rgb(plots.COLOURS["real"]))
    for wrong in (torch.zeros(()), torch.zeros(0, 3), torch.zeros(1, 2, 3, 4, 5)):
        with pytest.raises(ValueError, match="Expected images"):
            plots.samples(wrong)
    with pytest.raises(ValueError, match="leave ax out"):
        plots.samples(noise(6, 5), ax=plt.figure().subplots())


# -------------------------------------------------------------------------------------------------------- settings


def test_importing_the_package_changes_no_setting_of_matplotlib():
    code = """
import sys
import matplotlib
before = matplotlib.rcParams.copy()
import gan_tutorial
gan_tutorial.plots, gan_tutorial.hooks, gan_tutorial.film  # each is imported at its first use
assert {"gan_tutorial.plots", "gan_tutorial.hooks", "gan_tutorial.film"} <= {*sys.modules}
changed = [name for name in before if repr(before[name]) != repr(matplotlib.rcParams[name])]
assert not changed, changed
gan_tutorial.plots.style()
assert matplotlib.rcParams["image.cmap"] == "gray" != before["image.cmap"]
"""
    path = os.pathsep.join([str(Path(plots.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def pictures():
    """A function for each kind of picture."""
    x = torch.linspace(0, 1, 20)
    return {
        "grid": lambda: plots.grid(noise(6, 1, 8, 8), title="six", labels="abcdef"),
        "losses": lambda: plots.losses(log(), title="losses"),
        "points": lambda: plots.points(noise(50, 2), noise(50, 2, seed=1), title="points"),
        "density": lambda: plots.density(noise(50), noise(50, seed=1)),
        "curves": lambda: plots.curves(x, {"real": x, "fake": x.square()}, title="curves"),
        "field": lambda: plots.field(lambda p: -p),
        "path": lambda: plots.path(noise(9, 2)),
        "signals": lambda: plots.signals(noise(6, 2, 30), title="signals"),
        "table": lambda: plots.table(noise(50, 3), noise(50, 3), title="table"),
        "wide table": lambda: plots.table(noise(50, 7)),
    }


@pytest.mark.parametrize("name", pictures())
def test_a_picture_does_not_depend_on_the_settings_and_leaves_them(name):
    draw, found = pictures()[name], {}
    for kind, settings in {
        "own": {"font.size": 30, "xtick.labelsize": 20, "axes.spines.top": True, "figure.dpi": 30, "image.cmap": "jet"},
        "style": plots.STYLE,
    }.items():
        with plt.rc_context(settings):
            before = repr(plt.rcParams)
            ax = draw()
            assert repr(plt.rcParams) == before
            found[kind] = plots.picture(ax)  # a notebook draws by its own settings too
    assert (found["own"] == found["style"]).all()


# -------------------------------------------------------------------------------------------------------- curves


@pytest.mark.parametrize("window, half", [(1, 0), (5, 2), (4, 1), (1000, 20)])
def test_a_running_mean_is_the_mean_of_the_neighbours(window, half):
    values = noise(41).double().numpy()
    expected = [values[max(0, i - half) : i + half + 1].mean() for i in range(41)]
    np.testing.assert_allclose(plots.running_mean(values, window), expected, rtol=0, atol=1e-12)


def test_a_running_mean_loses_only_the_neighbours_of_nan():
    values = torch.ones(20)
    values[10] = float("nan")
    assert (np.isnan(plots.running_mean(values, 5)) == [8 <= i <= 12 for i in range(20)]).all()


def log(steps=60):
    return {
        "critic": {"game": noise(steps, seed=1), "penalty": noise(steps, seed=2).abs()},
        "generator": {"game": noise(steps, seed=3) + 2},
    }


def test_losses_show_each_term_smoothed_and_raw():
    ax = plots.losses(log(), smooth=7)
    lines = {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}
    assert set(lines) == {"critic: game", "critic: penalty", "generator"}
    for name, values in (("critic: penalty", log()["critic"]["penalty"]), ("generator", log()["generator"]["game"])):
        np.testing.assert_allclose(lines[name].get_ydata(), plots.running_mean(values, 7))
        assert any(np.array_equal(line.get_ydata(), values) for line in ax.get_lines())
    assert lines["critic: game"].get_color() == plots.COLOURS["critic"] != lines["generator"].get_color()
    assert {text.get_text() for text in ax.texts} == set(lines)


def test_losses_that_end_in_nan_are_drawn():
    values = torch.ones(50)
    values[40:] = float("inf")
    ax = drawn(plots.losses({"critic": {"game": values}}))
    assert np.isfinite(ax.get_ylim()).all()


@pytest.mark.parametrize(
    "empty", [{}, {"critic": {}}, {"critic": {"game": torch.zeros(0)}}, {"critic": {"game": torch.zeros(3, 2)}}]
)
def test_losses_refuse_an_empty_log(empty):
    with pytest.raises(ValueError, match="at least one step"):
        plots.losses(empty)


def test_labels_stand_apart_and_in_the_order_of_the_lines():
    x = torch.linspace(0, 1, 20)
    ax = drawn(plots.curves(x, {str(i): x * 0 + 0.001 * i for i in range(5)} | {"far": x * 0 + 1}))
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    ordered = [boxes[name] for name in ("0", "1", "2", "3", "4", "far")]
    assert all(below.y1 <= above.y0 + 1 for below, above in zip(ordered, ordered[1:], strict=False))
    assert all(box.x0 >= ax.bbox.x1 for box in ordered)


def test_a_second_set_of_curves_labels_all_once():
    x = torch.linspace(0, 1, 20)
    ax = plots.curves(x, {"real": x})
    plots.curves(x, {"critic": lambda x: 1 - x}, ax=ax)
    assert sorted(text.get_text() for text in ax.texts) == ["critic", "real"]
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata(), 1 - x)
    assert [line.get_color() for line in ax.get_lines()] == [plots.COLOURS["real"], plots.COLOURS["critic"]]


def test_curves_take_roles_and_refuse_unknown_ones():
    x = torch.linspace(0, 1, 5)
    ax = plots.curves(x, {"D*": x, "G": x}, roles={"D*": "theory"})
    assert ax.get_lines()[0].get_color() == plots.COLOURS["theory"] != ax.get_lines()[1].get_color()
    with pytest.raises(ValueError, match="no role"):
        plots.curves(x, {"D*": x}, roles={"D*": "judge"})
    with pytest.raises(ValueError, match="one value for each x"):
        plots.curves(x, {"D*": x[1:]})


def test_a_density_is_the_share_of_samples_per_length():
    real, fake = noise(1000), noise(500, 1, seed=1) * 3
    ax = plots.density(real, fake, bins=8, limits=(-2, 2))
    for patch, values in zip(ax.patches, (real, fake.squeeze()), strict=True):
        height, edges, _ = patch.get_data()
        inside = ((values >= -2) & (values <= 2)).float().mean()
        assert float((height * np.diff(edges)).sum()) == pytest.approx(float(inside))
        share = ((values >= edges[3]) & (values < edges[4])).float().mean()
        assert height[3] == pytest.approx(float(share) / 0.5)


# --------------------------------------------------------------------------------------------------------- plane


def test_points_are_drawn_where_they_are():
    real, fake = noise(100, 2), noise(50, 2, seed=1)
    ax = plots.points(real, fake, modes=real[:3])
    for collection, values in zip(ax.collections, (real[:3], real, fake), strict=True):
        np.testing.assert_allclose(collection.get_offsets(), values)
    assert ax.get_xlim() == ax.get_ylim() and ax.get_aspect() == 1
    assert ax.get_xlim()[0] < real.min() and ax.get_xlim()[1] > real.max()


def test_many_points_are_thinned_evenly():
    values = torch.arange(10_001.0).repeat(2, 1).T
    seen = np.asarray(plots.points(fake=values).collections[0].get_offsets())[:, 0]
    assert len(seen) == 2000 and seen[0] == 0 and seen[-1] == 10_000
    assert set(np.diff(seen)) <= {5, 6}


def test_points_of_a_data_set():
    ring = data.ring(100)
    ax = plots.points(ring, modes=ring.modes)
    np.testing.assert_allclose(ax.collections[1].get_offsets(), ring.values)


@pytest.mark.parametrize("wrong", [torch.zeros(5), torch.zeros(5, 3), torch.zeros(0, 2)])
def test_points_refuse_other_shapes(wrong):
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        plots.points(wrong)
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.points()


def test_stream_lines_follow_the_field():
    """A rotation leads around circles: every piece of every line keeps its distance from the centre."""
    ax = plots.field(lambda p: torch.stack([-p[:, 1], p[:, 0]], dim=1), limits=(-1, 1))
    lines = [np.linalg.norm(line, axis=1) for line in ax.collections[0].get_segments()]
    assert len(lines) > 20 and max(np.ptp(radius) for radius in lines) < 0.02
    with pytest.raises(ValueError, match="one velocity"):
        plots.field(lambda p: p[:3])


def test_a_path_marks_its_ends():
    walk = noise(9, 2)
    line, start, end = plots.path(walk, "critic").get_lines()
    np.testing.assert_allclose(line.get_xydata(), walk)
    np.testing.assert_allclose(start.get_xydata(), walk[:1])
    np.testing.assert_allclose(end.get_xydata(), walk[-1:])


def test_a_picture_is_what_the_figure_shows_and_closes_it():
    figure = plt.figure(figsize=(2, 1), dpi=50, layout="none")
    axes = figure.add_axes((0, 0, 0.5, 1), facecolor="red")
    axes.set(xticks=[], yticks=[])
    bytes_ = plots.picture(axes)
    assert bytes_.shape == (50, 100, 3)
    assert (bytes_[25, 25] == [255, 0, 0]).all() and (bytes_[25, 75] == 255).all()
    assert not plt.fignum_exists(figure.number)


def test_a_png_of_images_is_their_tile_and_of_others_their_picture():
    def read(shown):
        return np.asarray(Image.open(io.BytesIO(plots.png(shown))))

    images = noise(6, 3, 5, 4)
    assert (read(images) == plots.tile(images)).all()
    dots = data.Data("dots", torch.randint(256, (70, 1, 5, 5), dtype=torch.uint8))
    assert (read(dots) == plots.tile(dots.take(slice(0, 64)))).all()
    x = noise(20, 5)
    assert (read(x) == plots.picture(plots.table(x))).all() and (read(plots.table(x)) == read(x)).all()


def test_nothing_touches_random_numbers():
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    real, fake = noise(3000, 2), noise(300, 2, seed=1)
    for ax in (
        plots.grid(noise(4, 1, 8, 8)),
        plots.losses(log()),
        plots.points(real, fake),
        plots.path(fake),
        plots.density(real[:, 0], fake[:, 0]),
        plots.curves(real[:9, 0], {"real": real[:9, 1]}),
        plots.field(lambda p: p),
    ):
        drawn(ax)
    plots.film(reel([real[:50], fake[:50]]), "Points move.").html()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (str(np.random.get_state()), random.getstate()) == before[1:]


# --------------------------------------------------------------------------------------------------------- films


def reel(frames, every=20):
    return SimpleNamespace(steps=[every * i for i in range(len(frames))], frames=frames)


def played(player):
    """The frames as a browser cuts them from the picture, (k, h, w, 3): at the places that its script computes."""
    sheet = np.asarray(Image.open(io.BytesIO(player.sprite)).convert("RGB"))
    x, y = re.search(r"const x = (.*), y = (.*);", PAGE.template).groups()  # arithmetic that Python reads as well
    shown = []
    for frame in range(len(player.kept)):
        left, top = (eval(place, {"frame": frame, "film": player, "Math": math}) for place in (x, y))
        shown.append(sheet[top : top + player.height, left : left + player.width])
    return np.stack(shown)


class Page(html.parser.HTMLParser):
    """What a page holds: its tags, and the film that the script was given."""

    def __init__(self, fragment):
        super().__init__()
        self.tags = []
        self.feed(fragment)
        self.close()
        script = fragment.split("<script>")[1].split("</script>")[0]
        self.film = json.loads(re.search(r"const film = (\{.*\});", script).group(1))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_film_of_images_shows_every_frame():
    frames = [plots.as_bytes(noise(6, 1, 9, 7, seed=i)) for i in range(11)]
    player = plots.film(reel([torch.from_numpy(f) for f in frames]), "Six images change.", columns=3)
    expected = np.stack([plots.tile(frame, 3, (2, 2)) for frame in frames])
    assert player.kept == list(range(11)) and player.shades == 16
    assert np.abs(played(player)[..., 0].astype(int) - expected).max() <= 8  # half a step of 16 greys
    assert (np.asarray(Image.open(io.BytesIO(player.still)).convert("RGB")) == played(player)[-1]).all()


def test_few_colours_are_kept_exactly():
    frames = [np.zeros((6, 8, 3), np.uint8) for _ in range(5)]
    for i, frame in enumerate(frames):
        frame[i, : i + 1] = (200, 30 * i, 7)
    assert (played(Reel(frames, list("abcde"), "A line grows.")) == np.stack(frames)).all()


def test_a_film_of_points_stands_on_axes_that_do_not_move():
    frames = [0.1 * (i + 1) * noise(30, 2) for i in range(4)]
    shown = played(plots.film(reel(frames), "Points spread.", real=0.1 * noise(40, 2))).astype(int)
    assert shown.shape[0] == 4
    assert (shown[:, :, :45] == shown[:1, :, :45]).all()  # the left axis with its numbers
    assert not (shown[0] == shown[-1]).all()


@pytest.mark.parametrize("shape", [(4, 2, 30), (40, 3), (40, 6), (40, 1), (40,)])
def test_a_film_of_what_is_no_image_stands_on_axes_that_do_not_move(shape):
    small, wide = noise(*shape), 5 * noise(*shape, seed=1)
    behind = small if shape in ((40, 3), (40, 1)) else None
    film = plots.film(reel([small, wide, small]), "Samples.", real=behind)
    shown = played(film).astype(int)
    assert (shown[0] == shown[2]).all() and (shown[0] != shown[1]).any()
    axis = 45 if len(shape) < 3 else 0
    assert (shown[0, :, :axis] == shown[1, :, :axis]).all()  # the left axis with its numbers
    alone = played(plots.film(reel([small]), "Samples.", real=behind)).astype(int)
    assert np.abs(alone[0] - shown[0]).mean() > 1  # there is room for the wide ones; shades alone differ by less
    assert not plt.get_fignums()


def test_a_long_film_has_one_figure_open_at_a_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of more than twenty
        assert len(plots.film(reel([noise(9, seed=i) for i in range(22)]), "Numbers.").kept) > 5


def test_a_film_of_images_with_alpha():
    frames = [torch.from_numpy(plots.as_bytes(noise(6, 4, 9, 7, seed=i))) for i in range(3)]
    player = plots.film(reel(frames), "Six images change.", columns=3)
    assert player.width == 3 * 9 - 2 and player.still[:4] == b"\x89PNG"


def test_the_html_is_complete_in_itself():
    frames = [noise(4, 1, 5, 5, seed=i) for i in range(3)]
    player = plots.film(reel(frames), 'Digits <b>form</b> "slowly" & </script> well.', seconds=6)
    fragment = player.html()
    page = Page(fragment)
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", fragment), re.I)
    assert not any(
        key.startswith("on") or (key in ("src", "href") and not value.startswith("data:"))
        for _, attributes in page.tags
        for key, value in attributes.items()
    )
    assert len(page.all("script")) == 1 and fragment.count("</script>") == 1
    assert page.all("img")[0]["alt"] == player.alt
    assert page.all("img")[0]["src"] == "data:image/png;base64," + base64.b64encode(player.still).decode()
    assert base64.b64decode(page.film["sprite"].partition(",")[2]) == player.sprite
    assert page.film["labels"] == ["step 0", "step 20", "step 40"] and page.film["wait"] == pytest.approx(2000)
    assert Page(Reel([np.zeros((2, 2), np.uint8)], ["</script>"], "A dot.").html()).film["labels"] == ["</script>"]
    assert (page.film["width"], page.film["height"], page.film["across"]) == (26, 5, player.across)


def test_without_scripts_a_picture_and_a_caption_stay():
    """What a notebook that is not trusted leaves of it: no script, no style sheet."""
    player = plots.film(reel([noise(4, 1, 5, 5, seed=i) for i in range(3)]), "Digits form.")
    left = re.sub(r"<(script|style)>.*?</\1>", "", player.html(), flags=re.S)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", left)).strip()
    assert words == "A still picture of a film: step 40, the last of 3 frames."
    assert "hidden" not in left and left.count("<img") == 1


def test_players_have_ids_of_their_own():
    films = [plots.film(reel([noise(4, 1, 5, 5, seed=i)]), "Digits form.") for i in (0, 0, 1)]
    ids = [Page(film.html()).all("figure")[0]["id"] for film in [*films, films[0]]]
    assert len(set(ids)) == 4
    assert all(
        f'getElementById("{name}")' in fragment
        for name, fragment in [(re.search(r'id="([^"]+)"', f).group(1), f) for f in [films[0].html()]]
    )


def test_a_film_says_the_same_everywhere():
    frames = [noise(4, 1, 5, 5, seed=i) for i in range(3)]
    bundles = [plots.film(reel(frames, 1000), "Digits form.")._repr_mimebundle_() for _ in range(2)]
    assert bundles[0]["text/plain"] == "Film, 3 frames, step 0 to step 2,000: Digits form."
    assert bundles[0]["text/plain"] == bundles[1]["text/plain"]
    assert set(bundles[0]) == {"text/html", "image/png", "text/plain"}
    assert Image.open(io.BytesIO(base64.b64decode(bundles[0]["image/png"]))).size == (26, 5)


@pytest.mark.parametrize("colour", [False, True])
def test_noise_is_cut_down_to_size(colour):
    """Frames of pure noise, which nothing compresses: fewer shades and fewer frames, the ends kept."""
    rng, side, kilobytes = np.random.default_rng(0), (48 if colour else 238), (50 if colour else 400)
    frames = list(rng.integers(0, 256, (40, side, side, *([3] * colour)), dtype=np.uint8))
    player = Reel(frames, [str(i) for i in range(40)], "Noise.", kilobytes=kilobytes)
    assert len(player.html()) < 1000 * kilobytes
    assert 2 < len(player.kept) < 40 and (player.kept[0], player.kept[-1]) == (0, 39)
    assert player.kept == sorted(set(player.kept)) and player.labels == [str(i) for i in player.kept]
    assert repr(player).startswith(f"Film, {len(player.kept)} of 40 frames")
    if not colour:
        error = np.abs(played(player)[..., 0].astype(int) - np.stack(frames)[player.kept])
        assert error.max() <= 26  # half a step of 6 greys


def test_digits_fit_whole():
    """Forty frames of sixty-four synthetic digits each, in ever another order, fit without losing a frame."""
    digits = data.synthetic_digits(n=500).values
    digits = torch.stack([digits[torch.arange(64) * 7 + i] for i in range(40)])
    player = plots.film(reel(list(digits)), "Digits.", columns=8)
    assert len(player.html()) < 400_000 and len(player.kept) == 40


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(pictures=[]), "at least one frame"),
        (dict(pictures=[np.zeros((2, 2)), np.zeros((2, 2))]), "bytes"),
        (dict(pictures=[np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)]), "one shape"),
        (dict(pictures=[np.zeros((2, 2, 4), np.uint8)] * 2), "shape"),
        (dict(labels=["a"]), "one to each"),
        (dict(alt=" "), "sentence"),
        (dict(pictures=[np.zeros((5000, 5000), np.uint8)] * 2), "too many pixels for a page"),
    ],
)
def test_a_film_refuses_what_it_cannot_show(wrong, words):
    good = dict(pictures=[np.zeros((2, 2), np.uint8)] * 2, labels=["a", "b"], alt="Two dots.")
    with pytest.raises(ValueError, match=words):
        Reel(**good | wrong)


def test_an_empty_film_says_what_to_do():
    with pytest.raises(ValueError, match="hooks"):
        plots.film(reel([]), "Nothing.")


def test_a_trained_model_stands_beside_its_history():
    curve = [{"seconds": 10.0 * 2**k, "Fréchet distance": 8.0 / 2**k} for k in range(4)]
    losses = {
        name: {"game": torch.arange(5.0) + k, "penalty": torch.zeros(5)}
        for k, name in enumerate(["critic 0", "critic 1", "generator 0", "generator 1"])
    }
    model = SimpleNamespace(card={"curve": curve, "training images": {"Fréchet distance": 0.5}}, log=losses, steps=50)
    left, above, below = plots.trained(model, torch.zeros(64, 1, 28, 28)).axes
    assert left.images[0].get_array().shape == (8 * 29 - 1, 8 * 29 - 1)
    fallen, real = above.get_lines()
    assert fallen.get_xdata().tolist() == [10, 20, 40, 80] and fallen.get_ydata().tolist() == [8, 4, 2, 1]
    assert set(real.get_ydata()) == {0.5}
    drawn = {line.get_label(): line for line in below.get_lines()}
    assert drawn.keys() == {"critic 1", "generator 1"}  # the finest level
    assert drawn["generator 1"].get_ydata().tolist() == [3, 4, 5, 6, 7] and drawn["critic 1"].get_xdata()[-1] == 50


def test_labels_stand_at_their_lines_on_a_logarithmic_scale_too():
    ax = plt.figure().subplots()
    ax.loglog([1, 10], [1, 1000], label="high")
    ax.loglog([1, 10], [1, 2], label="low")
    plots.label(ax)
    for text in ax.texts:
        assert abs(text.xyann[1]) < 1e-6, "there is room for both where their lines end"


def test_what_the_first_figure_turns_on_stays_on():
    """Jupyter's backend becomes interactive while it is loaded, within the first drawing; later cells rely on it."""
    before = matplotlib.is_interactive()
    try:
        for on in (True, False):
            plots._styled(lambda on=on: matplotlib.interactive(on))()
            assert matplotlib.is_interactive() is on
    finally:
        matplotlib.interactive(before)
