"""What the cards of the models that ship say, as the table in this folder's README: run it as a module.

    python -m benchmarks.shipped_models

It reads the cards, and neither trains nor judges.
"""

from __future__ import annotations

from gan_tutorial import checkpoint

NUMBERS = "Fréchet distance", "kernel distance", "label accuracy"


def table() -> str:
    """A row for each model and a last one for training images, as Markdown. Each set is judged by MNIST's test set."""
    rows, real = [["model", "minutes", "steps", *NUMBERS], 6 * ["---"]], []
    for name in checkpoint.shipped():
        card, _ = checkpoint.read(checkpoint.find(name), tensors=False)
        rows.append([f"`{name}`", f"{card['seconds'] / 60:.1f}", f"{card['step']:,}", *numbers(card["metrics"])])
        real.append(["training images", "", "", *numbers(card["training images"])])
    assert all(row == real[0] for row in real), "the cards were written beside different training images"
    return "\n".join(f"| {' | '.join(row)} |" for row in [*rows, real[0]])


def numbers(metrics: dict[str, float]) -> list[str]:
    """The numbers of a row. The label accuracy is empty where no label was asked for."""
    distance, kernel, accuracy = (metrics.get(name) for name in NUMBERS)
    return [f"{distance:.3g}", f"{kernel:.4f}", "" if accuracy is None else f"{100 * accuracy:.1f} %"]


if __name__ == "__main__":
    print(table())
