"""Nothing is left behind on the CPU: recipes and chapters on a stand-in for a GPU, which refuses to mix devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gan_tutorial as gt
from gan_tutorial.recipes import RECIPES
from tests.stand_in_gpu import KINDS, StandInGPU

BOOK = Path(__file__).parents[1] / "book"


@pytest.fixture(params=KINDS)
def gpu(request):
    with StandInGPU(request.param):
        yield request.param


def test_it_computes_what_the_cpu_does(gpu):
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)), torch.randn(5, 3)
    net(x).square().sum().backward()
    here = [weight.grad for weight in net.parameters()]
    net.zero_grad()
    net.to(gpu)(x.to(gpu)).square().sum().backward()
    for weight, grad in zip(net.parameters(), here, strict=True):
        assert weight.device.type == weight.grad.device.type == gpu and torch.equal(weight.grad.cpu(), grad)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda gpu, x, y: x + y,
        lambda gpu, x, y: torch.cat([x, y]),
        lambda gpu, x, y: nn.Linear(3, 3)(x),
        lambda gpu, x, y: nn.Linear(3, 3).to(gpu)(y),
        lambda gpu, x, y: x.masked_fill(y > 0, 0.0),
        lambda gpu, x, y: y[x > 0],
        lambda gpu, x, y: x.__setitem__(0, y[0]),
        lambda gpu, x, y: torch.randn(3, device=gpu, generator=torch.Generator()),
        lambda gpu, x, y: torch.randn(3, generator=torch.Generator(gpu)),
        lambda gpu, x, y: torch.randn(3, device=gpu, generator=torch.default_generator),
        lambda gpu, x, y: x.numpy(),
        lambda gpu, x, y: sum(y) + x,
    ],
)
def test_it_refuses_what_a_gpu_refuses(gpu, mistake):
    x, y = torch.ones(3, 3, device=gpu), torch.ones(3, 3)
    with pytest.raises((RuntimeError, TypeError), match="refuses|can't convert"):
        mistake(gpu, x, y)


def test_it_permits_what_a_gpu_permits(gpu):
    x, y = torch.ones(3, 3, device=gpu), torch.arange(9.0).view(3, 3)
    assert torch.equal((x * y.sum()).cpu(), torch.full((3, 3), 36.0))  # a single number
    assert torch.equal(x.copy_(y).cpu(), y) and x[y[0] > 0].device.type == gpu  # an index from the CPU
    assert torch.tensor([x[0, 0], x[0, 1]]).device.type == "cpu"  # PyTorch's rule for lists
    assert torch.randn(3, device=gpu, generator=torch.Generator(gpu)).device.type == gpu


def test_an_apple_gpu_has_no_float64():
    with StandInGPU("mps"):
        x = torch.ones(3, device="mps")
        for make in (x.double, lambda: x.to(torch.float64), lambda: torch.ones(3).double().to("mps")):
            with pytest.raises(TypeError, match="float64"):
                make()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_and_draws_there(gpu, name):
    data = gt.data.synthetic_digits(300, seed=0).to(gpu)
    made = RECIPES[name].train(data, steps=1)
    samples = made.sample(4)
    assert samples.device.type == gpu and samples.isfinite().all()
    assert all(weight.device.type == gpu for net in made.networks.values() for weight in net.parameters())


def uses_a_gpu(path: Path) -> bool:
    """Whether a chapter moves something to the device of its run."""
    text = path.read_text(encoding="utf-8")
    moves = any(words in text for words in ("run.device", "run.place", "digits(run"))
    return moves and 'gt.Run(seed=0, device=\\"cpu\\")' not in text


CHAPTERS = [path.name for path in sorted(BOOK.glob("*.ipynb")) if uses_a_gpu(path)]


def test_chapters_use_a_gpu():
    assert len(CHAPTERS) >= 9 and "05_dcgan.ipynb" in CHAPTERS and "11_gan_or_vae.ipynb" not in CHAPTERS


# What is computed in float64 moves to the CPU on an Apple GPU alone.
FLOAT64 = ("02_first_gan.ipynb", "03_conditional.ipynb", "08_gaussian_kernels.ipynb", "10_failures.ipynb")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "chapter"), [("cuda", chapter) for chapter in CHAPTERS] + [("mps", chapter) for chapter in FLOAT64]
)
def test_a_chapter_runs_there(kind, chapter):
    environment = os.environ | {
        "GAN_TUTORIAL_SCALE": "smoke",
        "GAN_TUTORIAL_PROGRESS": "0",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(BOOK.parent),
    }
    command = [sys.executable, "-m", "tests.stand_in_gpu", kind, chapter]
    done = subprocess.run(command, cwd=BOOK, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
