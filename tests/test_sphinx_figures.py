"""Vector figures: the same bytes each time, few of them, readable on both grounds, whole on a phone, described once."""

import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from gan_tutorial import plots
from tests.test_plots import BLINDNESS, lab, linear
from tools import ROOT, cells, notebooks, reused_outputs, slides
from tools import sphinx_figures as figures
from tools import vector_figures as vectors

THEMES = list(figures.GROUND)


def drawing(columns=2, width=7.0):
    """Panels with letters, curves, a bar with a letter on it, and faint things."""
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(width, 2.5), squeeze=False)
        x = np.linspace(0, 6, 50)
        for panel, role in zip(axes[0], plots.COLOURS, strict=False):
            panel.plot(x, np.sin(x), **plots.LINES[role], label=role)
            panel.bar([1, 2], [0.5, 0.5], color="#e9b872")
            panel.text(1, 0.2, "on", ha="center")
            panel.text(4, 0.8, "faint", color="#9a9a9a")
            panel.set(xlabel="x", ylabel="height", title=role)
            panel.legend()
    return figure


def cloud(n):
    with plt.rc_context(plots.STYLE):
        return plots.points(torch.randn(n, 2, generator=torch.Generator().manual_seed(0))).figure


def images(root):
    return [one for one in root.iter() if figures.tag(one) == "image"]


def colours(root):
    """(colour, whether of letters) of everything that is painted."""
    letters = {one for text in root.iter() if text.get("id", "").startswith("text_") for one in text.iter()}
    for one in root.iter():
        for colour in figures.HEX.findall(one.get("style", "") + " " + one.get("fill", "")):
            yield figures.parsed(colour), one in letters


# ---------------------------------------------------------------------------------------------------------- execution


def test_the_same_figure_is_the_same_bytes_in_every_process():
    code = (
        "import hashlib, matplotlib; matplotlib.use('Agg')\n"
        "from tests.test_sphinx_figures import cloud, drawing, vectors\n"
        "made = vectors.vector(drawing()) + vectors.vector(cloud(900))\n"
        "print(hashlib.sha256(made.encode()).hexdigest())"
    )
    run = [subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True) for _ in range(2)]
    assert run[0].returncode == 0, run[0].stderr
    assert run[0].stdout == run[1].stdout


def test_a_figure_is_as_it_was_after_it_was_saved():
    figure = drawing(1)
    figure.set_layout_engine("none")
    points = figure.axes[0].scatter(*np.random.default_rng(0).normal(size=(2, 900)))
    image = figure.axes[0].imshow(np.eye(3), interpolation="nearest", aspect="auto")
    before = plots.picture(figure)
    assert vectors.vector(figure).count("<svg") == 2  # also drawn narrower
    assert (plots.picture(figure) == before).all()
    assert not points.get_rasterized() and image.get_interpolation() == "nearest" and image.get_gid() is None


def test_a_cloud_is_a_picture_and_a_few_points_are_not():
    few, many = vectors.vector(cloud(50)), vectors.vector(cloud(3000))
    assert few.count("<use") > 50 and "<image" not in few
    assert many.count("<image") == 1 and len(many) < 150_000


def test_digits_keep_their_pixels():
    pixels = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    svg = vectors.vector(plots.grid(pixels).figure)
    [image] = images(ET.fromstring(svg))
    shown = np.asarray(figures.pixels(image).convert("RGBA"))
    off = np.abs(shown[..., 0].astype(int) - plots.tile(pixels))
    assert off[shown[..., 3] > 0].max() <= 1  # the grey colour map rounds
    assert (shown[:, 28, 3] == 0).all() and (shown[:, :28, 3] == 255).all()  # the gap shows the page
    assert "pixelated" in image.get("style")


def test_simplifying_moves_no_point_of_a_curve_by_more_than_it_may():
    x = np.linspace(0, 500, 3001)
    y = 100 + 40 * np.sin(x / 20)
    path = "M " + "\nL ".join(f"{a:.6f} {b:.6f}" for a, b in zip(x, y, strict=True))
    numbers = np.array(figures.numbers(vectors.LINE.sub(vectors.simplified, path))).reshape(-1, 2)
    assert len(numbers) < 600
    assert (
        np.abs(np.interp(x, *numbers.T) - y).max() < 3 * vectors.OFF[0]
    )  # along y the distance is longer than across a slope


def test_a_wide_panel_is_drawn_again_for_phones_and_two_are_not():
    assert vectors.vector(drawing(1)).count("<svg") == 2
    assert vectors.vector(drawing(2)).count("<svg") == 1


# ------------------------------------------------------------------------------------------------------------- themes


@pytest.mark.parametrize("theme", THEMES)
def test_no_letter_and_no_curve_is_lost_on_the_ground(theme):
    root = figures.themed(vectors.vector(drawing(6, 12)), theme)
    ground = figures.GROUND[theme]
    for colour, letter in colours(root):
        if tuple(colour) != ground:  # what was white is as the ground
            assert figures.contrast(colour, ground) >= (3.0 if not letter else 2.9), colour
    texts = [one for one in root.iter() if one.get("id", "").startswith("text_")]
    assert len(texts) > 40
    on_bars = 0
    for text in texts:
        colour = figures.parsed(text.get("fill"))
        styles = figures.HEX.findall("".join(one.get("style", "") for one in text.iter()))
        colour = figures.parsed(styles[0]) if styles else colour
        on_bars += figures.contrast(colour, ground) < 4.5
    assert on_bars <= 12  # the letters on bars have the contrast with the bar


@pytest.mark.parametrize("theme", THEMES)
def test_letters_on_a_bar_are_readable_there(theme):
    root = figures.themed(vectors.vector(drawing(1, 3)), theme)
    axes = next(one for one in root.iter() if one.get("id") == "axes_1")
    bar = next(child[0] for child in axes if re.search(r"fill: #\w{6}", child[0].get("style", "")))
    bar = figures.parsed(re.search(r"fill: (#\w{6})", bar.get("style"))[1])
    text = next(child for child in axes if child.get("id", "").startswith("text_"))
    assert figures.contrast(figures.parsed(text.get("fill")), bar) >= 4.5


def stored_figures():
    """(chapter and title, SVG) of all figures that chapters show, also of those drawn again for phones."""
    for path in notebooks.chapters():
        for cell in cells.code_cells(json.loads(path.read_text(encoding="utf-8"))):
            for output in cell["outputs"]:
                if svg := "".join(output.get("data", {}).get("image/svg+xml", "")):
                    for one in {svg, figures.narrow(svg)}:
                        yield f"{path.stem}: {cells.source(cell)[:40]!r}", one


def test_no_stored_figure_keeps_a_light_ground_or_black_letters_in_the_dark():
    """Of axes in figures, and in figures in figures; letters are what is made of glyphs, whatever its name is."""
    grounds = letters = 0
    for name, svg in stored_figures():
        root = figures.themed(svg, "dark")
        above = {child: parent for parent in root.iter() for child in parent}
        pictures = {}
        for one in root.iter():
            kind = one.get("id", "")
            if kind.startswith("axes_"):
                pictures[one] = figures.covered(one)
            if kind.startswith(("figure_", "subfigure_", "axes_")):
                grounds += 1
                first = next((child[0] for child in one if child.get("id", "").startswith("patch_")), None)
                fill = re.search(r"fill: (#\w{6})", first.get("style", "")) if first is not None else None
                ground = figures.parsed(fill[1]) if fill else figures.GROUND["dark"]
                assert not (figures.grey(ground) and figures.luminance(ground) > 0.5), (name, kind)
            glyphs = [child for child in one if "DejaVu" in child.get(f"{{{figures.LINK}}}href", "")]
            if not glyphs:
                continue
            letters += 1
            lineage = [one]
            while lineage[-1] in above:
                lineage.append(above[lineage[-1]])
            styles = (f"{each.get('style', '')}; fill: {each.get('fill', '')}" for each in lineage)
            fill = next(filter(None, (re.search(r"fill: (#\w{6})", style) for style in styles)), None)
            axes = next((each for each in lineage if each in pictures), None)
            if fill is None:
                assert axes is not None and figures.inside(figures.place(lineage[1]), pictures[axes]), name
    assert grounds > 400 and letters > 2000


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_colours_for_the_dark_differ_for_every_eye(kind):
    dark = {role: figures.ON_DARK[colour] for role, colour in plots.COLOURS.items()}
    for one, other in [("real", "critic"), ("critic", "fake"), ("real", "fake"), ("critic", "extra")]:
        seen = [lab(np.array(BLINDNESS[kind]) @ linear(dark[role])) for role in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 20
    assert all(figures.contrast(figures.parsed(colour), figures.GROUND["dark"]) >= 4.5 for colour in dark.values())


def test_clouds_change_their_colour_and_digits_do_not():
    root = figures.themed(vectors.vector(cloud(3000)), "dark")
    shown = np.asarray(figures.pixels(images(root)[0]).convert("RGBA")).astype(int)
    assert shown[..., 3].min() == 0
    seen = shown[shown[..., 3] > 200][:, :3]
    assert (seen[:, 2] > 200).all()  # light blue for navy
    digits = vectors.vector(plots.grid(torch.linspace(-1, 1, 784).reshape(1, 1, 28, 28)).figure)
    before, after = (
        figures.pixels(images(made)[0]) for made in (ET.fromstring(digits), figures.themed(digits, "dark"))
    )
    assert (np.asarray(before.convert("RGBA")) == np.asarray(after.convert("RGBA"))).all()


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_drawn_on_an_image_keeps_its_colour(theme):
    with plt.rc_context(plots.STYLE):
        figure, ax = plt.subplots(figsize=(3, 3))
        ax.imshow(np.ones((8, 8)), vmin=0, vmax=1)
        ax.text(4, 4, "inside")
        ax.set_title("outside")
    root = figures.themed(vectors.vector(figure), theme)
    axes = next(one for one in root.iter() if one.get("id") == "axes_1")
    inside, outside = [child for child in axes if child.get("id", "").startswith("text_")]
    assert inside.get("fill") is None  # black, on white
    assert figures.parsed(outside.get("fill")) == figures.INK[theme]


def test_values_of_both_signs_are_turned_in_the_dark():
    """0 is dark, both ends are light and keep their hue; other maps, whose colours are read in a legend, stay."""
    side = np.linspace(-1, 1, 30)
    field = side[:, None] * np.ones(30)
    made = {}
    for name in ("RdBu", "viridis"):
        figure, ax = plt.subplots(figsize=(2, 2))
        ax.contourf(side, side, field, np.linspace(-1, 1, 10), cmap=name)
        svg = vectors.vector(figure)
        for theme in THEMES:
            group = next(
                one for one in figures.themed(svg, theme).iter() if one.get("id", "").startswith("QuadContourSet")
            )
            made[name, theme] = [
                figures.parsed(c) for c in re.findall(r"fill: (#\w{6})", ET.tostring(group, "unicode"))
            ]
    assert made["viridis", "light"] == made["viridis", "dark"]
    dark = made["RdBu", "dark"]
    middle, ends = dark[len(dark) // 2], (dark[0], dark[-1])
    assert figures.contrast(middle, figures.GROUND["dark"]) < 1.3
    assert all(figures.contrast(end, figures.GROUND["dark"]) > 3 for end in ends)
    assert ends[0].red > ends[0].blue and ends[1].blue > ends[1].red
    assert min(made["RdBu", "light"][len(dark) // 2]) > 220


# ------------------------------------------------------------------------------------------------------------- phones


@pytest.mark.parametrize("columns", [2, 3, 4, 6])
def test_slices_cover_every_panel_and_do_not_overlap(columns):
    root = ET.fromstring(vectors.vector(drawing(columns, max(7, 1.9 * columns))))
    panels = figures.panels(root)
    slices, height = figures.stacked(figures.roomier(panels))
    axes = [one for one in root.iter() if re.fullmatch(r"axes_\d+", one.get("id", ""))]
    assert len(axes) == columns == len(panels)
    for one in axes:  # the ground of each axes, and all of its letters, lie in one slice
        x0, y0, x1, y1 = figures.extent(one[0][0])
        within = [s.box for s in slices if s.box[0] <= x0 and s.box[1] <= y0 and s.box[0] + s.box[2] >= x1]
        [(x, y, w, h)] = [box for box in within if box[1] + box[3] >= y1]
        for text in one.iter():
            if text.get("id", "").startswith("text_"):
                left, bottom = figures.place(text)
                assert x <= left <= x + w and y <= bottom <= y + h
    placed = [(s.left, s.top, s.left + s.scale * s.box[2], s.top + s.scale * s.box[3]) for s in slices]
    assert all(
        -0.01 <= left and right <= figures.COLUMN + 0.01 and low <= height + 0.01 for left, _, right, low in placed
    )
    assert not any(vectors.merges(a, b) for i, a in enumerate(placed) for b in placed[:i])
    assert all(9 * s.scale >= 8.6 for s in slices)  # pixels of the smallest letters, of 9 points


@pytest.mark.parametrize("shape, named", [((1, 2), [1]), ((2, 3), [1, 2]), ((1, 4), [2])])
def test_panels_that_share_an_axis_keep_its_numbers(shape, named):
    """On a phone, where one begins a row: its axis's numbers stand left of its own ticks. Not where it has some."""
    for sharey in (True, False):
        with plt.rc_context(plots.STYLE):
            figure, axes = plt.subplots(*shape, figsize=(7, 2.4 * shape[0]), sharey=sharey)
            for row, some in enumerate(axes.reshape(shape)):
                for panel in some:
                    panel.set(ylim=(0, 1 + row), yticks=[0, 0.7], xticks=[])
                    if not sharey:
                        panel.tick_params(axis="y", labelleft=True)
        root = figures.themed(vectors.vector(figure), "light")
        boxes, strips = figures.shared(root, figures.columns(figures.roomier(figures.panels(root))))
        slices, _ = figures.stacked(boxes, strips)
        found = [
            (before, one) for before, one in zip(slices, slices[1:], strict=False) if before.box in strips.values()
        ]
        assert [boxes.index(one.box) for _, one in found] == (named if sharey else [])
        for strip, panel in found:
            assert strip.box == strips[panel.box] and strip.left >= 0
            assert (strip.top, strip.scale) == (panel.top, panel.scale)
            assert (strip.box[1], strip.box[3]) == (panel.box[1], panel.box[3])  # numbers at the heights of their ticks
            assert strip.left + strip.scale * strip.box[2] == pytest.approx(panel.left)
            texts = [figures.place(one) for one in root.iter() if figures.is_text(one)]
            left, right = strip.box[0], strip.box[0] + strip.box[2]
            numbers = [x for x, y in texts if left < x < right and strip.box[1] < y < strip.box[1] + strip.box[3]]
            assert len(numbers) == 2 * shape[0]


def test_what_belongs_to_the_whole_figure_is_a_panel_too():
    figure = drawing(2)
    figure.suptitle("of both")
    assert len(figures.panels(ET.fromstring(vectors.vector(figure)))) == 3


def test_letters_of_a_wide_panel_on_a_phone():
    again = figures.themed(figures.narrow(vectors.vector(drawing(1))), "light")
    small = figures.phone_form(again)
    scale = 1.0 if small is None else figures.stacked(figures.roomier(figures.panels(again)))[0][0].scale
    assert 9 * scale >= 8.6


# -------------------------------------------------------------------------------------------------------------- pages


def test_one_description_for_each_theme_and_what_keeps_a_page_from_jumping(tmp_path):
    made = figures.figure(vectors.vector(drawing()), 'A "curve" < b.', tmp_path / "_images", "../_images/")
    assert made.count("<picture") == made.count("<img") == made.count("alt=") == made.count('loading="lazy"') == 2
    assert made.count('alt="A &quot;curve&quot; &lt; b."') == 2  # the other theme's is not displayed, and not read
    assert made.count(" width=") == made.count(" height=") == 4 and made.count("<source") == 2
    for name in re.findall(r'(?:src|srcset)="\.\./_images/(\w+\.svg)"', made):
        ET.parse(tmp_path / "_images" / name)
    assert len(list((tmp_path / "_images").iterdir())) == 4


def test_reused_figures_and_slides_show_vectors(tmp_path):
    svg = vectors.vector(drawing())
    data = {"image/svg+xml": svg}
    assert slides.data_uri(data).startswith("data:image/svg+xml;base64,")
    cell = {"cell_type": "code", "source": "# @title Figure 1.1\ndraw()", "outputs": [{"data": data}]}
    cell["metadata"] = {"mystnb": {"image": {"alt": "Two curves."}}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    made = reused_outputs.output(path, "Figure 1.1", images=(tmp_path / "_images", "_images/"))
    assert made.count("<picture") == 2
    assert 'src="data:image/svg+xml' in reused_outputs.output(path, "Figure 1.1")


@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_stored_figures_are_small_and_form_well(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in cells.code_cells(notebook):
        for output in cell["outputs"]:
            if svg := "".join(output.get("data", {}).get("image/svg+xml", "")):
                for one in {svg, figures.narrow(svg)}:
                    root = ET.fromstring(one)
                    root[:] = [child for child in root if figures.tag(child) != "metadata"]
                    assert len(ET.tostring(root)) < 200_000  # a field of noise with its contours is the largest
                assert "<dc:date" not in svg


def test_a_palette_keeps_alpha():
    image = Image.new("RGBA", (2, 1))
    image.putdata([(255, 0, 0, 10), (0, 255, 0, 200)])
    image.save(file := io.BytesIO(), "PNG")
    small = Image.open(io.BytesIO(vectors.smaller(file.getvalue(), exact=True))).convert("RGBA")
    assert small.tobytes() == image.tobytes()
