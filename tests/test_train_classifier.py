"""The recipe of the classifiers that ship: what a batch goes through, and a file from data to its SHA-256."""

import hashlib
import json
import shutil

import torch
from safetensors import safe_open

import gan_tutorial as gt
from gan_tutorial import metrics
from tools import train_classifier


def test_a_batch_is_disturbed_as_its_noise_says():
    data = gt.data.synthetic_digits(64)
    batch = next(gt.Feed(data, 6 + 28 * 28, 16, labelled=True))
    a, b = train_classifier.disturbed(batch), train_classifier.disturbed(batch)
    assert torch.equal(a.real, b.real) and a.real.abs().max() <= 1 and torch.equal(a.condition, batch.condition)
    still = train_classifier.disturbed(batch._replace(z=torch.zeros_like(batch.z)))
    torch.testing.assert_close(still.real, batch.real, atol=1e-5, rtol=0)
    z = torch.zeros_like(batch.z)
    z[:, 2] = 10 / 14  # one pixel of 28, since the whole width is 2
    moved = train_classifier.disturbed(batch._replace(z=z)).real
    torch.testing.assert_close(moved[..., :-1], batch.real[..., 1:], atol=1e-4, rtol=0)
    assert (moved[..., -1] + 1).abs().max() < 1e-4  # background comes in


def test_from_data_to_a_file_that_is_loaded_again(tmp_path, monkeypatch):
    data = gt.data.synthetic_digits(3000)
    net = train_classifier.train(data[:2500], steps=40)
    assert train_classifier.accuracy(net, data[2500:]) > 0.9  # chance is 0.1

    source = shutil.copy(metrics.__file__, tmp_path / "metrics.py")
    monkeypatch.setattr(metrics, "WEIGHTS", tmp_path / "classifiers")
    monkeypatch.setattr(metrics, "__file__", str(source))
    train_classifier.write("synthetic", net, {"digits": "synthetic", "seed": 0})
    sha256 = hashlib.sha256((tmp_path / "classifiers" / "synthetic.safetensors").read_bytes()).hexdigest()
    assert f'"synthetic": "{sha256}"' in source.read_text() and metrics.CLASSIFIERS["mnist"] in source.read_text()
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setitem(metrics.CLASSIFIERS, "synthetic", sha256)
    x = data.take(slice(0, 20))
    assert torch.equal(metrics.classifier("synthetic", directory=tmp_path / "classifiers")(x), net(x))


def test_the_recipe_is_that_of_the_shipped_files():
    for name in metrics.CLASSIFIERS:
        with safe_open(metrics.WEIGHTS / f"{name}.safetensors", "pt") as file:
            recipe = json.loads(file.metadata()["recipe"])
        assert (recipe["seed"], recipe["steps"], recipe["batch"]) == (
            train_classifier.SEED,
            train_classifier.STEPS,
            train_classifier.BATCH,
        )
