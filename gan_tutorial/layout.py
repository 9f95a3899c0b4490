"""The layout of a file: safetensors whose metadata hold a card, in JSON, and in it the SHA-256 of the whole file.

Nothing in a file is used before it has been checked against the tables below; and what they refuse is never written.
The checksum reveals damage: it is taken over all bytes, with zeros in its own place. It is not a signature, since
whoever changes a file can compute it anew: hence the tables.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

CARD, FORMAT = "gan_tutorial", 2  # the metadata's one entry, and which version of this layout
SUM, BLANK = "sha256", 64 * b"0"  # the card's first entry, and its value while the checksum is computed
DEPTH = 16  # of lists and dictionaries in a card
LARGEST = 2**53  # the largest whole number that all readers of JSON agree on

# ------------------------------------------------------------------------------------------------------- the tables


def is_text(x) -> TypeGuard[str]:
    """Whether it is a string."""
    return isinstance(x, str)


def is_number(x) -> TypeGuard[float]:
    """Whether it is a float in the range of float32, or a whole number that all readers of JSON agree on."""
    return isinstance(x, float) and abs(x) < 3.4e38 or whole(-LARGEST)(x)


def whole(least: int, most: int = LARGEST) -> Callable[[object], bool]:
    """x -> whether it is a whole number in this range."""
    return lambda x: isinstance(x, int) and not isinstance(x, bool) and least <= x <= most


def listed(kind: Callable) -> Callable[[object], bool]:
    """x -> whether it is a list of such things."""
    return lambda x: isinstance(x, list) and all(map(kind, x))


def named(kind: Callable) -> Callable[[object], bool]:
    """x -> whether it is a dictionary of such things."""
    return lambda x: isinstance(x, dict) and all(map(kind, x.values()))


def is_flag(x) -> bool:
    """Whether it is true or false."""
    return isinstance(x, bool)


def is_positive(x) -> bool:
    """Whether it is a positive number."""
    return is_number(x) and x > 0


def is_shape(x) -> bool:
    """Whether it can be the shape of a sample."""
    return listed(whole(1))(x) and 1 <= len(x) <= 8 and math.prod(x) <= 2**32


#: What `Recipe.configure` can change.
OPTIONS: dict[str, Callable[[object], bool]] = {
    "batch_size": whole(1, 2**32),
    "latent_dim": whole(1, 2**32),
    "lr": is_positive,
    "half_life": is_positive,
    "flip": is_flag,
    "augment": is_flag,
}


def are_options(x) -> bool:
    """Whether a recipe can be configured with it."""
    return isinstance(x, dict) and all(name in OPTIONS and OPTIONS[name](value) for name, value in x.items())


#: What a card holds, and in words what each entry must be.
ENTRIES: dict[str, tuple[Callable[[object], bool], str]] = {
    "recipe": (is_text, "a name"),
    "options": (are_options, f"a dictionary of what a recipe can be configured with: {', '.join(OPTIONS)}"),
    "shape": (is_shape, "the shape of a sample"),
    "classes": (whole(0), "a number of classes"),
    "step": (whole(0), "a number of steps"),
    "seed": (lambda x: isinstance(x, int) and not isinstance(x, bool), "a whole number"),
    "data": (is_text, "a name"),
    "samples": (whole(1), "a number of samples"),
    "content": (lambda x: is_text(x) and re.fullmatch("([0-9a-f]{64})?", x) is not None, "a SHA-256"),
    "seconds": (lambda x: is_number(x) and x >= 0, "a time in seconds"),
    "code": (is_text, "a text"),
    "machine": (is_text, "a text"),
    "threads": (whole(1), "a number of threads"),
    "batches_drawn": (whole(0), "a number of batches"),
    "images": (named(whole(0)), "a dictionary of numbers of images"),
    "settings": (named(lambda x: True), "a dictionary"),
    "groups": (named(listed(named(lambda x: True))), "a dictionary of lists of an optimiser's options"),
    "stateless": (named(listed(whole(0))), "a dictionary of lists of weights"),
    "losses_ahead": (named(named(is_number)), "a dictionary of losses"),
    "accelerations": (listed(is_text), "a list of names"),
}
#: Further facts that the package itself reads, if they are present.
FACTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "metrics": (named(is_number), "a dictionary of numbers"),
    "training images": (named(is_number), "a dictionary of numbers"),
    "curve": (listed(named(is_number)), "a list of dictionaries of numbers"),
}

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
KINDS = (*FLOATS, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)
#: Names of tensors, their types, and how many dimensions they have, if that is fixed.
TENSORS: tuple[tuple[str, tuple[torch.dtype, ...], int | None], ...] = (
    (r"(model|net)\.[^.]+\..+", KINDS, None),
    (r"optimizer\.[^.]+\.\d{1,6}\.[^.]+", KINDS, None),
    (r"log\.[^.]+\.[^.]+", FLOATS, 1),
    (r"random\.\d", (torch.uint8,), 1),
)
#: Names of tensors whose values are never negative: counts, variances, and means of squares.
NOT_NEGATIVE = re.compile(
    r"(model|net)\..*\.(num_batches_tracked|running_var)|"
    r"optimizer\..*\.(step|exp_avg_sq|max_exp_avg_sq|exp_inf|square_avg|acc_delta)"
)


def check_card(card: Mapping) -> None:
    """ValueError, with the reason, for a card that is not as the tables say."""
    for name, (holds, words) in ENTRIES.items():
        if name not in card or not holds(card[name]):
            raise ValueError(f"its card's {name!r} is not {words}")
    for name, (holds, words) in FACTS.items():
        if name in card and not holds(card[name]):
            raise ValueError(f"its card's {name!r} is not {words}")


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """ValueError, with the reason, for tensors that are not as the tables say, or not finite."""
    for name, value in tensors.items():
        rules = [(kinds, ndim) for pattern, kinds, ndim in TENSORS if re.fullmatch(pattern, name)]
        if not rules or not name.isprintable():
            raise ValueError(f"it holds {escaped(name)!r}, for which there is no place in such a file")
        kinds, ndim = rules[0]
        if value.dtype not in kinds or ndim not in (None, value.ndim):
            raise ValueError(f"its {name} is {value.dtype} of shape {tuple(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"its {name} is not finite")
        if NOT_NEGATIVE.fullmatch(name) and value.numel() and value.min() < 0:
            raise ValueError(f"its {name} is negative")
    lengths = {len(values) for name, values in tensors.items() if name.startswith("log.")}
    if len(lengths) > 1:
        raise ValueError(f"its losses have different numbers of steps: {sorted(lengths)}")


# ---------------------------------------------------------------------------------------------------------- the text


def escaped(text: str) -> str:
    r"""The text with what does not print, such as codes that a terminal obeys, as an escape: "\x1b"."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cleaned(x, depth: int = DEPTH):
    """What JSON held, with all its strings made printable. ValueError if it is nested too deeply."""
    if depth < 0:
        raise ValueError(f"it is nested more than {DEPTH} deep")
    if isinstance(x, dict):
        return {escaped(name): cleaned(value, depth - 1) for name, value in x.items()}
    if isinstance(x, list):
        return [cleaned(value, depth - 1) for value in x]
    return escaped(x) if isinstance(x, str) else x


def loads(text: str | bytes):
    """JSON as the standard has it: ValueError for numbers that are not finite, and for what cannot be read."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


# --------------------------------------------------------------------------------------------------------- the bytes


def serialized(tensors: Mapping[str, Tensor], card: Mapping) -> bytes:
    """A file's bytes, with the checksum in its card. ValueError for what `parse` would refuse."""
    # Copies: safetensors refuses two names for the same memory, which tied weights have.
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    blank = {SUM: BLANK.decode()}
    try:
        words = json.dumps(blank | dict(card) | blank, allow_nan=False)  # ASCII: any string comes out as it was
        check_card(cleaned(loads(words)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"A card holds only JSON values of the expected kinds: {error}.") from None
    try:
        check_tensors(tensors)
    except ValueError as error:
        raise ValueError(
            f"The file could not be read again: {error}. Give players, terms and networks other names."
        ) from None
    content = safetensors.torch.save(tensors, {CARD: words})
    at = content.index(BLANK)  # the metadata come first, and in them the sum
    return content[:at] + hashlib.sha256(content).hexdigest().encode() + content[at + len(BLANK) :]


def read(path: str | Path, tensors: bool = True) -> tuple[dict, dict[str, Tensor]]:
    """A file's card and tensors, checked; or its card alone. The strings of the card are printable.

    Raises FileNotFoundError, or OSError if it cannot be read; ValueError for a file that is damaged, from another
    program, or from another version.
    """
    said = escaped(str(path))
    try:
        if not Path(path).is_file():
            raise FileNotFoundError
        with open(path, "rb") as file:
            start = file.read(8)
            length, rest = int.from_bytes(start, "little"), os.fstat(file.fileno()).st_size - 8
            content = start + file.read() if length <= rest else b""  # a large file of another kind is not read at all
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {said}.") from None
    except OSError as error:
        raise OSError(f"{said} cannot be read ({error.strerror or error}).") from None
    try:
        return parse(content, tensors)
    except ValueError as error:
        raise ValueError(f"{said} {error}.") from None


def parse(content: bytes, tensors: bool = True) -> tuple[dict, dict[str, Tensor]]:
    """What `read` returns, from a file's bytes. ValueError, with a sentence that lacks the file's name at its start."""
    damaged = "is not a model of this package, or it is damaged"
    try:
        card, end = _card(content)
    except ValueError as error:
        raise ValueError(f"{damaged} ({error})") from None
    if card is None:
        raise ValueError("holds tensors, but no card of this package: it was written by another program")
    if card["format"] != FORMAT:
        age = "a newer" if card["format"] > FORMAT else "an older"
        raise ValueError(f"was written by {age} version of this package, {card.get('code')}: read it with that")
    try:
        if not _sum_is_right(content, card.get(SUM), end):
            raise ValueError("its content does not have the SHA-256 that it says")
        check_card(card)
        found = safetensors.torch.load(content) if tensors else {}
        check_tensors(found)
    except (ValueError, SafetensorError, KeyError, TypeError, RuntimeError) as error:  # as safetensors' readers raise
        raise ValueError(f"{damaged}: {error}") from None
    return card, found


def _card(content: bytes) -> tuple[dict | None, int]:
    """The card, or None if another program wrote the file; and where the header ends. ValueError for another header."""
    end = 8 + int.from_bytes(content[:8], "little")
    if not 8 < end <= len(content):
        raise ValueError("it does not begin as safetensors do")
    header = loads(content[8:end])
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("its header is not one of safetensors")
    if CARD not in metadata:
        return None, end
    card = cleaned(loads(metadata[CARD])) if isinstance(metadata[CARD], str) else None
    if not isinstance(card, dict) or not whole(1)(card.get("format")):
        raise ValueError("its card has no format")
    return card, end


def _sum_is_right(content: bytes, said, end: int) -> bool:
    if not isinstance(said, str) or not re.fullmatch("[0-9a-f]{64}", said):
        return False
    at = content.find(said.encode(), 8, end)
    if at < 0:
        return False
    digest = hashlib.sha256(content[:at] + BLANK)
    digest.update(memoryview(content)[at + len(BLANK) :])
    return digest.hexdigest() == said


# ---------------------------------------------------------------------------------------------------------- the names


def quoted(name: str) -> str:
    """A name of a player, a term or a network as a part of a tensor's name, in which dots separate."""
    return name.replace("%", "%25").replace(".", "%2E")


def unquoted(part: str) -> str:
    """The inverse of `quoted`."""
    return part.replace("%2E", ".").replace("%25", "%")
