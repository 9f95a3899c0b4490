"""One, two and four processes learn the same weights; what couples samples is shared or refused."""

import copy
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import gan_tutorial as gt
from gan_tutorial import acceleration, checkpoint, distributed
from gan_tutorial.training import Trainer

ring = gt.data.ring(n=500, seed=0)
digits = gt.data.synthetic_digits(64, seed=0)


def double(batch):
    return gt.Batch(batch.real.double(), batch.condition, batch.z.double(), batch.eps.double())


class Normed(nn.Module):
    """A generator with BatchNorm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, z, condition=None):
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
    feed = gt.Feed(data, latent_dim=3, batch_size=16, seed=1, prepare=lambda batch: distributed.shard(double(batch)))
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


SMALL = gt.Recipe(
    "small",
    {"generator": lambda spec: mlp(), "critic": lambda spec: plain()},
    gt.wgan_gp,
    adam,
    steps=4,
    latent_dim=3,
    batch_size=16,
)
CONVOLUTIONAL = replace(
    gt.recipes.DCGAN,
    name="convolutional",
    networks={
        "generator": lambda spec: gt.ConvGenerator(spec.latent_dim, width=4),
        "critic": lambda spec: gt.ConvCritic(width=4, hidden=8, spectral=True),
    },
    optimizer=partial(sgd, momentum=0.5),
    batch_size=16,
)
HALVES = acceleration.has_bfloat16(torch.device("cpu"))


def trained(recipe, data, *accelerations):
    """A trainer of a recipe after four steps, in float32."""
    trainer = Trainer(recipe, data, accelerations=accelerations)
    trainer.run(steps=4)
    return trainer


def weights_of(trainer):
    return checkpoint.state_of(trainer.networks)


def in_half(folder, rank=0):
    """A whole training in bf16, to its file: its weights, losses and wrappers."""
    trainer = trained(CONVOLUTIONAL, digits, acceleration.bfloat16)
    path = folder / f"{distributed.world_size()}.safetensors"
    wrappers = trainer.players[0].wrappers
    if rank == 0:
        checkpoint.save(trainer, path)
    return {"weights": weights_of(trainer), "log": trainer.log["critic"]["game"], "wrappers": wrappers}


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
    small = weights_of(trained(SMALL, ring))
    for wrong in (
        lambda: distributed.check_equal(data=rank),
        lambda: distributed.shard(next(gt.Feed(ring, 3, 15))),
        lambda: Trainer(SMALL, ring, accelerations=[acceleration.compiled]),
    ):
        try:
            wrong()
        except ValueError as error:
            words.append(str(error))
    flags = [
        distributed.all_reduce_max(rank),
        distributed.all_reduce_max(0),
        distributed.all_reduce_max(1, step=7),
        distributed.all_reduce_max(1, step=20),
    ]
    half = in_half(Path(folder), rank) if HALVES and world == 2 else None
    kept = {"made": made, "words": words, "flags": flags, "small": small, "half": half, "norm": normed_in_half()}
    torch.save(kept, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def normed_in_half():
    """BatchNorm under autocast, of the same samples in each process: what it makes, and its running mean."""
    torch.manual_seed(0)
    net, x = Normed(), torch.randn(64, 3) + 3
    if distributed.world_size() > 1:
        distributed.convert_sync_batchnorm(net)
    with torch.autocast("cpu", torch.bfloat16):
        made = net.layers[:2](x)
    return made.detach(), net.layers[1].running_mean


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module", params=[2, 4])
def played(request, tmp_path_factory):
    """What each of two or four processes made of all that `child` does; and the folder that it wrote to."""
    folder = tmp_path_factory.mktemp("played")
    mp.spawn(child, (request.param, free_port(), str(folder)), request.param)
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)], folder


def test_the_same_weights_as_one_process(played):
    alone, whole = {name: play(name) for name in GAMES}, weights_of(trained(SMALL, ring))
    for kept in played[0]:
        assert all(torch.allclose(value, whole[key], rtol=0, atol=1e-5) for key, value in kept["small"].items())
        for name, weights in kept["made"].items():
            for key, value in weights.items():
                torch.testing.assert_close(value, alone[name][key], rtol=0, atol=1e-10, msg=f"{name}: {key}")


def test_what_processes_cannot_do_together_is_refused(played):
    world = len(played[0])
    said = ", ".join(map(str, range(world)))
    for kept in played[0]:
        different, uneven, compiled = kept["words"]
        assert f"different games: their data is {said}" in different
        assert "cannot be shared evenly" in uneven and "compiled in one process only" in compiled
        assert kept["flags"] == [world - 1, 0, 0, 1]


def test_a_shared_norm_keeps_its_statistics_in_float32_under_autocast(played):
    expected, mean = normed_in_half()
    for kept in played[0]:
        made, own = kept["norm"]
        assert made.dtype == expected.dtype
        torch.testing.assert_close(made, expected, rtol=2**-7, atol=2**-7)
        torch.testing.assert_close(own, mean)


@pytest.mark.skipif(not HALVES, reason="this CPU has no bfloat16 arithmetic")
def test_a_whole_training_by_two_processes_in_bfloat16(played, tmp_path):
    """Both have the same weights, bit for bit, and one process's up to bf16's rounding; their file goes on.

    Rounding may change a gradient by some 2^-8 of its size: as weights move, so far may they be apart.
    """
    if len(played[0]) != 2:
        pytest.skip("two processes are enough")
    one, other = (kept["half"] for kept in played[0])
    assert one["wrappers"] == ["bf16 loss", "all-reduced gradients", "all-reduced losses"]
    weights = [name for name in one["weights"] if not name.endswith(("_u", "_v"))]
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in weights)
    assert torch.equal(one["log"], other["log"]) and all(x.dtype != torch.bfloat16 for x in one["weights"].values())

    alone, start = in_half(tmp_path), weights_of(Trainer(CONVOLUTIONAL, digits))
    torch.testing.assert_close(one["log"], alone["log"], rtol=2**-6, atol=2**-6)
    exact = weights_of(trained(CONVOLUTIONAL, digits))
    learned = [name for name in weights if name.endswith(("weight", "bias", "original"))]
    moved = {
        key: torch.cat([state[name].flatten() - start[name].flatten() for name in learned])
        for key, state in (("two", one["weights"]), ("one", alone["weights"]), ("exact", exact))
    }
    far = torch.linalg.vector_norm(moved["exact"])
    assert far > 0 and not torch.equal(moved["one"], moved["exact"])  # it was on
    assert torch.linalg.vector_norm(moved["two"] - moved["one"]) < 0.05 * far

    trainer = checkpoint.resume(played[1] / "2.safetensors", digits, recipe=CONVOLUTIONAL)
    assert trainer.steps == 4 and trainer.accelerations == (acceleration.bfloat16,)
    trainer.run(steps=5)
    assert trainer.model().sample(3).isfinite().all()


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


def test_a_critic_that_sees_a_whole_batch_is_refused():
    critic = gt.MLPCritic((2,), width=4, minibatch_std=True)
    with pytest.raises(ValueError, match="MinibatchStd looks at a whole batch"):
        distributed.data_parallel(gt.adversaries(mlp(), critic, gt.nonsaturating, adam))


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


def test_a_process_that_does_not_come_is_named():
    with pytest.raises(distributed.PeerLost, match="no sign of process 1, 2"):
        distributed._exchange(distributed._name, dist.HashStore(), 0, 3, timedelta(seconds=0.1))


# A training as the command line does it: into a file, from which a restart goes on.
SCRIPT = """
import datetime, os, signal, sys
import gan_tutorial as gt
from gan_tutorial import checkpoint, distributed

out, victim = sys.argv[1:]
few, recipe = gt.data.synthetic_digits(200, seed=0), gt.recipes.MLP
distributed.TIMEOUT = datetime.timedelta(minutes=1)  # a hanging test ends
signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # torchrun's; the step is finished

def save(trainer):
    checkpoint.save(trainer, out)

def die(number, log=None):  # in the fifth step, or after it and before it is saved
    if number == 4 and dies:
        os.kill(os.getpid(), signal.SIGKILL)

dies = os.environ["RANK"] == victim and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
try:
    distributed.init()
    trainer = checkpoint.resume(out, few) if os.path.exists(out) else gt.Trainer(recipe, few)
    if distributed.rank() == 0:
        print("begins at step", trainer.steps, file=sys.stderr, flush=True)
    if dies and distributed.rank():  # hooks are the first process's
        trainer.players[-1].wrap("mortal", update=lambda update: lambda batch: die(trainer.steps) or update(batch))
    trainer.run(steps=12, save=save, every=0.001, hooks=[die])
    if distributed.rank() == 0:
        save(trainer)
except distributed.PeerLost as error:
    sys.exit(str(error))
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
    assert status == 0 and began == [0, 4], words
    assert "Rank 0 lost contact with a peer; stopping" in words
    status, words, began, whole = launched(tmp_path, victim=None)
    assert status == 0 and began == [0], words
    (card, made), (whole_card, expected) = checkpoint.read(out), checkpoint.read(whole)
    assert card["step"] == whole_card["step"] == 12
    assert made.keys() == expected.keys() and all(torch.equal(made[key], expected[key]) for key in expected)


def test_a_process_that_dies_ends_the_run_and_leaves_the_file(tmp_path):
    status, words, began, out = launched(tmp_path, victim=0)
    assert status != 0 and began == [0] and "Rank 1 lost contact with a peer" in words, words
    trainer = checkpoint.resume(out, gt.data.synthetic_digits(200, seed=0))
    assert trainer.steps == 4 and len(trainer.log["critic"]["game"]) == 4
