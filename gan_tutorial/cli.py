"""The command line: gan-tutorial train dcgan --seconds 60 --out digits.safetensors

Here are its arguments, and what becomes of errors, signals and output that cannot be written. What a command does is in
`commands`, which needs torch; this module does not, so that help and most errors come at once.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from . import __version__

#: In the order in which it is best to try them; `recipes.RECIPES` has them all.
RECIPES = {
    "mlp": "fully connected networks, for samples of any shape",
    "dcgan": "convolutional networks, with a spectrally normalised critic",
    "conditional": "dcgan for labelled data: samples of a class can be asked for",
    "stacked": "small networks that double an image's size in turn",
    "wgan": "a Wasserstein GAN with clipped weights",
    "wgan-gp": "a Wasserstein GAN with a gradient penalty",
    "vae": "a variational autoencoder, to compare with",
    "gmmn": "a generator without a critic: the kernel distance of two batches is its loss",
}
ACCELERATIONS = ("bf16", "channels-last", "fused", "compile", "graphs")
#: In addition to folders of images.
DATA = {
    "mnist": "handwritten digits",
    "synthetic": "digits that the package draws",
    "flowers": "in colour, drawn by the package too",
}
FITS = ("crop", "pad", "stretch")  # what becomes of a picture of other proportions

MODELS = Path(__file__).with_name("models")
#: Sent by Ctrl-C; by `kill` or a scheduler; by a terminal that is closed (Windows has no such signal).
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LARGEST = 10**15  # of what is counted
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")  # PyTorch's words, by system and device
EXAMPLES = """\
examples:
  gan-tutorial recipes
  gan-tutorial train dcgan --seconds 60 --out digits.safetensors
  gan-tutorial train dcgan --data photos/ --size 64 --pictures progress/
  gan-tutorial train --resume digits.safetensors --steps 20000
  gan-tutorial sample digits.safetensors --n 100 --out digits.png
  gan-tutorial sample conditional --label 7 --n 10000 --out sevens/
  gan-tutorial evaluate digits.safetensors
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 if it did what was asked; 1 if not, and 2 for bad arguments, with a message on standard error. 128 + the signal's
    number if one ended it: 130 after Ctrl-C, 143 after TERM, 129 after HUP.
    """
    output, errors = Output(sys.stdout), Output(sys.stderr)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: complain(f"Warning: {message}")
        code = guarded(arguments)
        output.flush()
        if output.error and not isinstance(output.error, BrokenPipeError):
            complain(f"The output could not be written ({output.error.strerror}).")
            code = code or (arguments or sys.argv[1:])[0] != "train"  # for `train`, the file is what counts
    return int(code)


def guarded(arguments: list[str] | None) -> int:
    """Run a command; its errors become sentences."""
    try:
        with on_signals(end):
            options = parser().parse_args(arguments)
            if options.command == "recipes":
                return recipes()
            {"train": check_train, "sample": check_sample, "evaluate": check_evaluate}[options.command](options)
            with on_signals(signal.SIG_DFL):  # nothing can be lost yet, and an import should not be interrupted
                from . import commands
            return getattr(commands, options.command)(options)
    except SystemExit as end_of_parsing:
        return end_of_parsing.code  # pyright: ignore[reportReturnType]  # argparse's are numbers
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(KeyboardInterrupt):
            complain(str(interrupt) or "Interrupted.")
        return 128 + getattr(interrupt, "number", signal.SIGINT)
    except (OSError, ValueError, ArithmeticError, MemoryError, ImportError) as error:
        complain(sentence(error) or "There is not enough memory.")
        return 1
    except RuntimeError as error:  # PyTorch's, for a lack of memory; any other is a bug, whose traceback should be seen
        if not any(words in str(error) for words in NO_MEMORY):
            raise
        complain(f"There is not enough memory. {sentence(error)}")
        return 1


def sentence(error: Exception) -> str:
    """What an error says, with its notes; also for an OSError that Python itself raised."""
    words = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        words = f"{error.filename}: {error.strerror}."
    return "\n".join([words, *getattr(error, "__notes__", [])])


# -------------------------------------------------------------------------------------------------- what it says


class Output:
    """A stream that accepts all text: what it cannot encode becomes "?", and it raises nothing if nobody reads it.

    error  the first one on writing; from then on the text is discarded, so that no training ends because of it
    """

    def __init__(self, stream):
        self.stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115 (open as long as it is)
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda: self.stream.flush())

    def _try(self, action: Callable) -> None:
        try:
            action()
        except OSError as error:
            self.error = self.error or error
            nowhere = open(os.devnull, "w")  # noqa: SIM115
            with contextlib.suppress(OSError):  # Python flushes the stream again when it ends
                os.dup2(nowhere.fileno(), self.stream.fileno())
            self.stream = nowhere

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def say(words: str) -> None:
    """Print a line at once, without control characters (names in files may hold anything)."""
    print(without_controls(words), flush=True)


def complain(words: str) -> None:
    """Print a line on standard error, without control characters."""
    print(without_controls(words), file=sys.stderr, flush=True)


def without_controls(words: str) -> str:
    """The text with "?" for control characters other than line breaks and tabs."""
    return "".join(c if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160) else "?" for c in words)


def program() -> str:
    """How the program was called, for messages that say how to continue."""
    return "python -m gan_tutorial" if Path(sys.argv[0]).stem == "__main__" else "gan-tutorial"


# ------------------------------------------------------------------------------------------------------- signals


class Ended(KeyboardInterrupt):
    """A signal ended the program: `number` says which."""

    def __init__(self, number: int, words: str = ""):
        super().__init__(words or ("Interrupted." if number == signal.SIGINT else "Ended by a signal."))
        self.number = number


def end(number: int, frame) -> None:
    """The handler of signals while there is nothing to save."""
    raise Ended(number)


@contextlib.contextmanager
def on_signals(handler: Callable | int) -> Iterator[None]:
    """Give the signals that end a program to `handler`. Those that are ignored, as under nohup, stay ignored."""
    usual = {}
    if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
        found = {number: signal.getsignal(number) for number in ENDING}
        usual = {number: there for number, there in found.items() if there not in (signal.SIG_IGN, None)}
    try:
        for number in usual:
            signal.signal(number, handler)
        yield
    finally:
        for number, there in usual.items():
            signal.signal(number, there)


# ----------------------------------------------------------------------------------------------------- arguments


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which knows options by their whole names only."""

    def __init__(self, *words, **settings):
        super().__init__(*words, **{"allow_abbrev": False, **settings})

    def error(self, message: str):
        self.exit(2, f"{without_controls(message[:1].upper() + message[1:])}. See {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = Parser(
        program(),
        epilog=EXAMPLES.replace("gan-tutorial", program()),
        description="Train GANs on digits or on your own images, sample from them, evaluate them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"gan-tutorial {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, given: str, words: str) -> argparse.ArgumentParser:
        usage = f"%(prog)s {given}[options]"
        return commands.add_parser(name, usage=usage, help=words, description=f"{words[0].upper()}{words[1:]}.")

    command("recipes", "", "list the recipes")
    train_arguments(command("train", "RECIPE ", "train a recipe into a file, or continue with one"))
    sample_arguments(command("sample", "MODEL --out PLACE ", "write samples of a model"))
    evaluate_arguments(command("evaluate", "MODEL ", "compare a model's samples with images"))
    return top


def train_arguments(train: argparse.ArgumentParser) -> None:
    """Add the arguments of `train`."""
    data = ", ".join(f"{name} ({words})" for name, words in DATA.items())
    train.add_argument("recipe", nargs="?", type=name_in(RECIPES, "recipe"), metavar="RECIPE", help=", ".join(RECIPES))
    files = train.add_argument_group("how long, and where to")
    goal = files.add_mutually_exclusive_group()
    goal.add_argument("--steps", type=whole(1), metavar="N", help="in all (default: the recipe's, about a minute)")
    goal.add_argument("--seconds", type=number, metavar="S", help="of training in all, without evaluation and saving")
    files.add_argument("--out", type=place, metavar="FILE", help="to write (default RECIPE.safetensors)")
    files.add_argument("--resume", type=place, metavar="FILE", help="continue with it, into the same file or --out")
    files.add_argument("--every", type=number, default=60.0, metavar="S", help="save every S seconds (default 60)")
    files.add_argument(
        "--pictures", type=place, metavar="DIR", help="also keep sample grids and losses.csv there while training"
    )

    files.add_argument(
        "--evaluate",
        type=whole(0),
        metavar="N",
        help="evaluate with N samples at the end (default 10000, or all images; 0: do not)",
    )

    images = train.add_argument_group("data")
    images.add_argument(
        "--data",
        type=place_name,
        metavar="DATA",
        help=f"a folder of images, its sub-folders being classes; or {data}; default: digits",
    )
    images.add_argument("--size", type=size, metavar="N", help="of a folder's images: 64, or 48x80 (height x width)")
    images.add_argument("--channels", type=int, choices=(1, 3), help="of a folder's images: 1 grey, 3 colour (default)")
    images.add_argument("--fit", choices=FITS, help="for images of other proportions (default crop)")
    images.add_argument("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the real images")
    images.add_argument(
        "--augment", action=argparse.BooleanOptionalAction, help="augment all images (useful with few images)"
    )

    own = train.add_argument_group("override the recipe's numbers")
    own.add_argument("--batch-size", type=whole(1), metavar="N", help="real images in a batch")
    own.add_argument("--lr", type=number, metavar="X", help="the learning rate")
    own.add_argument("--latent-dim", type=whole(1), metavar="N", help="dimensions of z")
    own.add_argument("--half-life", type=number, metavar="N", help="of the moving average of weights, in images")
    own.add_argument("--seed", type=whole(0), metavar="N", help="of all random numbers (GAN_TUTORIAL_SEED, else 0)")
    own.add_argument(
        "--accelerate",
        nargs="*",
        type=name_in(ACCELERATIONS, "acceleration"),
        metavar="NAME",
        help=f"any of {', '.join(ACCELERATIONS)}; with --resume and no name: none of them",
    )


def sample_arguments(sample: argparse.ArgumentParser) -> None:
    """Add the arguments of `sample`."""
    model_argument(sample)
    sample.add_argument("--n", type=whole(1), default=100, metavar="N", help="how many samples (default 100)")
    sample.add_argument("--label", metavar="CLASS", help="number or name of a class; without it all classes in turn")
    sample.add_argument("--seed", type=whole(0), metavar="N", help="of z (GAN_TUTORIAL_SEED, else 0)")
    sample.add_argument(
        "--out",
        required=True,
        type=place_name,
        metavar="PLACE",
        help="FILE.png (a grid), FILE.npy (float32, (n, channels, height, width), in [-1, 1]), or DIRECTORY/ (one PNG "
        "a sample, in a sub-folder for each class)",
    )


def evaluate_arguments(evaluate: argparse.ArgumentParser) -> None:
    """Add the arguments of `evaluate`."""
    model_argument(evaluate)
    evaluate.add_argument(
        "--against",
        type=place_name,
        metavar="DATA",
        help=f"a folder of images, or {', '.join(DATA)}; default: the model's own data",
    )
    evaluate.add_argument("--n", type=whole(2), metavar="N", help="samples, and images (default 10000, or all)")
    evaluate.add_argument("--seed", type=whole(0), metavar="N", help="of z and the choice of images")
    evaluate.add_argument("--inception", action="store_true", help="by Inception's features: FID, KID; see the README")
    evaluate.add_argument("--json", action="store_true", help="print JSON in place of a table")


def model_argument(command: argparse.ArgumentParser) -> None:
    """Add the argument for the model that a command works with."""
    command.add_argument(
        "model",
        type=place_name,
        metavar="MODEL",
        help=f"a file, or a model that ships with the package: {', '.join(shipped())}",
    )


def shipped() -> list[str]:
    """The models that come with the package."""
    return sorted(path.stem for path in MODELS.glob("*.safetensors"))


def whole(low: int) -> Callable[[str], int]:
    """A type of argument: a whole number from `low` to `LARGEST`."""

    def convert(text: str) -> int:
        if len(text) > 20 or not re.fullmatch(r"\s*[+-]?\d+\s*", text) or not low <= int(text) <= LARGEST:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to 10^15, got {text[:40]}")
        return int(text)

    return convert


def number(text: str) -> float:
    """A type of argument: a positive number, at most `LARGEST`."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LARGEST:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a positive number, got {text[:40]}")


def place_name(text: str) -> str:
    """A type of argument: what can name a file or folder, as it was written."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected the name of a file or folder, got {text!r}")
    return text


def place(text: str) -> Path:
    """A type of argument: a file or folder."""
    return Path(place_name(text))


def size(text: str) -> tuple[int, int]:
    """A type of argument: "64" or "48x80", as (height, width), each from 4 to 4096."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 4 <= int(side[:9]) <= 4096 for side in sides):
        raise argparse.ArgumentTypeError(f"expected a size from 4 to 4096 such as 64 or 48x80, got {text[:40]}")
    return int(sides[0]), int(sides[-1])


def name_in(names, kind: str) -> Callable[[str], str]:
    """A type of argument: one of these names."""

    def convert(text: str) -> str:
        if text not in names and text in RECIPES:
            raise argparse.ArgumentTypeError(f"{text} is a recipe: put it first, before all options")
        if text not in names:
            raise argparse.ArgumentTypeError(f"unknown {kind} {text[:40]!r}; expected one of {', '.join(names)}")
        return text

    return convert


# ----------------------------------------------------------------------- what can be refused before torch is loaded


def recipes() -> int:
    """List the recipes."""
    for name, words in RECIPES.items():
        say(f"{name:12} {words}")
    return 0


def check_train(options) -> None:
    """Fill in where a training is saved, and refuse one whose files or settings cannot work: OSError or ValueError."""
    if options.recipe is None and options.resume is None:
        raise ValueError(f"Name a recipe to train, one of {', '.join(RECIPES)}, or continue with --resume FILE.")
    if options.resume and not options.resume.is_file():
        raise FileNotFoundError(f"There is no file {options.resume}.")
    options.out = options.out or options.resume or Path(f"{options.recipe}.safetensors")
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"  # torchrun's restarts go on with that file
    if first:
        check_free(options.out, options.resume)
    check_folder_of(options.out)
    if options.pictures and options.pictures.exists() and not options.pictures.is_dir():
        raise NotADirectoryError(f"{options.pictures} is a file: name a folder for pictures.")
    if first and options.pictures and options.resume is None and (options.pictures / "losses.csv").exists():
        raise FileExistsError(f"{options.pictures} has the losses of another training: name another folder.")
    check_data(options.data, "--data")
    if options.evaluate == 1:
        raise ValueError("Expected --evaluate 0, or 2 samples or more: one has no distance to others.")
    given = [f"--{name}" for name in ("size", "channels", "fit") if getattr(options, name) is not None]
    given = [] if given == ["--size"] and options.data == "flowers" else given  # flowers are drawn at any size
    if given and (options.data in DATA or (options.data is None and options.resume is None)):
        raise ValueError(f"{' and '.join(given)} can be chosen for a folder of images: --data FOLDER.")


def check_free(out: Path, source: Path | None) -> None:
    """ValueError unless `out` is a new file, or the file `source` that a training continues with."""
    if out.exists() and (source is None or not out.samefile(source)):
        how = f"Continue with --resume {out}, or name" if out.is_file() else "Name"
        raise ValueError(f"{out} already exists. {how} another file with --out.")


def check_folder_of(out: Path) -> None:
    """NotADirectoryError unless the folder that a file is to be written to exists."""
    if not out.parent.is_dir():
        raise NotADirectoryError(f"There is no folder {out.parent} to write {out.name} to: make it, or name another.")


def check_data(name: str | None, option: str) -> None:
    """FileNotFoundError unless `name` is None, one of `DATA`, or a folder."""
    if name is not None and name not in DATA and not Path(name).is_dir():
        raise FileNotFoundError(f"There is no folder {name}: expected one with images, or {option} {'|'.join(DATA)}.")


def check_model(name: str) -> None:
    """FileNotFoundError unless there is such a model."""
    if not Path(name).is_file() and name not in shipped():
        raise FileNotFoundError(
            f"There is no file {name}, and the models that ship with the package are {', '.join(shipped())}."
        )


def check_sample(options) -> None:
    """Find out where samples go, and refuse a place that will not do, or a missing model: OSError or ValueError."""
    check_model(options.model)
    out = Path(options.out)
    options.folder = options.out.endswith(("/", os.sep)) or out.is_dir()
    options.out = out
    if options.folder:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileExistsError(f"{out} is not an empty folder: name an empty or a new one.")
    elif out.suffix.lower() not in (".npy", ".png"):
        raise ValueError(f"Expected --out FILE.png, FILE.npy or DIRECTORY/, got {out}.")
    elif out.exists() and not out.is_file():
        raise ValueError(f"{out} is not a regular file: name another with --out.")
    check_folder_of(out)


def check_evaluate(options) -> None:
    """FileNotFoundError unless there are such a model and such data."""
    check_model(options.model)
    check_data(options.against, "--against")
