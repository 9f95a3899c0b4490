"""The game: who learns when, what is drawn, what is logged, and what happens when something goes wrong."""

import copy
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import gan_tutorial as gt
from gan_tutorial.game import READ_EVERY


def gaussian_feed(batch_size=16, seed=0, labelled=False, n=200):
    generator = torch.Generator().manual_seed(9)
    values = torch.randn(n, 2, generator=generator)
    return gt.Feed(
        gt.Data("a Gaussian", values, torch.arange(n) % 3 if labelled else None),
        latent_dim=3,
        batch_size=batch_size,
        seed=seed,
        labelled=labelled,
    )


def networks(seed=0, **settings):
    torch.manual_seed(seed)
    return gt.MLPGenerator(3, width=16, **settings), gt.MLPCritic(width=16, **settings)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()]).clone()


def train(steps, objective=gt.nonsaturating, seed=0, **rest):
    G, C = networks(seed)
    log = gt.fit(gt.adversaries(G, C, objective, gt.adam(1e-3)), gaussian_feed(seed=seed), steps, **rest)
    return G, C, log


def descent(parameters):
    return torch.optim.SGD(parameters, lr=0.5)


def descended(net, loss):
    """The network's weights after one such step, by hand."""
    gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([(p - 0.5 * g).flatten() for p, g in zip(net.parameters(), gradients, strict=True)]).detach()


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_seed_and_number():
    one, two, other = gaussian_feed(), gaussian_feed(), gaussian_feed(seed=1)
    first = [next(one) for _ in range(3)]
    two.batches_drawn = 2  # resuming: no generator state has to be saved
    two.noise(5)
    for a, b in zip(first[2], next(two), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert not torch.equal(first[0].z, first[1].z)  # every update sees new samples …
    assert not torch.equal(first[0].z, next(other).z)  # … and every seed its own


def test_a_batch_has_the_promised_shapes_and_laws():
    data = gt.Data("numbered", torch.arange(1000.0).view(-1, 1), torch.arange(1000))
    feed = gt.Feed(data, latent_dim=4, batch_size=500, labelled=True)
    batches = [next(feed) for _ in range(40)]
    real, label, z, eps = (torch.cat(parts) for parts in list(zip(*batches, strict=True))[:4])
    assert real.shape == (20_000, 1) and z.shape == (20_000, 4) and eps.shape == label.shape == (20_000,)
    assert torch.equal(real.squeeze(1).long(), label)  # a sample keeps its label
    assert 0 <= eps.min() and eps.max() < 1 and abs(eps.mean() - 0.5) < 5 * (1 / 12 / 20_000) ** 0.5
    assert abs(z.mean()) < 5 / 80_000**0.5 and abs(z.var() - 1) < 5 * (2 / 80_000) ** 0.5
    assert len(label.unique()) == 1000  # 20 draws of each on average: one is missed with probability 2e-6
    assert next(gt.Feed(data, latent_dim=4, batch_size=5)).condition is None


def test_pictures_use_a_stream_of_their_own():
    feed, twin = gaussian_feed(), gaussian_feed()
    z = feed.noise(6)
    next(feed)
    assert z.shape == (6, 3) and torch.equal(z, feed.noise(6))
    next(twin)
    assert torch.equal(next(feed).z, next(twin).z)


def test_training_draws_nothing_from_the_global_stream():
    players = gt.adversaries(*networks(), gt.wgan_gp, gt.adam(1e-3))
    before = torch.get_rng_state()
    gt.fit(players, gaussian_feed(), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: gaussian_feed(batch_size=201), "batch size from 1 to 200"),
        (lambda: gaussian_feed(batch_size=0), "batch size from 1 to 200"),
        (lambda: gaussian_feed(batch_size=16.0), "batch size from 1 to 200"),
        (lambda: gt.Feed(torch.zeros(4, 2), latent_dim=2, batch_size=2), "draws from Data, got a Tensor"),
        (lambda: gt.Feed(gt.Data("points", torch.zeros(4, 2)), latent_dim=2, batch_size=2, labelled=True), "no labels"),
        (
            lambda: gt.Feed(gt.Data("points", torch.zeros(4, 2)), latent_dim=0, batch_size=2),
            "from 1 on, got latent_dim=0",
        ),
        *(
            (
                lambda uniforms=uniforms: gt.Feed(gt.data.ring(4), latent_dim=2, batch_size=2, uniforms=uniforms),
                "from 0 on, got uniforms",
            )
            for uniforms in (-1, 1.5, True)
        ),
    ],
)
def test_a_feed_that_cannot_be_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        gt.Feed(gt.Data("points", torch.zeros(4, 2))[:0], latent_dim=2, batch_size=1)


def doubled(batch):
    return batch._replace(real=batch.real + 100, condition=2 * batch.real[:, :1])


def test_what_prepare_makes_of_a_batch():
    """It is applied to what would have been drawn without it; pictures' noise does not pass through."""
    plain = gaussian_feed()
    feed = gt.Feed(plain.data, 3, 16, prepare=doubled)
    for _ in range(3):
        expected, batch = next(plain), next(feed)
        assert torch.equal(batch.real, expected.real + 100) and torch.equal(batch.condition, 2 * expected.real[:, :1])
        assert torch.equal(batch.z, expected.z) and torch.equal(batch.eps, expected.eps)
    assert torch.equal(feed.noise(4), plain.noise(4))


def test_a_prepared_batch_is_a_function_of_seed_and_number():
    data = gaussian_feed().data
    one, two = (gt.Feed(data, 3, 16, seed=5, prepare=doubled) for _ in range(2))
    first = [next(one) for _ in range(3)]
    two.batches_drawn = 2
    assert all(torch.equal(a, b) for a, b in zip(first[2][:4], next(two)[:4], strict=True))


def test_prepare_may_write_into_its_batch():
    """The data are not touched by it."""
    data = gaussian_feed().data
    before = data.values.clone()
    next(gt.Feed(data, 3, 16, prepare=lambda batch: batch._replace(real=batch.real.zero_())))
    assert torch.equal(data.values, before)


# --- turns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mover", [0, 1], ids=["critic", "generator"])
def test_a_player_learns_only_on_its_turn(mover):
    """Trap 5: the other network is bit-equal afterwards, and its gradients are None."""
    players = gt.adversaries(*networks(), gt.wgan_gp, gt.adam(1e-2))
    moving, resting = players[mover], players[1 - mover]
    before, still = weights(moving.net), weights(resting.net)
    moving.update(next(gaussian_feed()))
    assert torch.equal(weights(resting.net), still) and not torch.equal(weights(moving.net), before)
    assert all(p.grad is None and not p.requires_grad for net in (moving.net, resting.net) for p in net.parameters())


def test_the_critic_plays_first_and_as_often_as_its_objective_says():
    moves = []
    players = gt.adversaries(*networks(), gt.wgan_gp, gt.adam(1e-3))
    for player in players:
        update = player.update
        player.update = lambda batch, name=player.name, update=update: moves.append(name) or update(batch)
    feed = gaussian_feed()
    gt.fit(players, feed, 2)
    assert moves == 2 * (["critic"] * 5 + ["generator"]) and feed.batches_drawn == 12


def convolutional(**settings):
    torch.manual_seed(1)
    return gt.ConvGenerator(3, 8, width=2, condition=gt.OneHot(3)), gt.ConvCritic(
        8, width=2, condition=gt.OneHot(3), **settings
    )


@pytest.mark.parametrize("objective", [gt.nonsaturating, replace(gt.relativistic, penalty=gt.r1)])
def test_a_shared_batch_gives_the_gradients_of_two_forward_passes(objective):
    """Bit for bit, and the generator runs once a step; its weights have no gradient on the critic's turn."""
    batch, after = image_batch(), []
    for share in (False, True):
        G, C = convolutional()
        runs, players = [], gt.adversaries(G, C, objective, descent, share_batch=share)
        G.register_forward_hook(lambda *_, runs=runs: runs.append(1))
        for _ in range(2):
            players[0].update(batch)
            assert all(p.grad is None and not p.requires_grad for p in G.parameters())
            players[1].update(batch)
        assert len(runs) == (2 if share else 4)
        after.append((weights(G), weights(C)))
    assert all(torch.equal(a, b) for a, b in zip(*after, strict=True))


def test_shared_samples_are_not_used_once_they_are_stale():
    """Another batch, other weights, another mode, a second look: each makes samples of its own."""
    G, C = convolutional()
    critic, generator = gt.adversaries(G, C, gt.nonsaturating, descent, share_batch=True)
    runs, batch = [], image_batch()
    G.register_forward_hook(lambda *_: runs.append(1))

    def runs_after(change=lambda: None, batch_of_generator=batch):
        critic.loss(batch)
        change()
        runs.clear()
        loss = generator.loss(batch_of_generator)["game"]
        expected = gt.nonsaturating.generator(C(G(*batch_of_generator[2:0:-1]), batch_of_generator.condition))
        torch.testing.assert_close(loss, expected)
        return len(runs) - 1

    assert runs_after() == 0
    assert runs_after(batch_of_generator=image_batch()) == 1
    assert runs_after(batch_of_generator=batch._replace(condition=batch.condition.flip(0))) == 1
    with torch.no_grad():
        assert runs_after(lambda: next(G.parameters()).mul_(2)) == 1
    assert runs_after(lambda: G.eval()) == 1
    assert runs_after(lambda: generator.loss(batch)) == 1


def test_batchnorm_counts_a_shared_batch_once():
    """Also where the samples have to be made twice; and a loss that nobody shared with counts its own."""
    G, C = convolutional()
    critic, generator = gt.adversaries(G, C, gt.nonsaturating, descent, share_batch=True)
    batch, statistics = image_batch(), lambda: {name: b.clone() for name, b in G.named_buffers()}
    critic.loss(batch)
    once = statistics()
    with torch.no_grad():
        next(G.parameters()).mul_(2)  # the samples are stale
    generator.loss(batch)
    assert once and all(torch.equal(once[name], value) for name, value in statistics().items())
    assert all(m.track_running_stats for m in G.modules() if isinstance(m, torch.nn.BatchNorm2d))
    generator.loss(batch)
    assert not any(torch.equal(once[name], value) for name, value in statistics().items())


def test_who_shares_gets_the_last_batch_of_the_player_before():
    seen, players = [], gt.adversaries(*networks(), gt.wgan_gp, gt.adam(1e-3), share_batch=True)
    for player in players:
        player.wrap("seen", update=lambda update: lambda batch: seen.append(batch.z) or update(batch))
    feed, again = gaussian_feed(), gaussian_feed()
    gt.fit(players, feed, 2)
    expected = [next(again).z for _ in range(10)]
    expected = [*expected[:5], expected[4], *expected[5:], expected[9]]
    assert feed.batches_drawn == 10 and all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_a_batch_that_cannot_be_shared_is_refused():
    critic, generator = gt.adversaries(*networks(), gt.nonsaturating, gt.adam(1e-3), share_batch=True)
    with pytest.raises(ValueError, match="comes first"):
        gt.fit([generator, critic], gaussian_feed(), 1)
    with pytest.raises(ValueError, match="one update"):
        gt.Player("a", critic.net, critic.loss, critic.optimizer, updates=2, share_batch=True)


def test_fit_is_the_loop_that_one_would_write_by_hand():
    """An independent loop, with detach and zero_grad as tutorials have them: the same weights, bit for bit."""
    G, C, _ = train(20)
    G2, C2 = networks()
    opt_C, opt_G = (torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (C2, G2))
    feed = gaussian_feed()
    for _ in range(20):
        batch = next(feed)
        opt_C.zero_grad()
        real, fake = C2(batch.real), C2(G2(batch.z).detach())
        (nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()).backward()
        opt_C.step()
        batch = next(feed)
        opt_G.zero_grad()
        nn.functional.softplus(-C2(G2(batch.z))).mean().backward()
        opt_G.step()
    assert torch.equal(weights(G), weights(G2)) and torch.equal(weights(C), weights(C2))


def test_gradients_from_before_the_game_play_no_part():
    """Chapter 1's loop by hand leaves gradients in the critic; a game with the same networks must not add them."""
    expected, _, _ = train(3)
    G, C = networks()
    C(G(torch.randn(4, 3))).sum().backward()
    gt.fit(gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3)), gaussian_feed(), 3)
    assert torch.equal(weights(G), weights(expected))


def test_weights_that_the_optimiser_does_not_hold_stay_as_they_are():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    player = gt.Player(
        "one", net, lambda batch: {"error": net(batch.z).square().mean()}, torch.optim.SGD(net[1].parameters(), 0.1)
    )
    first, second = weights(net[0]), weights(net[1])
    player.update(next(gaussian_feed()))
    assert torch.equal(weights(net[0]), first) and not torch.equal(weights(net[1]), second)
    assert all(p.grad is None for p in net.parameters())


def test_the_sum_of_the_terms_is_minimised():
    """Two linear terms: the step is against the sum of both gradients."""
    net = nn.Linear(2, 1, bias=False)
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[10.0, -3.0]])
    before = net.weight.detach().clone()
    player = gt.Player(
        "one",
        net,
        lambda batch: {"game": (net.weight * a).sum(), "penalty": (net.weight * b).sum()},
        torch.optim.SGD(net.parameters(), 0.1),
    )
    terms = player.update(None)
    torch.testing.assert_close(net.weight.detach(), before - 0.1 * (a + b))
    assert not terms["game"].requires_grad  # or the log would keep every step's graph


def test_the_penalty_gets_the_batch_and_the_fake_samples():
    seen = []

    def penalty(critic, real, fake, eps):
        seen.append((real, fake, eps))
        return critic(real).sum() * 0

    G, C = networks()
    batch = next(gaussian_feed())
    objective = gt.Objective(gt.hinge.critic, gt.hinge.generator, penalty)
    gt.adversaries(G, C, objective, gt.adam(1e-3))[0].update(batch)
    ((real, fake, eps),) = seen
    assert real is batch.real and eps is batch.eps and torch.equal(fake, gt.sample(G, batch.z))


def test_training_happens_in_training_mode():
    G, C = networks()
    G.layers.insert(1, nn.BatchNorm1d(16))
    G.eval()
    gt.fit(gt.adversaries(G, C, gt.hinge, gt.adam(1e-3)), gaussian_feed(), 2)
    assert G.training and G.layers[1].num_batches_tracked == 4


def test_batches_are_drawn_with_replacement():
    data = gt.Data("numbered", torch.arange(50.0).view(-1, 1), torch.arange(50))
    assert (
        len(next(gt.Feed(data, latent_dim=1, batch_size=50, labelled=True)).condition.unique()) < 50
    )  # else with odds 50!/50^50


def test_real_and_fake_samples_go_through_the_critic_apart():
    """Trap 6: BatchNorm would give other scores if they came in one batch."""
    sizes = []
    G, C = networks()
    C.register_forward_hook(lambda module, inputs, scores: sizes.append(len(inputs[0])))
    gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3))[0].update(next(gaussian_feed()))
    assert sizes == [16, 16]


def test_batch_norm_under_a_penalty_is_refused():
    G, C = networks()
    C.layers.insert(2, nn.BatchNorm1d(16))
    with pytest.raises(ValueError, match="BatchNorm couples the samples"):
        gt.adversaries(G, C, gt.wgan_gp, gt.adam(1e-3))
    gt.adversaries(G, C, gt.wasserstein, gt.adam(1e-3))  # without a penalty it may be there


class Conditional(nn.Module):
    """A network that concatenates its label, and fails without one."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x, condition=None):
        if condition is None:
            raise ValueError("this network needs labels")
        self.seen.append(condition)
        return self.net(torch.cat([x, condition[:, None].float()], 1))


def conditional_networks():
    return Conditional(gt.MLPGenerator(4, width=16)), Conditional(gt.MLPCritic((3,), width=16))


def test_every_call_of_an_update_gets_the_labels_of_its_batch():
    """Trap 12: the real, the fake and the penalty's points of one update carry one set of labels."""
    G, C = conditional_networks()
    critic, generator = gt.adversaries(G, C, gt.wgan_gp, gt.adam(1e-3))
    batch = next(gaussian_feed(labelled=True))
    critic.update(batch)
    assert len(C.seen) == 3 and len(G.seen) == 1
    generator.update(batch)
    assert all(torch.equal(label, batch.condition) for label in C.seen + G.seen)


def test_labels_decide_what_is_drawn():
    G, _ = conditional_networks()
    z = torch.randn(4, 3)
    assert not torch.equal(gt.sample(G, z, torch.zeros(4)), gt.sample(G, z, torch.ones(4)))


def test_labels_at_the_wrong_place_are_refused():
    with pytest.raises(ValueError, match="takes no condition"):
        gt.fit(gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3)), gaussian_feed(labelled=True), 1)
    with pytest.raises(ValueError, match="needs labels"):
        gt.fit(gt.adversaries(*conditional_networks(), gt.hinge, gt.adam(1e-3)), gaussian_feed(), 1)


def test_samples_of_another_shape_than_the_data_are_refused():
    G, C = gt.MLPGenerator(3, shape=(3,)), gt.MLPCritic()
    with pytest.raises(ValueError, match=r"\(16, 3\), but real samples are .*\(16, 2\)"):
        gt.fit(gt.adversaries(G, C, gt.hinge, gt.adam(1e-3)), gaussian_feed(), 1)
    G, C = networks()
    with pytest.raises(ValueError, match="float64"):
        gt.fit(
            gt.adversaries(G.double(), C, gt.hinge, gt.adam(1e-3)),
            (b._replace(z=b.z.double()) for b in gaussian_feed()),
            1,
        )


def test_an_optimiser_over_the_other_network_is_refused():
    G, C = networks()
    with pytest.raises(ValueError, match="weights of another network"):
        gt.Player("critic", C, lambda batch: {}, torch.optim.SGD(G.parameters(), 0.1))


def test_a_game_with_one_player():
    """A least-squares fit to the mean of the data, whose minimum is known."""
    net = nn.Linear(3, 2)
    feed = gaussian_feed()
    player = gt.Player(
        "mean",
        net,
        lambda batch: {"error": (net(0 * batch.z) - batch.real).square().mean()},
        torch.optim.SGD(net.parameters(), 0.1),
    )
    log = gt.fit([player], feed, 400)
    assert list(log) == ["mean"] and log["mean"]["error"].shape == (400,)
    torch.testing.assert_close(net.bias.detach(), feed.data.values.mean(0), atol=0.3, rtol=0)


# --- seeds and history -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="bit-equality is promised on a CPU")
def test_one_seed_gives_bit_equal_weights():
    (G, C, log), (G2, C2, log2), (G3, _, _) = train(15), train(15), train(15, seed=1)
    assert torch.equal(weights(G), weights(G2)) and torch.equal(weights(C), weights(C2))
    assert torch.equal(log["critic"]["game"], log2["critic"]["game"])
    assert not torch.equal(weights(G), weights(G3))


def test_two_halves_make_a_whole():
    G, C, log = train(12)
    G2, C2 = networks()
    players, feed = gt.adversaries(G2, C2, gt.nonsaturating, gt.adam(1e-3)), gaussian_feed()
    logs = [gt.fit(players, feed, 5), gt.fit(players, feed, 7)]
    assert torch.equal(weights(G), weights(G2)) and torch.equal(weights(C), weights(C2))
    assert torch.equal(torch.cat([part["critic"]["game"] for part in logs]), log["critic"]["game"])


@pytest.mark.parametrize("steps", [0, 1, READ_EVERY - 1, READ_EVERY, 2 * READ_EVERY + 3])
def test_the_log_holds_every_step_once(steps):
    seen = []
    _, _, log = train(
        steps, gt.wgan_gp if steps < 5 else gt.hinge, hooks=[lambda step, log: seen.append((step, log.steps))]
    )
    assert seen == [(step, step + 1) for step in range(steps)] and log.steps == steps
    if steps:
        assert list(log) == ["critic", "generator"] and len(log) == 2
        assert all(values.shape == (steps,) for terms in log.values() for values in terms.values())


def test_the_log_names_the_terms_of_the_objective():
    _, _, log = train(3, gt.wgan_gp)
    assert set(log["critic"]) == {"game", "penalty"} and set(log["generator"]) == {"game"}


def test_reading_the_log_in_a_hook_changes_nothing():
    _, _, plain = train(7)
    _, _, read = train(7, hooks=[lambda step, log: log["critic"]["game"]])
    assert torch.equal(plain["critic"]["game"], read["critic"]["game"])


# --- when something goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_training_with_step_player_and_causes(value):
    G, C = networks()
    players = gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3))
    loss, calls = players[1].loss, []

    def spoilt(batch):
        calls.append(None)
        terms = loss(batch)
        return {**terms, "extra": terms["game"] * (value if len(calls) - 1 == 130 else 0)}

    players[1].wrap("spoilt", loss=lambda loss: spoilt)
    with pytest.raises(gt.NonFiniteLoss, match="Step 130: the generator's term 'extra'.*learning rate") as caught:
        gt.fit(players, gaussian_feed(), 1000)
    assert len(calls) == 2 * READ_EVERY  # found at the next reading, no later
    assert caught.value.log["critic"]["game"][:130].isfinite().all()


def test_of_one_step_the_first_mover_is_blamed():
    G, C = networks()
    with torch.no_grad():
        next(C.parameters()).fill_(float("nan"))
    with pytest.raises(gt.NonFiniteLoss, match="Step 0: the critic's term 'game'"):
        gt.fit(gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3)), gaussian_feed(), 3)


def test_a_loop_over_turns_is_fit_and_may_end_when_it_likes():
    G, C = networks()
    game = gt.turns(gt.adversaries(G, C, gt.wgan_gp, gt.adam(1e-3)), gaussian_feed())
    for step in range(100):
        terms = next(game)
        if step == 4:
            break
    G5, C5, log = train(5, gt.wgan_gp)
    assert torch.equal(weights(G), weights(G5)) and torch.equal(weights(C), weights(C5))
    assert {player: list(own) for player, own in terms.items()} == {
        "critic": ["game", "penalty"],
        "generator": ["game"],
    }
    assert terms["critic"]["penalty"] == log["critic"]["penalty"][4]


def test_turns_refuses_at_once_and_touches_no_network_before_the_first_step():
    player = gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3))[0]
    for players, feed, words in (([player, player], gaussian_feed(), "different names"), ([player], [], "endless")):
        with pytest.raises(ValueError, match=words):
            gt.turns(players, feed)
    player.net.eval()
    game = gt.turns([player], gaussian_feed())
    assert not player.net.training
    next(game)
    assert player.net.training


def test_an_interrupt_ends_everything_and_keeps_what_was_learned():
    """Also a loop of trainings: the next one does not start."""

    def stop(step, log):
        if step == 4:
            raise KeyboardInterrupt

    G, C = networks()
    started = []
    with pytest.raises(gt.Interrupted, match="after 5 of 100 steps") as caught:
        for seed in range(3):
            started.append(seed)
            gt.fit(gt.adversaries(G, C, gt.nonsaturating, gt.adam(1e-3)), gaussian_feed(), 100, hooks=[stop])
    assert isinstance(caught.value, KeyboardInterrupt) and started == [0]
    log = caught.value.log
    assert log.steps == 5 and log["generator"]["game"].shape == (5,)
    G2, C2, _ = train(5)
    assert torch.equal(weights(G), weights(G2)) and torch.equal(weights(C), weights(C2))


def test_an_interrupt_inside_an_update_leaves_the_network_frozen_and_without_gradients():
    net = nn.Linear(3, 2)

    def loss(batch):
        net(batch.z).sum().backward()
        raise KeyboardInterrupt

    with pytest.raises(gt.Interrupted) as caught:
        gt.fit([gt.Player("one", net, loss, torch.optim.SGD(net.parameters(), 0.1))], gaussian_feed(), 3)
    assert caught.value.log.steps == 0
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())


def test_a_loop_of_whole_trainings_ends_with_the_first_that_is_interrupted():
    """Ctrl-C as it comes, by its signal: no second training begins, and the first one's model is handed over."""
    data, started = gt.Data("few", torch.randn(100, 2, generator=torch.Generator().manual_seed(0))), []

    def press(step, log):
        if step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(gt.Interrupted, match="after 3 steps") as caught:
        for seed in range(3):
            started.append(seed)
            gt.recipes.MLP.train(data, steps=50, seed=seed, hooks=[press])
    assert started == [0] and caught.value.model.steps == 3
    assert torch.equal(caught.value.model.sample(4), gt.recipes.MLP.train(data, steps=3, seed=0).sample(4))


@pytest.mark.parametrize("batch", [[torch.zeros(4, 1), torch.zeros(4)], torch.zeros(4, 1), {"x": 1}, (1, 2)], ids=type)
def test_a_feed_that_gives_no_batches_gets_a_sentence(batch):
    """As a DataLoader does, of lists."""
    players = gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3))
    words = rf"Expected batches with real, condition, z and eps, and the feed gave a {type(batch).__name__} without z"
    with pytest.raises(ValueError, match=words):
        gt.fit(players, iter([batch]), 1)
    assert all(not p.requires_grad for p in players[0].net.parameters())


def test_other_batches_are_for_losses_of_ones_own_and_their_faults_stay_their_own():
    net = nn.Linear(1, 1)

    def player(loss):
        return gt.Player("one", net, loss, torch.optim.SGD(net.parameters(), 0.1))

    own = player(lambda batch: {"game": net(batch[0]).mean()})
    assert len(gt.fit([own], iter([[torch.ones(4, 1)]]), 1)["one"]["game"]) == 1
    for loss, words in ((lambda batch: {"game": net.z}, "Linear"), (lambda batch: batch.labels, "labels")):
        with pytest.raises(AttributeError, match=words):
            gt.fit([player(loss)], iter([[torch.ones(4, 1)]]), 1)


@pytest.mark.parametrize("n", [-1, 2.0, "3", True, None])
def test_noise_is_asked_for_in_whole_rows(n):
    with pytest.raises(ValueError, match=r"whole number of rows of noise from 0 on, such as .*, got"):
        gaussian_feed().noise(n)
    assert gaussian_feed().noise(np.int64(3)).shape[0] == 3 and len(gaussian_feed().noise(0)) == 0


def test_fit_refuses_what_it_cannot_play():
    player = gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3))[0]
    for players, feed, steps, words in [
        ([player], gaussian_feed(), -1, "from 0 on, got -1"),
        ([player], gaussian_feed(), 1.5, "from 0 on, got 1.5"),
        ([player], gaussian_feed(), True, "from 0 on, got True"),
        ([player, player], gaussian_feed(), 1, "different names"),
        ([], gaussian_feed(), 1, "different names"),
        ([player], torch.utils.data.DataLoader(range(3)), 1, "endless iterator of batches.*DataLoader"),
        ([player], iter([next(gaussian_feed())]), 2, "no more batches"),
    ]:
        with pytest.raises(ValueError, match=words):
            gt.fit(players, feed, steps)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"updates": 0}, "from 1 on for one, got 0"),
        ({"updates": 1.5}, "from 1 on for one, got 1.5"),
        ({"updates": True}, "from 1 on for one, got True"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS evaluates"),
    ],
)
def test_a_player_that_cannot_be_is_refused(change, words):
    net = nn.Linear(3, 2)
    optimizer = change.pop("optimizer", torch.optim.SGD)(net.parameters(), 0.1)
    with pytest.raises(ValueError, match=words):
        gt.Player("one", net, lambda batch: {"game": net(batch.z).mean()}, optimizer, **change)


class Odd(nn.Linear):
    """A network that returns what it should not."""

    def __init__(self, made):
        super().__init__(3, 1)
        self.made = made

    def forward(self, x, condition=None):
        return self.made(super().forward(x).squeeze(1))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda scores: None, "Expected scores.*NoneType"),
        (lambda scores: (scores, scores), "Expected scores.*tuple"),
        (lambda scores: scores[:-1], "one score for each of 16 samples from the critic, got 15"),
    ],
)
def test_a_critic_that_gives_no_scores_is_refused(made, words):
    data = gt.Data("points", torch.randn(50, 3))
    G = gt.MLPGenerator(3, (3,))
    critic, _ = gt.adversaries(G, Odd(made), gt.hinge, gt.adam(1e-3))
    with pytest.raises(ValueError, match=words):
        critic.update(next(gt.Feed(data, 3, 16)))


# --- wrappers, schedules, several penalties, two optimisers -----------------------------------------------------------


def test_wrappers_lie_around_one_another_in_the_order_of_the_list():
    calls = []

    def around(name):
        def wrapper(function):
            def wrapped(batch):
                calls.append(name)
                return function(batch)

            return wrapped

        return wrapper

    _, player = gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3))
    player.wrap("inner loss", loss=around("inner loss"))
    player.wrap("update", update=around("update"))
    player.wrap("outer loss", loss=around("outer loss"))
    player.wrap("clipping", gradients=lambda gradients: calls.append(len(gradients)))
    player.update(next(gaussian_feed()))
    assert calls == ["update", "outer loss", "inner loss", len(player.weights)]
    assert player.wrappers == ["inner loss", "update", "outer loss", "clipping"]
    assert "inner loss < update < outer loss < clipping" in repr(player)
    with pytest.raises(AttributeError):  # a loss replaced from outside would be passed over
        player.loss = None


def test_what_is_done_to_gradients_is_what_the_optimiser_takes():
    """Halved gradients are a halved learning rate for SGD."""
    made = []
    for lr, factor in ((0.1, 1.0), (0.2, 0.5)):
        net = nn.Linear(3, 2, bias=False)
        nn.init.ones_(net.weight)
        player = gt.Player(
            "one", net, lambda b, net=net: {"game": net(b.z).square().mean()}, torch.optim.SGD(net.parameters(), lr)
        )
        player.wrap("scaled", gradients=lambda gradients, factor=factor: [g.mul_(factor) for g in gradients])
        player.update(next(gaussian_feed()))
        made.append(net.weight)
    torch.testing.assert_close(*made)


def test_a_schedule_multiplies_the_learning_rate_of_each_step():
    """SGD on a linear loss moves by lr times the slope: with n updates a turn, each step has n moves of one length."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    player = gt.Player(
        "one",
        net,
        lambda batch: {"game": net(torch.ones(1, 1)).sum()},
        torch.optim.SGD(net.parameters(), 0.5),
        updates=2,
        lr_schedule=lambda step: 1 / (1 + step),
    )
    places = []
    gt.fit([player], gaussian_feed(), 3, hooks=[lambda step, log: places.append(net.weight.item())])
    assert places == pytest.approx([-1, -1 - 1 / 2, -1 - 1 / 2 - 1 / 3])
    player.updates_done = 2 * 9  # all that resuming needs
    player.update(None)
    assert player.optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_term_weights_change_the_sum_that_is_minimised_and_what_is_logged():
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    player = gt.Player(
        "one",
        net,
        lambda batch: {"game": net.weight.sum(), "penalty": 2 * net.weight.sum() + 3},
        torch.optim.SGD(net.parameters(), 1.0),
        term_weights={"penalty": lambda step: step},
    )
    log = gt.fit([player], gaussian_feed(), 3)  # slopes 1, 1 + 2, 1 + 4
    assert net.weight.item() == -9
    assert log["one"]["penalty"].tolist() == [0, 1 * (2 * -1 + 3), 2 * (2 * -4 + 3)]
    player.term_weights["absent"] = lambda step: 1
    with pytest.raises(ValueError, match="no term 'absent' to weight, only"):
        player.update(None)


def test_several_penalties_are_named_and_logged_apart():
    """f(x) = |x|²/2 has the slope x: R1 is half the mean square of real samples, R2 that of the fake ones."""

    class Bowl(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x, condition=None):
            return self.scale * x.square().sum(1) / 2

    G, _ = networks()
    both = replace(gt.relativistic, penalty={"r1": gt.r1, "r2": partial(gt.r2, weight=3.0)})
    critic, generator = gt.adversaries(G, Bowl(), both, gt.adam(1e-3))
    batch = next(gaussian_feed())
    fake = gt.sample(G, batch.z)
    terms = critic.loss(batch)
    assert list(terms) == ["game", "r1", "r2"]
    torch.testing.assert_close(terms["r1"], batch.real.square().sum(1).mean() / 2)
    torch.testing.assert_close(terms["r2"], 3 * fake.square().sum(1).mean() / 2)


def test_a_relativistic_generator_sees_real_scores():
    """Jolicoeur-Martineau 2019, by hand: both players minimise softplus of minus their own lead in a pair."""
    G, C = networks()
    critic, generator = gt.adversaries(G, C, gt.relativistic, gt.adam(1e-3))
    batch = next(gaussian_feed())
    with torch.no_grad():
        lead = C(batch.real) - C(G(batch.z))
        torch.testing.assert_close(critic.loss(batch)["game"], (1 + (-lead).exp()).log().mean())
        torch.testing.assert_close(generator.loss(batch)["game"], (1 + lead.exp()).log().mean())


def test_two_learning_rates():
    G, C = networks()
    critic, generator = gt.adversaries(G, C, gt.hinge, gt.adam(1e-4), critic_optimizer=gt.adam(4e-4))
    assert critic.optimizer.defaults["lr"] == 4e-4 and generator.optimizer.defaults["lr"] == 1e-4


def test_an_augmentation_is_what_the_critic_sees_of_real_and_fake_and_the_penalty_too():
    """Moving all samples by the same vector is judging by a critic that is moved the other way."""

    class Move:
        uniforms = 2

        def __call__(self, x, u):
            return x + u

    class Moved(nn.Module):
        def __init__(self, net, by):
            super().__init__()
            self.net, self.by = net, by

        def forward(self, x, condition=None):
            return self.net(x + self.by)

    G, C = networks()
    feed = gt.Feed(gaussian_feed().data, 3, 16, uniforms=4)
    batch = next(feed)
    assert batch.u.shape == (16, 4) and 0 <= batch.u.min() and batch.u.max() < 1
    batch = batch._replace(u=torch.full_like(batch.u, 0.3))
    objective = replace(gt.relativistic, penalty={"gp": gt.gradient_penalty, "r1": gt.r1})
    mine = gt.adversaries(G, C, objective, gt.adam(1e-3), augment=Move())
    theirs = gt.adversaries(G, Moved(C, 0.3), objective, gt.adam(1e-3))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.loss(batch), b.loss(batch))
    with pytest.raises(ValueError, match="uniforms=4"):
        mine[0].loss(batch._replace(u=None))


def test_uniforms_and_flips_change_nothing_else_that_is_drawn():
    images = gt.Data("images", (torch.rand(40, 1, 4, 6) * 255).byte())
    plain, more = gt.Feed(images, 3, 20), gt.Feed(images, 3, 20, flip=True, uniforms=5)
    for _ in range(3):
        a, b = next(plain), next(more)
        assert torch.equal(a.z, b.z) and torch.equal(a.eps, b.eps)
        same = (a.real == b.real).flatten(1).all(1)
        mirrored = (a.real.flip(3) == b.real).flatten(1).all(1)
        assert (same | mirrored).all() and same.any() and mirrored.any()
    with pytest.raises(ValueError, match="Only images"):
        gt.Feed(gt.Data("points", torch.zeros(4, 2)), 3, 2, flip=True)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda net, z: net(z).mean(), "named scalars"),
        (lambda net, z: {}, "named scalars"),
        (lambda net, z: {"game": 1.0}, "named scalars"),
        (lambda net, z: {"game": net(z)[:, 0]}, "named scalars"),
        (lambda net, z: {"game": net(z).mean().view(1)}, "named scalars"),
        (lambda net, z: {"game": z.mean()}, "does not depend on the weights"),
    ],
)
def test_a_loss_that_cannot_be_minimised_is_refused(loss, words):
    net = nn.Linear(3, 2)
    before = weights(net)
    player = gt.Player("one", net, lambda batch: loss(net, batch.z), torch.optim.SGD(net.parameters(), 0.1))
    with pytest.raises(ValueError, match=f"one .*{words}"):
        player.update(next(gaussian_feed()))
    assert torch.equal(weights(net), before)


def test_a_bare_loss_with_weighted_terms_is_refused_as_without():
    net = nn.Linear(3, 2)
    player = gt.Player(
        "one",
        net,
        lambda batch: net(batch.z).mean(),
        torch.optim.SGD(net.parameters(), 0.1),
        term_weights={"game": lambda step: 1.0},
    )
    with pytest.raises(ValueError, match="one must return named scalars"):
        player.update(next(gaussian_feed()))


@pytest.mark.parametrize("when", [3, READ_EVERY + 3])
@pytest.mark.parametrize("change", [{}, {"game": 0, "penalty": 0}, {"other": 0}])
def test_terms_that_come_and_go_are_refused(when, change):
    players = gt.adversaries(*networks(), gt.hinge, gt.adam(1e-3))
    loss, calls = players[0].loss, []

    def moody(batch):
        calls.append(None)
        terms = loss(batch)
        return {name: terms["game"] for name in change or ("penalty",)} if len(calls) > when else terms

    players[0].wrap("moody", loss=lambda loss: moody)
    with pytest.raises(ValueError, match=f"Step {when}: .*the same terms at every step"):
        gt.fit(players, gaussian_feed(), when + 5)


def test_an_interrupt_while_the_log_is_read_loses_nothing(monkeypatch):
    stack, calls = torch.stack, []

    def interrupted(tensors):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return stack(tensors)

    monkeypatch.setattr(torch, "stack", interrupted)
    with pytest.raises(gt.Interrupted) as caught:
        train(READ_EVERY + 50)
    log = caught.value.log
    assert log.steps == READ_EVERY
    assert all(values.shape == (READ_EVERY,) for terms in log.values() for values in terms.values())


def test_an_optimiser_instead_of_a_function_is_refused():
    G, C = networks()
    with pytest.raises(ValueError, match="function of parameters"):
        gt.adversaries(G, C, gt.hinge, torch.optim.Adam(G.parameters()))


def test_adam_takes_whole_numbers_as_betas():
    net = nn.Linear(1, 1)
    assert gt.adam(1e-3, (0, 0.9))(net.parameters()).defaults["betas"] == (0.0, 0.9)  # trap 16


# --- constraints -----------------------------------------------------------------------------------------------------


def test_a_constraint_comes_after_every_update_of_the_critic_and_only_there():
    """It gets all the critic's weights, after the optimiser moved them, outside of any graph."""
    G, C = networks()
    moments = []

    def constraint(weights):
        moments.append(("constraint", [id(w) for w in weights], torch.is_grad_enabled()))

    players = gt.adversaries(G, C, replace(gt.hinge, n_critic=3, constraint=constraint), gt.adam(1e-3))
    for player in players:
        player.optimizer.register_step_post_hook(lambda *_, name=player.name: moments.append((name,)))
    gt.fit(players, gaussian_feed(), 2)
    applied = ("constraint", [id(p) for p in C.parameters()], False)
    assert moments == 2 * (3 * [("critic",), applied] + [("generator",)])


def test_clipping_holds_the_critic_and_leaves_the_generator_free():
    G, C = networks()
    gt.fit(gt.adversaries(G, C, gt.wgan, gt.adam(1e-2)), gaussian_feed(), 3)
    assert weights(C).abs().max() == torch.tensor(0.01) and weights(G).abs().max() > 0.1


def test_a_player_of_ones_own_may_be_constrained():
    net = nn.Linear(3, 2)
    player = gt.Player(
        "one",
        net,
        lambda batch: {"game": -net(batch.z).sum()},
        descent(net.parameters()),
        constraint=lambda weights: [w.fill_(7) for w in weights],
    )
    player.update(next(gaussian_feed()))
    assert (weights(net) == 7).all() and not any(p.requires_grad for p in net.parameters())


def test_wgan_is_its_algorithm():
    """Arjovsky et al. 2017, algorithm 1, by hand with RMSprop: the same weights, bit for bit."""
    rmsprop = lambda parameters: torch.optim.RMSprop(parameters, lr=5e-5)  # noqa: E731
    G, C = networks()
    gt.fit(gt.adversaries(G, C, gt.wgan, rmsprop), gaussian_feed(), 4)
    G2, C2 = networks()
    opt_C, opt_G, feed = rmsprop(C2.parameters()), rmsprop(G2.parameters()), gaussian_feed()
    for _ in range(4):
        for _ in range(5):
            batch = next(feed)
            opt_C.zero_grad()
            (-(C2(batch.real).mean() - C2(G2(batch.z).detach()).mean())).backward()
            opt_C.step()
            for p in C2.parameters():
                p.data = p.data.clip(-0.01, 0.01)
        batch = next(feed)
        opt_G.zero_grad()
        (-C2(G2(batch.z)).mean()).backward()
        opt_G.step()
    assert torch.equal(weights(C), weights(C2)) and torch.equal(weights(G), weights(G2))


# --- extra terms -----------------------------------------------------------------------------------------------------


def test_extra_terms_are_added_to_the_loss_of_their_player():
    """One step of descent for each player, against the gradient of a sum written by hand."""
    G, C = networks()
    critic, generator = gt.adversaries(
        G,
        C,
        gt.nonsaturating,
        descent,
        lambda batch, fake: {"a": 3 * C(fake).square().mean(), "b": C(batch.real).mean()},
        lambda batch, fake: {"c": (fake - batch.real).square().mean()},
    )
    batch, softplus = next(gaussian_feed()), nn.functional.softplus

    G2, C2 = networks()
    real, fake = C2(batch.real), C2(G2(batch.z).detach())
    expected = descended(C2, softplus(-real).mean() + softplus(fake).mean() + 3 * fake.square().mean() + real.mean())
    terms = critic.update(batch)
    torch.testing.assert_close(weights(C), expected)
    assert list(terms) == ["game", "a", "b"]
    torch.testing.assert_close(terms["a"], 3 * fake.square().mean().detach())

    C2.load_state_dict(C.state_dict())
    fake = G2(batch.z)
    expected = descended(G2, softplus(-C2(fake)).mean() + (fake - batch.real).square().mean())
    assert list(generator.update(batch)) == ["game", "c"]
    torch.testing.assert_close(weights(G), expected)


def test_extra_terms_get_the_samples_that_the_game_judges():
    """Without a graph in the critic's turn, with one in the generator's; each term has its line in the log."""
    seen, judged = [], []
    G, C = networks()
    C.register_forward_hook(lambda module, inputs, scores: judged.append(inputs[0]))

    def terms(batch, fake):
        seen.append((batch, fake, judged[-1]))
        return {"nothing": fake.sum() * 0}

    players = gt.adversaries(G, C, gt.hinge, gt.adam(1e-3), terms, terms)
    feed = gaussian_feed()
    batches = [next(feed) for _ in range(2)]
    log = gt.fit(players, iter(batches), 1)
    assert all(batch is drawn and fake is at for (batch, fake, at), drawn in zip(seen, batches, strict=True))
    assert [fake.requires_grad for _, fake, _ in seen] == [False, True]
    assert [list(log[player]) for player in log] == [["game", "nothing"]] * 2


def test_a_penalty_and_extra_terms_stand_beside_each_other():
    players = gt.adversaries(*networks(), gt.wgan_gp, gt.adam(1e-3), lambda batch, fake: {"more": fake.sum() * 0})
    log = gt.fit(players, gaussian_feed(), 1)
    assert list(log["critic"]) == ["game", "penalty", "more"] and list(log["generator"]) == ["game"]


@pytest.mark.parametrize(
    ("objective", "whose", "more", "words"),
    [
        (gt.hinge, "critic_terms", lambda x: {"game": x}, r"names than the objective's own, \['game'\].*\['game'\]"),
        (gt.hinge, "generator_terms", lambda x: {"game": x, "more": x}, r"\['game'\].*\['game', 'more'\]"),
        (gt.wgan_gp, "critic_terms", lambda x: {"penalty": x}, r"\['game', 'penalty'\].*\['penalty'\]"),
        (gt.hinge, "generator_terms", lambda x: x, "named scalars.*not a Tensor"),
        (gt.hinge, "critic_terms", lambda x: {"more": torch.stack([x, x])}, "critic must return named scalars"),
    ],
)
def test_extra_terms_without_a_name_of_their_own_are_refused(objective, whose, more, words):
    terms = {whose: lambda batch, fake: more(fake.mean())}
    with pytest.raises(ValueError, match=words):
        gt.fit(gt.adversaries(*networks(), objective, gt.adam(1e-3), **terms), gaussian_feed(), 1)


class Guessing(nn.Module):
    """A critic that does not look at the label, and has a second last layer which guesses it."""

    def __init__(self):
        super().__init__()
        self.body, self.score, self.guess = nn.Linear(2, 8), nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, x, condition=None):
        return self.score(self.body(x).relu()).squeeze(1)

    def error(self, x, label):
        return nn.functional.cross_entropy(self.guess(self.body(x).relu()), label)


def test_a_critic_that_guesses_labels():
    """AC-GAN (Odena et al. 2017): both players minimise the cross-entropy of the guesses; by a loop of our own."""

    def build():
        torch.manual_seed(0)
        return gt.MLPGenerator(3, width=8, condition=gt.OneHot(3)), Guessing()

    G, C = build()
    players = gt.adversaries(
        G,
        C,
        gt.nonsaturating,
        descent,
        lambda batch, fake: {"class": C.error(batch.real, batch.condition) + C.error(fake, batch.condition)},
        lambda batch, fake: {"class": C.error(fake, batch.condition)},
    )
    gt.fit(players, gaussian_feed(labelled=True), 3)

    (G2, C2), feed, softplus = build(), gaussian_feed(labelled=True), nn.functional.softplus
    for _ in range(3):
        real, label, z, *_ = next(feed)
        fake = G2(z, label).detach()
        game = softplus(-C2(real)).mean() + softplus(C2(fake)).mean()
        moved = descended(C2, game + C2.error(real, label) + C2.error(fake, label))
        nn.utils.vector_to_parameters(moved, C2.parameters())
        _, label, z, *_ = next(feed)
        fake = G2(z, label)
        moved = descended(G2, softplus(-C2(fake)).mean() + C2.error(fake, label))
        nn.utils.vector_to_parameters(moved, G2.parameters())
    torch.testing.assert_close(weights(C), weights(C2))
    torch.testing.assert_close(weights(G), weights(G2))


# --- conditional and normalised critics ------------------------------------------------------------------------------


def image_batch():
    generator = torch.Generator().manual_seed(3)
    return gt.Batch(
        torch.rand(6, 1, 8, 8, generator=generator) * 2 - 1,
        torch.arange(6) % 3,
        torch.randn(6, 3, generator=generator),
        torch.rand(6, generator=generator),
    )


@pytest.mark.parametrize("label", [gt.OneHot, gt.Embedding, gt.Projection])
@pytest.mark.parametrize("spectral", [False, True])
def test_a_penalty_on_a_critic_with_labels_and_spectral_normalisation(label, spectral):
    """Traps 12 and 13: a step by autograd's double backward instead, where the power iteration goes on at each of the
    critic's three calls."""
    torch.manual_seed(0)
    G = gt.ConvGenerator(3, 8, width=2, norm=None, condition=gt.OneHot(3))
    C = gt.ConvCritic(8, width=2, condition=label(3), spectral=spectral)
    if label is gt.Projection and not spectral:
        nn.init.normal_(C.score.project.weight)
    twin, batch = copy.deepcopy(C), image_batch()
    fake = G(batch.z, batch.condition).detach()
    game = -twin(batch.real, batch.condition).mean() + twin(fake, batch.condition).mean()
    points = torch.stack([e * r + (1 - e) * f for e, r, f in zip(batch.eps, batch.real, fake, strict=True)])
    (slopes,) = torch.autograd.grad(twin(points.requires_grad_(), batch.condition).sum(), points, create_graph=True)
    expected = descended(twin, game + 10 * sum((slope.norm() - 1) ** 2 for slope in slopes) / 6)

    gt.adversaries(G, C, gt.wgan_gp, descent)[0].update(batch)
    torch.testing.assert_close(weights(C), expected, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(C.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_stacked_level_is_a_game_conditioned_on_smaller_images():
    """Both networks get the halved real images of the batch at every call, by `prepare`."""
    halve = lambda batch: batch._replace(condition=nn.functional.avg_pool2d(batch.real, 2))  # noqa: E731
    torch.manual_seed(0)
    values = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    G, C = gt.LaplacianLevel(3, 8, width=2), gt.ConvCritic(8, width=2, condition=gt.CoarseImage())
    seen = []
    for net in (G, C):
        net.register_forward_hook(lambda net, inputs, out: seen.append((type(net).__name__, inputs[1])))
    feed = gt.Feed(gt.Data("noise", values), 3, 6, prepare=halve)
    gt.fit(gt.adversaries(G, C, gt.hinge, gt.adam(1e-3)), feed, 1)
    feed.batches_drawn = 0
    first, second = next(feed), next(feed)
    assert [name for name, _ in seen] == ["LaplacianLevel", "ConvCritic", "ConvCritic"] + [
        "LaplacianLevel",
        "ConvCritic",
    ]
    for (_, label), batch in zip(seen, [first] * 3 + [second] * 2, strict=True):
        torch.testing.assert_close(label, batch.real.view(6, 1, 4, 2, 4, 2).mean((3, 5)))


def test_weights_that_both_networks_hold_are_refused():
    """The critic's turn would move the generator too."""
    label = gt.Embedding(3)
    with pytest.raises(ValueError, match="an Embedding of its own"):
        gt.adversaries(gt.MLPGenerator(3, condition=label), gt.MLPCritic(condition=label), gt.hinge, gt.adam(1e-3))
    label = gt.OneHot(3)  # holds none
    gt.adversaries(gt.MLPGenerator(3, condition=label), gt.MLPCritic(condition=label), gt.hinge, gt.adam(1e-3))


# --- sampling --------------------------------------------------------------------------------------------------------


def test_a_sample_does_not_depend_on_its_batch_mates():
    """Trap 7: evaluation mode while sampling, every module's mode restored, no statistic moved."""
    G = gt.MLPGenerator(3, width=16)
    G.layers.insert(1, nn.BatchNorm1d(16))
    G.layers.insert(2, nn.Dropout(0.5))
    G.train()
    G.layers[1].eval()  # somebody's choice, to be kept
    state = copy.deepcopy(G.state_dict())
    z = torch.randn(8, 3)
    together = gt.sample(G, z)
    torch.testing.assert_close(together[:1], gt.sample(G, z[:1]))
    assert not together.requires_grad and G.training and G.layers[2].training and not G.layers[1].training
    assert all(torch.equal(state[name], value) for name, value in G.state_dict().items())


def test_modes_are_restored_when_sampling_fails():
    G = gt.MLPGenerator(3)
    G.train()
    with pytest.raises(ValueError):
        gt.sample(G, torch.zeros(2, 5))
    assert G.training


# --- what a fresh reader broke ----------------------------------------------------------------------------------------


def test_players_and_hooks_may_come_from_generators():
    """They were used up by the first step, and the rest of the training was of nobody."""
    G, C = networks()
    players, seen = gt.adversaries(G, C, gt.hinge, gt.adam(1e-3)), []
    hooks = (hook for hook in [lambda step, log: seen.append(step)])
    log = gt.fit((player for player in players), gaussian_feed(), 3, hooks=hooks)
    assert log["critic"]["game"].shape == (3,) and seen == [0, 1, 2]


def test_a_schedule_multiplies_a_learning_rate_that_is_a_tensor_too():
    """The factors once multiplied one another, since the first rate was the same tensor as the present one."""
    net = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.1))
    player = gt.Player("one", net, lambda b: {"game": net(b.z).mean()}, optimizer, lr_schedule=lambda step: 0.5)
    gt.fit([player], gaussian_feed(), 3)
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "factor", [1, np.float32(0.5), np.float64(0.5), np.int64(2), np.array(0.5), np.array(0.1, np.float32)], ids=repr
)
def test_a_schedule_may_return_any_number(factor):
    """NumPy's cosine does not return Python's float. The rate is the product in double precision."""
    net = nn.Linear(3, 1)
    adam = torch.optim.Adam(net.parameters(), lr=0.3)
    player = gt.Player("one", net, lambda b: {"game": net(b.z).mean()}, adam, lr_schedule=lambda step: factor)
    player.update(next(gaussian_feed()))
    assert adam.param_groups[0]["lr"] == float(factor) * 0.3 and type(adam.param_groups[0]["lr"]) is float


@pytest.mark.parametrize(
    "factor",
    [-1.0, float("nan"), float("inf"), None, "1", True, np.float32("nan"), np.array([0.5]), np.bool_(True), 1j],
)
def test_a_schedule_that_returns_nonsense_is_refused(factor):
    net = nn.Linear(3, 1)
    adam = torch.optim.Adam(net.parameters())
    player = gt.Player("one", net, lambda b: {"game": net(b.z).mean()}, adam, lr_schedule=lambda step: factor)
    with pytest.raises(ValueError, match="a factor from 0 on from the lr_schedule of one"):
        player.update(next(gaussian_feed()))


def test_constants_in_place_of_schedules_are_refused():
    net = nn.Linear(3, 1)
    for settings in ({"lr_schedule": 0.5}, {"term_weights": {"game": 0.1}}):
        with pytest.raises(ValueError, match="a function of the number of steps"):
            gt.Player("one", net, lambda b: {"game": net(b.z).mean()}, torch.optim.Adam(net.parameters()), **settings)


@pytest.mark.parametrize("seed", [np.int64(1), np.uint8(1)])
def test_a_seed_of_numpys_is_the_same_seed(seed):
    assert torch.equal(next(gaussian_feed(seed=seed)).z, next(gaussian_feed(seed=1)).z)


@pytest.mark.parametrize("seed", [1.9, "7", -1, True])
def test_what_is_not_a_seed_is_refused(seed):
    with pytest.raises(ValueError, match="Expected a whole-number seed"):
        gaussian_feed(seed=seed)


def test_an_error_in_a_hook_keeps_the_history():
    def fail(step, log):
        if step == 4:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError) as caught:
        train(9, hooks=[fail])
    assert caught.value.log.steps == 5
