"""One, two and four processes learn the same weights; what couples samples is shared or refused."""

import copy
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import gan_tutorial as gt
from gan_tutorial import checkpoint, distributed
from gan_tutorial.recipes import Trainer

ring = gt.data.ring(n=500, seed=0)
digits = gt.data.synthetic_digits(64, seed=0)


def double(batch):
    return gt.Batch(batch.real.double(), batch.label, batch.z.double(), batch.eps.double())


class Normed(nn.Module):
    """A generator with BatchNorm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, z, label=None):
        return self.layers(z)


def mlp():
    return gt.MLPGenerator(3, (2,), width=16, output=None)


def plain():
    return gt.MLPCritic((2,), width=16)


adam = gt.adam(1e-2, (0.5, 0.9))
# A bias before BatchNorm has a gradient of zero, and Adam would divide rounding by rounding there.
sgd = partial(torch.optim.SGD, lr=0.05)
GAMES = {
    "wgan-gp": (ring, mlp, plain, gt.wgan_gp, adam),
    "R1": (ring, mlp, plain, gt.Objective(gt.nonsaturating.critic, gt.nonsaturating.generator, gt.r1), adam),
    "BatchNorm": (ring, Normed, plain, gt.nonsaturating, sgd),
    "DCGAN": (
        digits,
        lambda: gt.ConvGenerator(3, width=4),
        lambda: gt.ConvCritic(width=4, hidden=8, spectral=True),
        gt.nonsaturating,
        sgd,
    ),
}


def play(name, steps=5):
    """All weights and statistics after some steps, as far as one process sees them."""
    data, build, build_critic, objective, optimizer = GAMES[name]
    torch.manual_seed(0)
    generator, critic = build().double(), build_critic().double()
    feed = gt.Feed(data, latent_dim=3, batch=16, seed=1, prepare=lambda batch: distributed.shard(double(batch)))
    players = gt.adversaries(generator, critic, objective, optimizer)
    if distributed.world_size() > 1:
        torch.manual_seed(distributed.rank())
        for p in [*generator.parameters(), *critic.parameters()]:  # only the first one's weights count
            p.data += distributed.rank()
        distributed.data_parallel(players)
    log = gt.fit(players, feed, steps)
    losses = {f"log.{player}.{term}": values for player in log for term, values in log[player].items()}
    return losses | {
        f"{name}.{key}": value
        for name, net in (("generator", generator), ("critic", critic))
        for key, value in net.state_dict().items()
    }


small = gt.recipes.Recipe(
    "small",
    lambda: gt.MLPGenerator(3, (2,), width=16, output=None),
    plain,
    gt.wgan_gp,
    adam,
    steps=4,
    latent_dim=3,
    batch=16,
)


def recipe():
    """A recipe's weights after some steps, in float32."""
    training = Trainer(small, ring)
    training.run(steps=4)
    return dict(training.players[1].net.state_dict())


def child(rank, world, port, folder):
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank)
    )
    torch.set_num_threads(1)
    distributed.TIMEOUT = timedelta(minutes=1)  # a hanging test ends
    distributed.init()
    made = {name: play(name) for name in GAMES}
    whole = next(gt.Feed(ring, 3, 16))
    words, mine = [], distributed.shard(whole)
    gathered = [torch.empty_like(mine.z) for _ in range(world)]
    dist.all_gather(gathered, mine.z.contiguous())
    assert len(mine.real) == 16 // world and torch.equal(torch.cat(gathered), whole.z)
    trained = recipe()
    try:
        distributed.check_equal(data=rank)
    except ValueError as error:
        assert "different games: their data is 0, 1" in str(error)
    else:
        raise AssertionError
    try:
        distributed.shard(next(gt.Feed(ring, 3, 15)))
    except ValueError as error:
        words.append(str(error))
    flags = [
        distributed.all_reduce_max(rank),
        distributed.all_reduce_max(0),
        distributed.all_reduce_max(1, step=7),
        distributed.all_reduce_max(1, step=20),
    ]
    torch.save((made, words, flags, trained), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_the_same_weights_as_one_process(world, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(child, (world, port, str(tmp_path)), world)
    alone, whole = {name: play(name) for name in GAMES}, recipe()
    for rank in range(world):
        made, words, flags, trained = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.allclose(value, whole[key], rtol=0, atol=1e-5) for key, value in trained.items())
        for name, weights in made.items():
            for key, value in weights.items():
                torch.testing.assert_close(value, alone[name][key], rtol=0, atol=1e-10, msg=f"{name}: {key}")
        assert len(words) == 1 and "cannot be shared evenly" in words[0]
        assert flags == [world - 1, 0, 0, 1]


def test_alone_nothing_changes():
    batch = next(gt.Feed(ring, 3, 15))
    assert distributed.world_size() == 1 and distributed.rank() == 0 and distributed.all_reduce_max(2, step=7) == 2
    assert all(torch.equal(a, b) for a, b in zip(distributed.shard(batch), batch, strict=True) if a is not None)


def test_a_shared_norm_keeps_the_weights_that_the_optimiser_holds():
    net = Normed()
    held = {id(p) for p in net.parameters()}
    before, z = copy.deepcopy(net), torch.randn(8, 3)
    distributed.convert_sync_batchnorm(net)
    assert {id(p) for p in net.parameters()} == held and net.state_dict().keys() == before.state_dict().keys()
    torch.testing.assert_close(net(z), before(z))
    torch.testing.assert_close(net.layers[1].running_var, before.layers[1].running_var)


def test_norms_that_cannot_be_shared_are_refused():
    with pytest.raises(ValueError, match="momentum only"):
        distributed.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(3, affine=False)))


def test_each_start_has_a_name_of_its_own_in_the_same_store():
    store, world, made = dist.HashStore(), 3, []
    store.set_timeout(timedelta(seconds=20))
    with ThreadPoolExecutor(world) as pool:
        for _ in range(5):  # after the first one, the questions and answers of a start that has ended lie about
            made.append(
                {
                    name.result()
                    for name in [pool.submit(distributed._name, store, rank, world) for rank in range(world)]
                }
            )
    assert all(len(names) == 1 for names in made) and len(set.union(*made)) == 5


def test_a_process_that_does_not_come_is_named(monkeypatch):
    monkeypatch.setattr(processes, "TIMEOUT", timedelta(seconds=0.1))
    with pytest.raises(distributed.PeerLost, match="no sign of process 1, 2"):
        distributed._exchange(distributed._name, dist.HashStore(), 0, 3)


SCRIPT = """
import datetime, os, signal, sys
import gan_tutorial as gt
from gan_tutorial import __main__ as cli, checkpoint, distributed

out, victim = sys.argv[1:]
few, agreed = gt.data.synthetic_digits(200, seed=0), distributed.all_reduce_max
cli.digits, cli.JUDGED, gt.recipes.SETTLING = lambda *_, **__: few, 100, 1
distributed.TIMEOUT = datetime.timedelta(minutes=1)  # a hanging test ends
signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # as __main__ does

def agreed_or_dead(number, step=0):  # after step 5, before it is saved
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return agreed(number, step)

if os.environ["RANK"] == victim and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    distributed.all_reduce_max = agreed_or_dead
if os.environ["RANK"] == "0":
    print("begins at step", checkpoint.read(out)[0]["step"] if os.path.exists(out) else 0, file=sys.stderr, flush=True)
sys.exit(cli.main(["train", "wgan-gp", "--steps", "12", "--every", "0.001", "--out", out]))
"""


def launched(folder, victim, restarts=0):
    """A training by two processes, of which one dies in its midst: exit status, words, the steps it began at, file."""
    out = folder / f"{victim}.safetensors"
    (folder / "run.py").write_text(SCRIPT)
    launch = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            f"--max-restarts={restarts}",
            folder / "run.py",
            out,
            str(victim),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(gt.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )
    try:
        words, _ = launch.communicate(timeout=240)
    finally:
        if launch.poll() is None:
            launch.terminate()  # torchrun ends its processes, which are in groups of their own, within 30 seconds
            try:
                launch.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(launch.pid, signal.SIGKILL)
    return launch.returncode, words, [int(n) for n in re.findall(r"begins at step (\d+)", words)], out


def test_torchrun_restarts_a_training_from_its_file(tmp_path):
    status, words, began, out = launched(tmp_path, victim=1, restarts=1)
    assert status == 0 and began[0] == 0 and 3 <= began[1] <= 5, words
    assert "Process 0 has lost another one" in words
    status, words, began, whole = launched(tmp_path, victim=None)
    assert status == 0 and began == [0], words
    (card, made), (whole_card, expected) = checkpoint.read(out), checkpoint.read(whole)
    assert card["step"] == whole_card["step"] == 12
    assert made.keys() == expected.keys() and all(torch.equal(made[key], expected[key]) for key in expected)


def test_a_process_that_dies_ends_the_run_and_leaves_the_file(tmp_path):
    status, words, began, out = launched(tmp_path, victim=0)
    assert status != 0 and began == [0] and "Process 1 has lost another one" in words, words
    training = checkpoint.resume(out, gt.data.synthetic_digits(200, seed=0))
    assert training.steps == 4 and len(training.log["critic"]["game"]) == 4


def test_a_shared_norm_keeps_its_statistics_in_float32_under_autocast(monkeypatch):
    torch.manual_seed(0)
    net, x = Normed(), torch.randn(64, 3) + 3
    shared = copy.deepcopy(net)
    distributed.convert_sync_batchnorm(shared)
    # Two processes with the same samples: sums are doubled.
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda x, *_: x.mul_(2))
    with torch.autocast("cpu", torch.bfloat16):
        made, expected = shared.layers[:2](x), net.layers[:2](x)
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected, rtol=2**-7, atol=2**-7)
    torch.testing.assert_close(shared.layers[1].running_mean, net.layers[1].running_mean)
