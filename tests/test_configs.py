"""Configs are locked, and a slip on the command line is named."""

import importlib

import pytest

import wxjax
from wxjax import commands, errors, main, settings, systems

SIZES = ("default", "tiny", "paper")


def call(*words):
    return settings.parse(["wxjax", *words], commands.COMMANDS)


@pytest.mark.parametrize("size", SIZES)
def test_a_misspelt_key_is_refused(size):
    config = importlib.import_module("configs.moei").get_config(size).lock()
    with pytest.raises(AttributeError, match='Did you mean "seed"'):
        config.sed = 1


@pytest.mark.parametrize("size", SIZES)
def test_every_size_makes_a_task(size):
    config = importlib.import_module("configs.moei").get_config(size)
    task = systems.make(config)
    assert all(callable(function) for function in task[:5])
    assert task.parts.step == config.model.patch * 2 ** (len(config.model.dims) - 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["diffusion", "regression", "linear", "swinir"])
def test_every_size_of_infrared_super_resolution_makes_a_task(size, kind):
    config = importlib.import_module("configs.irsr").get_config(size)
    config.model.kind = kind
    assert systems.make(config).scale == 4


def test_the_paper_size_is_the_published_network():
    import jax
    import jax.numpy as jnp

    config = importlib.import_module("configs.moei").get_config("paper")
    from wxjax.nn import experts
    from wxjax.systems.moei import task

    net = task.make_engine(config).bare
    image = jnp.zeros((1, 256, 256, 3))
    assert experts.size(jax.eval_shape(net.init, jax.random.key(0), image)) == 125_484_996


@pytest.mark.parametrize(
    "size, parameters",
    [("paper", 125_484_996), ("swin-t", 125_484_996), ("swin-s", 146_866_260)],
)
def test_dehazexl_comes_in_the_official_sizes(size, parameters):
    import jax

    from wxjax.nn import experts

    config = importlib.import_module("configs.dehazexl").get_config(size)
    shapes = jax.eval_shape(systems.make(config).init, jax.random.key(0), {})
    assert experts.size(shapes["params"]["backbone"]) == parameters
    assert config.data.crops == (2048,) and config.data.augment == "rotate"


def test_dehazexl_has_no_experts():
    config = importlib.import_module("configs.dehazexl").get_config("tiny")
    assert list(config.stages) == ["dense"] and config.stage == "dense"
    with pytest.raises(ValueError, match="expected one of default, tiny, paper, swin-t, swin-s"):
        importlib.import_module("configs.dehazexl").get_config("swin-l")


def test_a_size_and_overrides_arrive():
    found = call("--config=configs/moei.py:tiny", "--config.seed=7", "--config.tiles.overlap=8")
    assert found.config.seed == 7 and found.config.tiles.overlap == 8
    assert found.command == "train" and str(found.workdir) == "runs/moei-tiny"


@pytest.mark.parametrize(
    "words, message",
    [
        (["shwo"], "command='shwo': expected one of .*"),
        (["restroe"], "Did you mean 'restore'"),
        (["--wrkdir=x"], "train: flag='--wrkdir': expected one of .* Did you mean '--workdir'"),
        (["--config=configs/moie.py"], "Did you mean 'configs/moei.py'"),
        (
            ["--config=configs/moei.py:tny"],
            "--config='configs/moei.py:tny': expected a size of default, tiny, paper. "
            "Did you mean configs/moei.py:tiny",
        ),
        (["bench", "--repeats=two"], "flag --repeats=two"),
        (["restore", "a.png", "--breakdown"], "restore: flag='--breakdown'.* a flag of bench"),
        (["restore", "a.png", "--overwrit"], "Did you mean '--overwrite'"),
        (["report", "--config=configs/moei.py"], "report: takes no --config"),
        (["photo.jpg"], "did you mean: wxjax restore photo.jpg"),
        (["restore", "a.png", "--tile-mode=averge"], "Did you mean 'average'"),
        (["--config", "configs/moei.py"], "one word, --config=configs/moei.py"),
        (["--config=configs/moei.py", "--config.data.bach_size=2"], "batch_size"),
        (["--config=configs/moei.py", "--config.seed=many"], "seed"),
        (["bench", "--repeats=0"], "repeats"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(words, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        call(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_every_command_explains_itself_with_examples(command, capsys):
    main.run(["wxjax", command, "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"wxjax {command}") and "examples:\n  wxjax " in text
    assert all(flag.usage() in text for flag in commands.COMMANDS[command].flags)
    main.run(["wxjax", "help", command])
    assert capsys.readouterr().out == text


def test_the_program_explains_itself(capsys):
    main.run(["wxjax", "--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in commands.COMMANDS)
    assert "re-identification (reid):" in text
    main.run(["wxjax", "help"])
    assert capsys.readouterr().out == text
    main.run(["wxjax", "--version"])
    assert capsys.readouterr().out == f"wxjax {wxjax.__version__}\n"


@pytest.mark.parametrize("command", sorted(commands.COMMANDS))
def test_the_flags_of_other_commands_are_refused(command):
    own = {flag.name for flag in commands.COMMANDS[command].flags}
    every = {flag.name for entry in commands.COMMANDS.values() for flag in entry.flags}
    for name in sorted(every - own):
        with pytest.raises(errors.InputError, match=f"{command}: flag='--{name}'"):
            call(command, f"--{name}=1")


def test_a_setting_that_is_new_and_off_leaves_older_runs_usable(tmp_path):
    from wxjax import files

    config = importlib.import_module("configs.tod").get_config("tiny")
    settings.save(config, tmp_path)
    old = files.read_json(tmp_path / "config.json")
    del old["stages"]["field"]["evaluate"]["patience"], old["model"]["quant"]
    files.write_json(tmp_path / "config.json", old)
    config.model.quant = "int8"
    with pytest.raises(errors.InputError, match="model.quant=None there, 'int8' here"):
        settings.save(config, tmp_path)
    config.model.quant = "none"
    settings.save(config, tmp_path)
    assert files.read_json(tmp_path / "config.json")["model"]["quant"] == "none"
