"""Values set from the command line: by type, weights that can be added, slips in one line."""

import pytest

from wxjax import commands, errors, settings, systems
from wxjax.overrides import split


def config(name, *words):
    argv = ["wxjax", f"--config=configs/{name}", *(f"--config.{word}" for word in words)]
    return settings.parse(argv, commands.COMMANDS).config


@pytest.mark.parametrize(
    "word, value",
    [
        ("seed=7", 7),
        ("stages.dense.optimizer.learning_rate=1", 1.0),
        ("router.int8", True),
        ("router.int8=false", False),
        ("data.root=a b=c", "a b=c"),
        ("data.crops=96", (96,)),
        ("data.crops=(96, 128)", (96, 128)),
        ("data.degradations=(haze, rain)", ("haze", "rain")),
        ("data.degradations=('snow',)", ("snow",)),
        ("unfrozen.part2=()", ()),
        ("losses.snow.flakes=0.1", 0.1),
        ("dense_losses.haze.vgg=1", 1.0),
        ("losses.haze.ssim=((0,0.0),(500,0.1))", ((0, 0.0), (500, 0.1))),
    ],
)
def test_a_value_arrives_with_the_type_that_it_has(word, value):
    found = config("moei.py", word)
    for key in word.partition("=")[0].split("."):
        found = found[key]
    assert found == value and type(found) is type(value)


def test_a_weight_that_is_added_reaches_the_loss():
    task = systems.make(config("moei.py:tiny", "losses.snow.flakes=0.1", "stage=dehaze"))
    assert task.loss.args[1]["snow"]["flakes"] == 0.1
    assert config("reid.py", "balance.mi=0.2").balance.mi == 0.2
    assert config("reid.py", "balance.load=0.2").balance.load == 0.2
    assert systems.make(config("mofme.py:tiny", "losses.edge=0.1"))


def test_one_ratio_an_expert():
    found = config("reid.py:tiny", "model.experts.ratio=(1.0,2.0,4.0)")
    assert found.model.experts.ratio == (1.0, 2.0, 4.0) and systems.make(found)
    assert config("reid.py", "model.experts.ratio=3").model.experts.ratio == 3.0


@pytest.mark.parametrize(
    "name, word, message",
    [
        ("moei.py", "losses.snow.flaks=0.1", "--config.losses.snow='flaks'.*Did you mean 'flakes'"),
        ("moei.py", "losses.snw.flakes=0.1", "--config.losses='snw'.*Did you mean 'snow'"),
        ("reid.py", "balance.mii=0.2", "Did you mean 'mi'"),
        ("reid.py", "balance.mi=much", "--config.balance.mi='much': expected a number"),
        ("reid.py", "balance.mi=((5,0.0),(5,1.0))", "rising steps"),
        ("reid.py", "model.experts.ratio=(1.0,a)", "expected a number"),
        ("moei.py", "sed=1", "--config='sed'.*Did you mean 'seed'"),
        ("moei.py", "seed=1.5", "--config.seed='1.5': expected a whole number"),
        ("moei.py", "seed=True", "expected a whole number"),
        ("moei.py", "seed.x=1", "config.seed is a value, no group"),
        ("moei.py", "router.int8=maybe", "expected true or false"),
        ("moei.py", "losses=1", "it is a group: set one of haze, rain, snow"),
        ("moei.py", "stages.dense.optimizer.learning_rate=(1,2)", "expected a number"),
    ],
)
def test_a_slip_is_one_line(name, word, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        config(name, word)
    assert "\n" not in str(caught.value)


def test_overrides_are_told_from_other_words():
    words = ["restore", "--config.a.b=1", "--noconfig.c", "--config.d", "--out=x"]
    assert split(words) == (["a.b=1", "c=false", "d=true"], ["restore", "--out=x"])
    assert split(["--", "--config.e"]) == ([], ["--", "--config.e"])
    assert split(["--config.seed", "7", "a.png"]) == (["seed=7"], ["a.png"])
