"""An extension of the kernel that executes the chapters: figures become SVG, the same bytes for the same figure.

    --IPKernelApp.extensions=['tools.vector_figures']       `tools.notebooks run` starts its kernels so

A reader's own kernel and Colab know nothing of this and show PNG. Cells and package draw as ever; what is done here is
done to the finished figure:

- Letters are paths. A page shows the file by <img>, where no font of the page reaches it, and another font than the one
  that the figure was laid out with would be wider or narrower.
- Clouds of points, fields of arrows and the like, which would be thousands of elements, become one picture inside the
  vectors, in 64 colours. Images keep their own pixels: a sheet of digits is stored as it is, and enlarged unsmoothed.
- Coordinates have two decimals of a point, and there is no date.
- The root element names the boxes of the panels, `data-panels="x,y,w,h …"`, so that a page can stack them on a phone.
  Where a panel is too wide for a phone, the figure is drawn once more, narrower; this stands in <metadata>, where no
  program draws it.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from IPython.core.formatters import SVGFormatter
from PIL import Image

DENSE = 250  # markers, strokes or arrows; more of them are cheaper as a picture
DPI = 220  # of that picture: two pixels for each one of the page
OFF = (0.06, 0.12, 0.24)  # points by which a curve may be off, from a tenth of a pixel on: more where it would be
LARGE = 150_000  # bytes
SHADES = 64  # colours of that picture
MARGIN = 3.0  # points of white around the whole
WIDE = 345.0  # points: a wider panel is drawn again for a phone
NARROW = 300.0  # points: that wide, about
SETTINGS: Any = {
    "svg.hashsalt": "figure",
    "svg.fonttype": "path",
    "svg.image_inline": True,
    "image.composite_image": False,
}
NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}


# ------------------------------------------------------------------------------------------- what is a picture inside


def elements(artist) -> int:
    """About how many elements of SVG an artist would be."""
    from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection, QuadMesh
    from matplotlib.contour import ContourSet
    from matplotlib.lines import Line2D

    if isinstance(artist, QuadMesh):
        return DENSE + 1
    if isinstance(artist, ContourSet):
        return 0  # a page tells by its paths that colours stand for values
    if isinstance(artist, Line2D):
        marked = artist.get_marker() not in (None, "", " ", "None", "none")
        return np.size(artist.get_xdata()) if marked and artist.get_markevery() is None else 0
    if isinstance(artist, LineCollection | PolyCollection):
        return max(len(artist.get_paths()), np.size(artist.get_offsets()) // 2)
    if isinstance(artist, PathCollection | Collection):
        return np.size(artist.get_offsets()) // 2
    return 0


@contextlib.contextmanager
def prepared(figure) -> Iterator[None]:
    """The figure with dense artists rasterised and images stored by their own pixels; afterwards as it was."""
    from matplotlib.image import AxesImage
    from matplotlib.patches import FancyArrowPatch

    undo = []
    for axes in figure.axes:
        arrows = [child for child in axes.get_children() if isinstance(child, FancyArrowPatch)]
        crowd = arrows if len(arrows) > DENSE // 2 else []  # stream lines have an arrow each
        for artist in [*crowd, *(child for child in axes.get_children() if elements(child) > DENSE)]:
            undo.append((artist.set_rasterized, artist.get_rasterized()))
            artist.set_rasterized(True)
    for number, image in enumerate(figure.findobj(AxesImage)):
        undo += [(image.set_interpolation, image.get_interpolation()), (image.set_gid, image.get_gid())]
        smooth = image.get_interpolation() not in ("nearest", "none")
        image.set_gid(f"{'smooth' if smooth else 'pixels'}-{number}")
        rows, columns = image.get_array().shape[:2]
        if not smooth or max(rows, columns) < 1000:
            image.set_interpolation("none")
    try:
        yield
    finally:
        for restore, value in undo:
            restore(value)


# ------------------------------------------------------------------------------------------------------- fewer bytes


def pixel_colours(image: Image.Image, most: int) -> list[tuple[int, ...]]:
    """The colours of an RGB or RGBA image; none if it has more than `most`."""
    found: Any = image.getcolors(most) or []
    return [colour for _, colour in found]


def is_opaque(image: Image.Image) -> bool:
    return min(image.convert("RGBA").getchannel("A").tobytes()) == 255


def paletted(image: Image.Image, colours: dict[tuple, tuple]) -> Image.Image:
    """The image with a palette, in which colours[pixel] stands for each pixel."""
    palette = sorted(set(colours.values()))
    index = {colour: place for place, colour in enumerate(palette)}
    pixels: Any = image.get_flattened_data()
    made = Image.frombytes("P", image.size, bytes(index[colours[pixel]] for pixel in pixels))
    made.putpalette([value for colour in palette for value in colour], image.mode)
    return made


def smaller(png: bytes, exact: bool) -> bytes:
    """The same picture with a palette: with all of its colours where `exact` and there are no more than 256."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    if is_opaque(image):
        image = image.convert("RGB")
    if colours := pixel_colours(image, 256 if exact else SHADES):
        small = paletted(image, {colour: colour for colour in colours})
    else:
        small = image if exact else image.quantize(SHADES, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(found := io.BytesIO(), "PNG", optimize=True)
    return min(found.getvalue(), png, key=len)


PNG = re.compile(r'<image\b[^>]*?xlink:href="data:image/png;base64,\s*([^"]+)"[^>]*/>', re.S)
PLACES = re.compile(r'(?<= d=")[^"]+|(?<=translate\()[^)]+|(?<= x=")[-\d.]+|(?<= y=")[-\d.]+')
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def compact(svg: str) -> str:
    """The SVG without prolog and metadata, with short numbers and small pictures."""
    svg = re.sub(r"^.*?(?=<svg\b)", "", svg, flags=re.S)
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.S)

    def picture(found: re.Match) -> str:
        element = found[0]
        mine = re.search(r'\bid="(pixels|smooth)-', element)
        png = base64.b64encode(smaller(base64.b64decode(found[1]), exact=mine is not None)).decode()
        element = element.replace(found[0][found.start(1) - found.start() : found.end(1) - found.start()], png)
        element = element.replace("base64,\n", "base64,")
        if mine is not None and mine[1] == "smooth":
            element = element.replace(' style="image-rendering:crisp-edges;image-rendering:pixelated"', "")
        return element

    svg = PNG.sub(picture, svg)
    svg = lighter(svg)
    svg = PLACES.sub(lambda text: NUMBER.sub(short, re.sub(r"\s*\n\s*", "", text[0])), svg)
    return re.sub(r"\n\s*", "\n", svg)


LINE = re.compile(r"M [-\d.e]+ [-\d.e]+(?:\s*L [-\d.e]+ [-\d.e]+){20,}\s*z?")  # of many corners
OUTLINE = re.compile(r'(?<= d=")M[^"]{400,}(?=")')


def lighter(svg: str) -> str:
    """The SVG with simpler curves, the first time as `OFF` says, and again while it is large."""
    for off in OFF:
        svg = OUTLINE.sub(lambda path: LINE.sub(lambda line: simplified(line, off), path[0]), svg)  # noqa: B023
        if len(svg) < LARGE:
            break
    return svg


def simplified(line: re.Match, off: float = OFF[0]) -> str:
    """A polygon or line of many corners with those alone that move it by more than `off` points."""
    corners = np.array([float(number) for number in re.findall(r"[-\d.e]+", line[0].rstrip(" z\n"))]).reshape(-1, 2)
    keep, todo = {0, len(corners) - 1}, [(0, len(corners) - 1)]
    while todo:  # Douglas and Peucker 1973
        first, last = todo.pop()
        between, along = corners[first + 1 : last] - corners[first], corners[last] - corners[first]
        if len(between):
            share = np.clip(between @ along / max(along @ along, 1e-12), 0, 1)
            far = np.linalg.norm(between - share[:, None] * along, axis=1)
            if far.max() > off:
                middle = first + 1 + int(far.argmax())
                keep.add(middle)
                todo += [(first, middle), (middle, last)]
    end = "z" if line[0].rstrip().endswith("z") else ""
    return "M " + "L ".join(f"{x:.2f} {y:.2f}" for x, y in corners[sorted(keep)]) + end


def short(number: re.Match) -> str:
    """Two decimals, and no zero that says nothing."""
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


# ------------------------------------------------------------------------------------------------------------- panels


def parts(figure) -> list:
    """What stands in the figure by itself: axes, and the figure's own texts and legends; subfigures by their parts."""
    found = []
    for child in figure.get_children():
        if child is figure.patch or not child.get_visible():
            continue
        found += parts(child) if child in figure.subfigs else [child]
    return found


def panels(figure, box) -> list[tuple[float, float, float, float]]:
    """x, y, width and height, in points from the upper left of `box` (inches), of boxes that hold all of the figure.

    What overlaps by more than a tenth of the smaller one (twin axes, a legend across two panels) is one panel.
    """
    boxes = []
    for part in parts(figure):
        found = part.get_tightbbox() if part in figure.axes else part.get_window_extent()
        if found is not None and found.width > 1 and found.height > 1:
            scale = 72 / figure.dpi
            x, y = found.x0 * scale - box.x0 * 72, box.y1 * 72 - found.y1 * scale
            boxes.append((x, y, x + found.width * scale, y + found.height * scale))
    while pair := next(((a, b) for i, a in enumerate(boxes) for b in boxes[:i] if merges(a, b)), None):
        a, b = pair
        boxes = [one for one in boxes if one not in pair]
        boxes.append((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])))
    return [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in reading_order(boxes)]


def merges(a: tuple, b: tuple) -> bool:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return False
    area = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return wide * high > area / 10


def reading_order(boxes: list[tuple]) -> list[tuple]:
    """Row by row: a box belongs to a row if its middle lies above the bottom of the row's first box."""
    waiting, ordered = sorted(boxes, key=lambda box: box[1] + box[3]), []
    while waiting:
        row = [box for box in waiting if (box[1] + box[3]) / 2 < max(waiting[0][3], waiting[0][1] + 1)]
        ordered += sorted(row)
        waiting = [box for box in waiting if box not in row]
    return ordered


# ---------------------------------------------------------------------------------------------------------- the figure


def saved(figure) -> tuple[str, list]:
    """The figure's SVG, and its panels."""
    with prepared(figure):
        dpi = figure.dpi
        figure.dpi = 72  # of the SVG: the layout that is measured is the one that is drawn
        try:
            figure.draw_without_rendering()
            box = figure.get_tightbbox().padded(MARGIN / 72)
            found = panels(figure, box)
            file = io.StringIO()
            colour = figure.get_facecolor()
            figure.savefig(file, format="svg", dpi=DPI, bbox_inches=box, metadata=NOTHING, facecolor=colour)
        finally:
            figure.dpi = dpi
    written = " ".join(",".join(f"{value:.1f}" for value in panel) for panel in found)
    return compact(file.getvalue()).replace("<svg ", f'<svg data-panels="{written}" ', 1), found


def vector(figure) -> str:
    """SVG of a figure, with what a page needs to show it on a phone."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS):
        svg, found = saved(figure)
        widest = max((width for _, _, width, _ in found), default=0)
        if widest > WIDE and not only_images(figure):
            size = figure.get_size_inches().copy()
            figure.set_size_inches(size[0] * NARROW / widest, size[1])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter(
                        "error", UserWarning
                    )  # a layout that does not fit; a phone scales the wide one
                    again, _ = saved(figure)
                svg = svg.replace("</svg>", f"<metadata>{again.strip()}</metadata>\n</svg>")
            except UserWarning:
                pass
            finally:
                figure.set_size_inches(size)
    return svg


def only_images(figure) -> bool:
    """Whether there is nothing to read but titles: a narrower sheet of samples is the same sheet."""
    return all(axes.images and not axes.axison and not axes.texts for axes in figure.axes)


class FigureFormatter(SVGFormatter):
    """IPython's own, for figures as `vector` makes them."""

    def __call__(self, obj):
        from matplotlib.figure import Figure

        if isinstance(obj, Figure):
            return vector(obj) if obj.axes or obj.lines else None
        return super().__call__(obj)


def load_ipython_extension(shell) -> None:
    shell.config.InlineBackend.figure_formats = {"svg"}
    shell.display_formatter.formatters["image/svg+xml"] = FigureFormatter(parent=shell.display_formatter)
