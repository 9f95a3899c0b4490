"""A Sphinx extension: stored SVG figures for light and dark pages, and for phones.

Of each figure there are up to four files in _images, and a reader's browser loads one of them: light or dark (the other
is not displayed, and loads lazily), as it was drawn or, below 600 pixels, with its panels one below the other.

    <picture class="figure only-light"><source media="screen and (max-width: 600px)" …><img … loading="lazy"></picture>
    <picture class="figure only-dark">…</picture>

Print shows the light one (figures.css). The ground is transparent. The book's colours have partners on dark ground,
`ON_DARK`; any other colour is lightened, or on white darkened, as far as its contrast asks for. Images keep their
colours, and so does what is drawn upon them.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
import html
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from PIL import Image

from .vector_figures import is_opaque, paletted, pixel_colours

SVG, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ET.register_namespace("", SVG)
ET.register_namespace("xlink", LINK)

PIXELS = 110 / 72  # of a page for a point of a figure
GROUND = {"light": (255, 255, 255), "dark": (18, 18, 18)}  # of the theme's pages
INK = {"light": (0, 0, 0), "dark": (225, 228, 232)}
ON_DARK = {  # of gan_tutorial.plots.COLOURS, told apart by every eye
    "#092b56": "#5a96f2",
    "#005c44": "#74dcc4",
    "#b65e00": "#e59f45",
    "#b8309f": "#d078cb",
    "#111111": "#ececec",
    "#747474": "#a0a0a0",
}
TEXT, SHAPE = 4.5, 3.0  # the least contrast, of letters and of what is no letter (WCAG 2.2, 1.4.3 and 1.4.11)
PHONE = "screen and (max-width: 600px)"
COLUMN = 328  # pixels of text on a phone 360 wide
GROWTH = 1.35  # at most, of a panel on a phone
ROOM = 3.0  # points
SQUEEZE = 1.04  # panels may be wider than the column by that
TICK = 3.6  # points, the length of a tick
GAP, BESIDE = 10, 2  # pixels between rows and columns of panels on a phone


# ------------------------------------------------------------------------------------------------------------ colours


class Colour(NamedTuple):
    red: int
    green: int
    blue: int


def parsed(colour: str) -> Colour:
    return Colour(*(int(colour[place : place + 2], 16) for place in (1, 3, 5)))


def written(colour: tuple) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def luminance(colour: tuple) -> float:
    """Relative, of sRGB (WCAG 2.2)."""
    light = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def contrast(one: tuple, other: tuple) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: Colour, ground: tuple, least: float) -> Colour:
    """The colour, its lightness (HLS) moved away from the ground's just so far that the contrast is reached."""
    if contrast(colour, ground) >= least:
        return colour
    hue, lightness, saturation = colorsys.rgb_to_hls(*(c / 255 for c in colour))
    end = 0.0 if contrast((0, 0, 0), ground) > contrast((255, 255, 255), ground) else 1.0
    for step in range(1, 101):
        moved = lightness + (end - lightness) * step / 100
        found = Colour(*(round(255 * c) for c in colorsys.hls_to_rgb(hue, moved, saturation)))
        if contrast(found, ground) >= least:
            break
    return found


def known(colour: tuple) -> Colour:
    """The book's colour that this is up to the rounding of a small palette, or the colour itself."""
    nearest = min(map(parsed, ON_DARK), key=lambda one: sum(abs(a - b) for a, b in zip(one, colour, strict=True)))
    return nearest if max(abs(a - b) for a, b in zip(nearest, colour, strict=True)) < 24 else Colour(*colour)


def grey(colour: tuple) -> bool:
    return max(colour) - min(colour) <= 12


def mapped(colour: Colour, theme: str, least: float) -> Colour:
    """What stands for this colour in a theme. White is the ground's colour, and a grey is mirrored in the dark.

    Greys that are lighter than any shape needs (grids, bands) stay as faint as they were.
    """
    ground = GROUND[theme]
    if min(colour) >= 250:
        return Colour(*ground)
    if theme == "dark" and (partner := ON_DARK.get(written(colour))):
        return readable(parsed(partner), ground, least)
    if grey(colour):
        share = sum(colour) / 765
        found = Colour(*(round(i + (g - i) * share) for i, g in zip(INK[theme], ground, strict=True)))
        return readable(found, ground, least) if least == TEXT else found
    return readable(colour, ground, least)


def diverging(colours: set[str]) -> bool:
    """Whether colours lead from a red over white to a blue, as those of values of both signs do."""
    found = [parsed(colour) for colour in colours]
    strong = [one for one in found if max(one) - min(one) > 100]
    ends = {one.red > one.blue for one in strong}
    return len(found) > 4 and len(ends) == 2 and any(min(one) > 220 for one in found)


def turned(colour: Colour) -> Colour:
    """In the dark 0 is as dark as the ground, and what is far from it is light."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(c / 255 for c in colour))
    low = sum(GROUND["dark"]) / 765
    rgb = colorsys.hls_to_rgb(hue, low + 0.65 * (1 - lightness), min(saturation, 0.75))
    return Colour(*(round(255 * c) for c in rgb))


# ------------------------------------------------------------------------------------------------------------- themes

HEX = re.compile(r"#[0-9a-fA-F]{6}\b")
PARTS = ("figure_", "subfigure_", "axes_")  # each with a ground of its own, one inside the other
NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def tag(element) -> str:
    return element.tag.rpartition("}")[2]


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBERS.findall(text)]


def is_text(element) -> bool:
    """Whether matplotlib drew a text here; those beside curves have a name (`gan_tutorial.plots.label`)."""
    return element.get("id", "").startswith(("text_", "line label"))


def drawn(element) -> Iterator:
    """An element and all in it but what is only defined."""
    yield element
    for child in element:
        if tag(child) != "defs":
            yield from drawn(child)


def place(element) -> tuple[float, float] | None:
    """About where an element is drawn: the middle of a path, the start of a text; None of a collection of paths."""
    for one in drawn(element):
        found = numbers(one.get("transform", "")) or numbers(one.get("d", "")) if tag(one) != "use" else []
        if "transform" in one.attrib:
            return found[0], found[1]
        if found:
            return sum(found[::2]) / len(found[::2]), sum(found[1::2]) / len(found[1::2])
        if tag(one) == "use" and float(one.get("x", 0)):
            return float(one.get("x")), float(one.get("y", 0))
    return None


def box(element) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of an image."""
    width, height = float(element.get("width", 0)), float(element.get("height", 0))
    a, b, c, d, e, f = (numbers(element.get("transform", "")) + [1, 0, 0, 1, 0, 0])[:6]
    xs = [a * x + c * y + e for x in (0, width) for y in (0, height)]
    ys = [b * x + d * y + f for x in (0, width) for y in (0, height)]
    return min(xs), min(ys), max(xs), max(ys)


def extent(path) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a path's corners."""
    corners = numbers(path.get("d", "")) or [0.0, 0.0]
    return min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])


def is_picture(element) -> bool:
    """An image that the chapter drew; the others are clouds of points and the like, drawn as pixels."""
    return tag(element) == "image" and element.get("id", "").startswith(("pixels-", "smooth-"))


def pixels(element) -> Image.Image:
    data = element.get(f"{{{LINK}}}href").partition("base64,")[2]
    return Image.open(io.BytesIO(base64.b64decode(data)))


def opaque(element) -> bool:
    return is_opaque(pixels(element))


def fills(group) -> set[str]:
    return {colour for path in group.iter() for colour in HEX.findall(path.get("style", ""))}


def is_field(group, theme: str) -> bool:
    """Filled contours from red to blue, which are turned in the dark: there they are no light picture."""
    return theme == "dark" and group.get("id", "").startswith("QuadContourSet") and diverging(fills(group))


def covered(axes, theme: str = "light") -> list[tuple[float, float, float, float]]:
    """Boxes of an axes within which the ground is a picture, and colours stay as they are."""
    found = [box(image) for image in axes.iter() if is_picture(image) and opaque(image)]
    patch = next((group for group in axes if group.get("id", "").startswith("patch_")), None)
    for group in axes:
        kind = group.get("id", "")
        if kind.startswith(("QuadContourSet", "PolyQuadMesh")) and len(fills(group)) > 2 and patch is not None:
            if not is_field(group, theme) and "fill: #" in ET.tostring(group, "unicode"):
                found.append(extent(patch[0]))
    return found


def inside(where: tuple[float, float] | None, boxes: list) -> bool:
    return bool(boxes) and (where is None or any(x0 < where[0] < x1 and y0 < where[1] < y1 for x0, y0, x1, y1 in boxes))


def repainted(element, theme: str) -> None:
    """Change the colours of a cloud of points; each keeps its own alpha."""
    image = pixels(element).convert("RGBA")
    if not pixel_colours(image, 256):
        image = image.quantize(64, Image.Quantize.FASTOCTREE).convert("RGBA")
    shades = pixel_colours(image, 256)
    colours = {colour: (*mapped(known(colour[:3]), theme, SHAPE), colour[3]) for colour in shades}
    paletted(image, colours).save(file := io.BytesIO(), "PNG", optimize=True)
    element.set(f"{{{LINK}}}href", "data:image/png;base64," + base64.b64encode(file.getvalue()).decode())


def themed(svg: str, theme: str):
    """The root element of a figure in the colours of a theme, on a transparent ground."""
    root = ET.fromstring(svg)
    for found in root.findall(f"{{{SVG}}}metadata"):
        root.remove(found)
    for group in list(root.iter(f"{{{SVG}}}g")):
        kind = group.get("id", "")
        if not kind.startswith(PARTS):
            continue
        boxes = covered(group, theme) if kind.startswith("axes_") else []
        ground = next((child for child in group if child.get("id", "").startswith("patch_")), None)
        if ground is not None and len(ground) and "fill: #ffffff" in ground[0].get("style", ""):
            group.remove(ground)
        texts = [child for child in group if is_text(child)]
        grounds = {text: behind(text, group, theme) for text in texts}
        for child in group:
            name = child.get("id", "")
            if not name.startswith(PARTS) and (name.startswith("matplotlib.axis_") or not inside(place(child), boxes)):
                recoloured(child, theme, grounds.get(child))
    return root


def behind(text, axes, theme: str) -> Colour | None:
    """The colour, in the theme, of the bar or box that a text of an axes stands on."""
    found = None
    for patch in axes:
        style = patch[0].get("style", "") if patch.get("id", "").startswith("patch_") and len(patch) else ""
        if (fill := re.search(r"fill: (#\w{6})", style)) and inside(place(text), [extent(patch[0])]):
            opacity = re.search(r"(?:^|[ ;])(?:fill-)?opacity: ([\d.]+)", style)
            share = float(opacity[1]) if opacity else 1.0
            colours = zip(mapped(parsed(fill[1]), theme, SHAPE), GROUND[theme], strict=True)
            found = Colour(*(round(share * colour + (1 - share) * ground) for colour, ground in colours))
    return found


def recoloured(element, theme: str, ground: Colour | None = None) -> None:
    """Change the colours of an element and of all in it: letters by the contrast of text, others by that of shapes.

    `ground` is the colour behind a text that does not stand on the page's own.
    """
    field = is_field(element, theme)
    texts = [one for one in element.iter() if is_text(one)]
    letters = {one for text in texts for one in text.iter()}

    def new(colour: str, least: float) -> str:
        if field:
            return written(turned(parsed(colour)))
        found = mapped(parsed(colour), theme, least)
        return written(found if ground is None else readable(found, ground, least))

    for text in texts:  # what says nothing of its colour is black
        text.set("fill", new("#000000", TEXT))
    for one in element.iter():
        least = TEXT if one in letters else SHAPE
        if style := one.get("style"):
            one.set("style", HEX.sub(lambda found, least=least: new(found[0], least), style))
        if tag(one) == "image" and not is_picture(one):
            repainted(one, theme)


# ------------------------------------------------------------------------------------------------------------- phones


class Slice(NamedTuple):
    """A box of the figure, and where it stands on a phone: left, top and scale."""

    box: tuple[float, float, float, float]
    left: float
    top: float
    scale: float


def columns(panels: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Of a regular grid that is too wide for a phone each column as one panel, for it belongs together."""
    rows: list[list] = []
    for panel in panels:
        same = rows and panel[0] > rows[-1][-1][0] and panel[1] < rows[-1][0][1] + rows[-1][0][3] / 2
        rows = [*rows[:-1], [*rows[-1], panel]] if same else [*rows, [panel]]
    count = len(rows[0])
    wide = sum(panel[2] for panel in rows[0]) > 1.5 * COLUMN or count > 2
    if len(rows) == 1 or not wide or any(len(row) != count for row in rows):
        return panels
    found = []
    for column in zip(*rows, strict=True):
        left, top = min(x for x, *_ in column), min(y for _, y, *_ in column)
        right, bottom = max(x + w for x, _, w, _ in column), max(y + h for _, y, _, h in column)
        found.append((left, top, right - left, bottom - top))
    return found if all(b[0] > a[0] + a[2] - 1 for a, b in zip(found, found[1:], strict=False)) else panels


def stacked(
    panels: list[tuple[float, float, float, float]], strips: dict[tuple, tuple] | None = None
) -> tuple[list[Slice], float]:
    """The panels in rows as full as keeps the size of letters, and the height of all.

    strips: of some panels the box of the numbers at their axis, which is shown left of one that begins a row.
    """
    strips = strips or {}

    def wide(row: list) -> float:
        return sum(box[2] for box in row) + (strips[row[0]][2] if row[0] in strips else 0)

    rows: list[list] = []
    for panel in columns(panels):
        fits = rows and wide([*rows[-1], panel]) + BESIDE * len(rows[-1]) <= SQUEEZE * COLUMN
        same = rows and abs(rows[-1][0][1] - panel[1]) < panel[3] / 2
        rows = [*rows[:-1], [*rows[-1], panel]] if fits and same else [*rows, [panel]]
    scales = [(COLUMN - BESIDE * (len(row) - 1)) / wide(row) for row in rows]
    found, top = [], 0.0
    for row, scale in zip(rows, scales, strict=True):
        scale = min(GROWTH, scale, 1.2 * min(scales))  # letters of about one size
        left = (COLUMN - BESIDE * (len(row) - 1) - scale * wide(row)) / 2
        if strip := strips.get(row[0]):
            found.append(Slice(strip, left, top, scale))
            left += scale * strip[2]
        for panel in row:
            found.append(Slice(panel, left, top, scale))
            left += scale * panel[2] + BESIDE
        top += scale * max(panel[3] for panel in row) + GAP
    return found, max(top - GAP, 1)


class Upright(NamedTuple):
    """A vertical axis with ticks: where its line is, the heights of its ticks, and whether numbers stand at them."""

    x: float
    ticks: tuple[float, ...]
    numbered: bool


def uprights(root) -> list[Upright]:
    found = []
    for axis in root.iter(f"{{{SVG}}}g"):
        ticks = [one for one in axis if one.get("id", "").startswith("ytick_")]
        marks = [use for one in ticks for use in one.iter(f"{{{SVG}}}use") if "y" in use.attrib]
        if marks:
            heights = tuple(round(float(use.get("y")), 1) for use in marks)
            numbered = any(is_text(part) for one in ticks for part in one.iter())
            found.append(Upright(float(marks[0].get("x")), heights, numbered))
    return found


def shared(root, boxes: list[tuple[float, float, float, float]]) -> tuple[list, dict[tuple, tuple]]:
    """For panels without numbers at their axis, which share it with a panel at their left: the box of its numbers.

    Returned behind all boxes, of which these are made as high as that one: so numbers stand at the panel's own ticks.
    """
    axes = uprights(root)
    own = {box: [axis for axis in axes if box[0] <= axis.x <= box[0] + box[2] and meets(axis, box)] for box in boxes}
    made, strips = [], {}
    for box in boxes:
        ticks = {axis.ticks for axis in own[box]}
        lenders = {
            (other, axis.x)
            for other, those in own.items()
            for axis in those
            if axis.numbered and other[0] < box[0] and axis.ticks in ticks
        }
        if len(lenders) == 1 and not any(axis.numbered for axis in own[box]):
            (left, top, _, height), x = lenders.pop()
            box = (box[0], top, box[2], height)
            strips[box] = (left, top, x - TICK - left, height)
        made.append(box)
    return made, strips


def meets(axis: Upright, box: tuple[float, float, float, float]) -> bool:
    return box[1] <= min(axis.ticks) and max(axis.ticks) <= box[1] + box[3]


def size(root) -> tuple[float, float]:
    *_, width, height = numbers(root.get("viewBox"))
    return width, height


def panels(root) -> list[tuple[float, float, float, float]]:
    """What `tools.vector_figures` says of a figure; the whole of another SVG."""
    found = [(x, y, w, h) for x, y, w, h in map(numbers, root.get("data-panels", "").split())]
    return found or [(0.0, 0.0, *size(root))]


def roomier(boxes: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """The boxes, up to `ROOM` wider at each side, for strokes and serifs; neighbours share what lies between them."""
    found = []
    for x, y, w, h in boxes:
        room = [ROOM] * 4
        for a, b, c, d in boxes:
            beside, above = min(y + h, b + d) > max(y, b), min(x + w, a + c) > max(x, a)
            gaps = [(beside, x - (a + c)), (above, y - (b + d)), (beside, a - (x + w)), (above, b - (y + h))]
            room = [
                min(r, max(gap, 0) / 2) if near and gap > -1 else r for r, (near, gap) in zip(room, gaps, strict=True)
            ]
        left, top, right, bottom = room
        found.append((x - left, y - top, w + left + right, h + top + bottom))
    return found


def phone_form(root):
    """The same figure, its panels one below the other; None where it fits a phone as it is."""
    width, _ = size(root)
    if width <= COLUMN:
        return None
    slices, height = stacked(*shared(root, columns(roomier(panels(root)))))
    made = ET.Element(f"{{{SVG}}}svg", {"viewBox": f"0 0 {COLUMN} {height:.1f}"})
    made.set("width", f"{COLUMN}")
    made.set("height", f"{height:.1f}")
    whole = ET.SubElement(ET.SubElement(made, f"{{{SVG}}}defs"), f"{{{SVG}}}g", {"id": "whole"})
    whole.extend(list(root))
    for one in slices:
        x, y, w, h = one.box
        inner = {"x": one.left, "y": one.top, "width": one.scale * w, "height": one.scale * h}
        attributes = {name: f"{value:.2f}" for name, value in inner.items()}
        attributes["viewBox"] = f"{x:.2f} {y:.2f} {w:.2f} {h:.2f}"
        window = ET.SubElement(made, f"{{{SVG}}}svg", attributes)
        ET.SubElement(window, f"{{{SVG}}}use", {f"{{{LINK}}}href": "#whole"})
    return made


def narrow(svg: str) -> str:
    """The figure as it was drawn once more for phones, where it was."""
    found = re.search(r"<metadata>(<svg.*?</svg>)</metadata>", svg, re.S)
    return found[1] if found else svg


# -------------------------------------------------------------------------------------------------------------- pages


class File(NamedTuple):
    name: str
    content: bytes
    width: int
    height: int


def file(root, width: float, height: float) -> File:
    content = ET.tostring(root, "utf-8")
    return File(f"{hashlib.sha256(content).hexdigest()[:20]}.svg", content, round(width), round(height))


def forms(svg: str, theme: str) -> tuple[File, File | None]:
    """The files of a figure in a theme: as it was drawn, and for phones."""
    root = themed(svg, theme)
    width, height = size(root)
    whole = file(root, width * PIXELS, height * PIXELS)
    again = themed(narrow(svg), theme)
    small = phone_form(again)
    if small is None and again.get("viewBox") == root.get("viewBox"):
        return whole, None
    small = again if small is None else small
    return whole, file(small, *size(small))


def figure(svg: str, alt: str, folder: Path, prefix: str) -> str:
    """Write a figure's files to a folder; the HTML that shows one of them, `prefix` leading to that folder."""
    made = []
    for theme in GROUND:
        whole, small = forms(svg, theme)
        for one in filter(None, (whole, small)):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / one.name).write_bytes(one.content)
        source = ""
        if small:
            source = (
                f'<source media="{PHONE}" srcset="{prefix}{small.name}" width="{small.width}" height="{small.height}">'
            )
        measure = f'width="{whole.width}" height="{whole.height}" loading="lazy"'
        shown = f'<img class="dark-light" src="{prefix}{whole.name}" alt="{html.escape(alt)}" {measure}>'
        made.append(f'<picture class="figure only-{theme}">{source}{shown}</picture>')
    return "".join(made)


def replaced(app, doctree) -> None:
    """Put the themes' pictures in the place of each SVG that a cell shows."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        if image["uri"].endswith(".svg") and within_output(image):
            path = Path(app.srcdir) / image["uri"].lstrip("/")
            path = path if path.is_file() else Path(app.env.doc2path(app.env.docname)).parent / image["uri"]
            made = figure(path.read_text(encoding="utf-8"), image.get("alt", ""), *images(app, app.env.docname))
            image.replace_self(nodes.raw("", made, format="html"))


def images(app, docname: str) -> tuple[Path, str]:
    """The folder of the built pages' images, and the way to it from a page."""
    return Path(app.outdir) / "_images", "../" * docname.count("/") + "_images/"


def within_output(node) -> bool:
    return node is not None and (node.get("nb_element") == "cell_code_output" or within_output(node.parent))


def setup(app):
    app.connect("doctree-read", replaced, priority=300)  # before Sphinx collects the images
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
