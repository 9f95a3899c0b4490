"""A small player of a film: one HTML fragment that works in a static page, in Jupyter and on Colab.

All frames lie side by side in one PNG, which the page holds as text; nothing is loaded from elsewhere. Where scripts
do not run (an untrusted notebook, a printed page), the last frame is shown as an ordinary picture. Colours and fonts
are those of the page around it, light or dark.
"""

import base64
import hashlib
import html
import io
import json
import math
from collections import Counter
from string import Template

import numpy as np
from PIL import Image

GREYS = (16, 8, 6)  # shades to try, finest first; with fewer, flat greys turn into blotches
COLOURS = (64, 32, 16)
LARGEST = 32_000_000  # pixels of a whole film; phones refuse much larger pictures
MIDDLE = 480  # a narrow frame is enlarged by a whole number to about this many pixels on the page

_shown = Counter()  # how often each film was shown, so that no two players on a page share an id


class Reel:
    """Frames that a browser plays; the last one stands for them elsewhere.

    pictures   k arrays of bytes of one shape, (h, w) grey or (h, w, 3)
    labels     k texts, one under each frame ("step 200")
    alt        what the film shows, in a sentence, for those who do not see it
    seconds    that the whole film takes, each frame equally long; by default eight frames a second
    kilobytes  the most that the HTML may take. The frames are stored in as many shades as fit (16, 8 or 6 greys; 64,
               32 or 16 colours); where even the fewest do not fit, frames between the ends are left out.

    `kept` holds the numbers of the frames that are played, `shades` how many shades they have, `sprite` the PNG in
    which frame kept[i] is i-th, `across` how many frames are in a row, and `paper` whether a drawing on white is shown,
    whose corners are all white: a dark page shows its negative.

    Raises ValueError for no frames or frames that are not bytes of one shape, for a number of labels that does not
    match, for an empty alt, and for more pixels than a page can show.
    """

    def __init__(self, pictures, labels, alt, seconds=None, kilobytes=400):
        pictures = [np.asarray(picture) for picture in pictures]
        shape = pictures[0].shape if pictures else ()
        if not pictures or any(picture.dtype != np.uint8 or picture.shape != shape for picture in pictures):
            raise ValueError("A film needs at least one frame, all of them bytes of one shape.")
        if len(shape) != 2 and (len(shape) != 3 or shape[2] != 3):
            raise ValueError(f"A frame has shape (h, w) or (h, w, 3), not {shape}.")
        if len(labels) != len(pictures):
            raise ValueError(f"There are {len(pictures)} frames, but {len(labels)} labels: give one to each.")
        if not alt.strip():
            raise ValueError("Say in a sentence what the film shows: alt stands there for those who do not see it.")
        if len(pictures) * shape[0] * shape[1] > LARGEST:
            raise ValueError(
                f"{len(pictures)} frames of {shape[1]} by {shape[0]} pixels are too many pixels for a page: "
                "take fewer or smaller ones."
            )
        self.alt, self.height, self.width, self.total = alt, *shape[:2], len(pictures)
        self.paper = all(int(pictures[-1][y, x].min()) > 250 for y in (0, -1) for x in (0, -1))
        self.seconds = len(pictures) / 8 if seconds is None else seconds
        self._pack(pictures, kilobytes)
        self.labels = [labels[i] for i in self.kept]

    def _pack(self, pictures, kilobytes):
        """Choose shades and frames: all frames in the most shades that fit, or the fewest shades and as many as fit."""
        shades = list(GREYS if pictures[0].ndim == 2 else COLOURS)
        self.still = _png(pictures[-1], shades[0])
        count = self.total
        while True:
            self.kept = np.unique(np.linspace(0, self.total - 1, count).round().astype(int)).tolist()
            self.across = max(1, min(count, round(math.sqrt(count * self.height / self.width))))
            self.shades, self.sprite = shades[0], _png(_sheet([pictures[i] for i in self.kept], self.across), shades[0])
            size = (len(self.sprite) + len(self.still)) * 4 / 3000 + 6  # as base64, with 6 kB for the player itself
            if size <= kilobytes or count <= 2:
                return
            if len(shades) > 1:
                shades.pop(0)
            else:
                count = max(2, min(count - 1, int(count * kilobytes / size)))

    def __repr__(self):
        some = "" if len(self.kept) == self.total else f"{len(self.kept)} of "
        frames = "frame" if self.total == 1 else "frames"
        return f"Film, {some}{self.total} {frames}, {self.labels[0]} to {self.labels[-1]}: {self.alt}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html(), "image/png": base64.b64encode(self.still).decode(), "text/plain": repr(self)}

    def html(self):
        """The fragment; each call gives its elements ids of their own."""
        mark = hashlib.sha256(self.sprite + self.alt.encode()).hexdigest()[:8]
        _shown[mark] += 1
        film = {
            "sprite": _uri(self.sprite),
            "labels": self.labels,
            "across": self.across,
            "width": self.width,
            "height": self.height,
            "wait": 1000 * self.seconds / len(self.kept),
        }
        enlarged = max(1, round(MIDDLE / self.width))
        return PAGE.substitute(
            id=f"film-{mark}-{_shown[mark]}",
            look="gt-film gt-paper" if self.paper else "gt-film",
            alt=html.escape(self.alt),
            still=_uri(self.still),
            shown=self.width * enlarged,
            drawing="pixelated" if enlarged > 1 else "auto",
            caption=html.escape(f"A still picture of a film: {self.labels[-1]}, the last of {len(self.kept)} frames."),
            film=json.dumps(film).replace("<", "\\u003c"),
        )


def _sheet(frames, across):
    """Frames side by side: frame i in row i // across, column i % across; the last one fills what is left."""
    frames = frames + [frames[-1]] * (-len(frames) % across)
    return np.concatenate([np.concatenate(frames[i : i + across], axis=1) for i in range(0, len(frames), across)])


def _png(picture, shades):
    """A PNG with a palette: greys evenly spaced from black to white, or the colours that serve the picture best."""
    if picture.ndim == 2:
        image = Image.fromarray(np.rint(picture / 255 * (shades - 1)).astype(np.uint8))
        image.putpalette([round(255 * i / (shades - 1)) for i in range(shades) for _ in "rgb"])
    else:
        image = Image.fromarray(picture).quantize(shades, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(buffer := io.BytesIO(), "PNG", bits=4 if shades <= 16 else 8)
    return buffer.getvalue()


def _uri(png):
    return "data:image/png;base64," + base64.b64encode(png).decode()


# The still picture and its caption are plain HTML. The script puts a canvas and a bar of controls in their place. It is
# written for any number of players on a page: it touches nothing outside its own figure.
PAGE = Template("""<figure class="$look" id="$id" style="margin:0;max-width:${shown}px">
<img src="$still" alt="$alt" width="$shown" style="max-width:100%;height:auto;image-rendering:$drawing">
<figcaption>$caption</figcaption>
<style>
.gt-film canvas{display:block;width:100%;height:auto;cursor:pointer}
.gt-film-bar{display:flex;align-items:center;gap:.6rem;margin-top:.4rem;color:inherit;font-size:.9rem}
.gt-film-bar button{flex:none;width:2.5rem;height:2.5rem;padding:0;margin:0;border:1px solid currentColor;
 border-radius:50%;background:transparent;color:inherit;cursor:pointer}
.gt-film-bar svg{display:block;width:1rem;height:1rem;margin:auto;fill:currentColor}
.gt-film-bar input{flex:1;min-width:4rem;height:2.5rem;margin:0;padding:0;border:0;background:transparent;
 accent-color:currentColor;cursor:pointer;appearance:none;-webkit-appearance:none;color:inherit}
.gt-film-bar input::-webkit-slider-runnable-track{height:2px;background:currentColor}
.gt-film-bar input::-moz-range-track{height:2px;background:currentColor}
.gt-film-bar input::-webkit-slider-thumb{-webkit-appearance:none;width:1rem;height:1rem;margin-top:-7px;
 border:0;border-radius:50%;background:currentColor}
.gt-film-bar input::-moz-range-thumb{width:1rem;height:1rem;border:0;border-radius:50%;background:currentColor}
.gt-film-bar :focus-visible{outline:2px solid currentColor;outline-offset:2px}
.gt-film-bar span{flex:none;min-width:6.5em;text-align:right;font-variant-numeric:tabular-nums}
@media screen{[data-theme=dark] .gt-paper :is(canvas,img){filter:invert(.93) hue-rotate(180deg)}}
@media print{.gt-film-bar{display:none}}
</style>
<script>
(() => {
  const film = $film;
  const root = document.currentScript ? document.currentScript.closest(".gt-film") : document.getElementById("$id");
  const make = (name, attributes, parent) => {
    const element = document.createElement(name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return parent ? parent.appendChild(element) : element;
  };
  const still = root.querySelector("img"), last = film.labels.length - 1;
  const canvas = make("canvas", {width: film.width, height: film.height, role: "img", "aria-label": still.alt});
  canvas.style.imageRendering = still.style.imageRendering;
  const bar = make("div", {class: "gt-film-bar", role: "group", "aria-label": "Film"});
  const button = make("button", {type: "button"}, bar);
  const slider = make("input", {type: "range", min: 0, max: last, step: 1, value: last, "aria-label": "Frame"}, bar);
  const text = make("span", {"aria-hidden": "true"}, bar);
  const sprite = new Image();
  let timer = null;

  const show = (frame) => {
    slider.value = frame;
    text.textContent = film.labels[frame];
    slider.setAttribute("aria-valuetext", film.labels[frame]);
    const x = frame % film.across * film.width, y = Math.floor(frame / film.across) * film.height;
    canvas.getContext("2d").drawImage(sprite, x, y, film.width, film.height, 0, 0, film.width, film.height);
  };
  const play = (on) => {
    clearInterval(timer);
    timer = null;
    if (on) {
      if (+slider.value === last) show(0);
      // Readers who asked for less motion see the frames as a calm sequence of slides.
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      timer = setInterval(() => {
        if (!root.isConnected) return play(false);
        show(Math.min(+slider.value + 1, last));
        if (+slider.value === last) play(false);
      }, calm ? Math.max(1000, film.wait) : film.wait);
    }
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    button.innerHTML = "<svg viewBox='0 0 10 10' aria-hidden='true'><path d='" +
      (on ? "M1 0h3v10H1zM6 0h3v10H6z" : "M2 0l8 5-8 5z") + "'/></svg>";
  };

  button.onclick = canvas.onclick = () => play(timer === null);
  slider.oninput = () => { play(false); show(+slider.value); };
  sprite.onload = () => {
    root.querySelector("figcaption").replaceWith(bar);
    still.replaceWith(canvas);
    show(last);
    play(false);
  };
  sprite.src = film.sprite;
})();
</script>
</figure>""")
