"""`--tile-mode` as tiles of a config."""

import pytest

from configs.moei import get_config
from wxjax import commands, errors, settings
from wxjax.systems.moei import engine


@pytest.mark.parametrize("size", ["default", "tiny", "paper"])
@pytest.mark.parametrize("mode", settings.TILE_MODES)
def test_every_mode_fits_every_size_of_the_config(mode, size):
    config = settings.tiled(get_config(size), mode)
    engine.check_tiles(config.model, config.tiles)
    shares = {"plain": 0, "blend": 1 / 8, "average": 1 / 8, "local": 1 / 8}
    assert config.tiles.overlap == shares[mode] * config.tiles.tile
    assert config.tiles.mode == ("local" if mode == "local" else "global")
    assert config.tiles.average == (mode == "average")


def test_the_flag_reaches_the_config_of_a_workdir(tmp_path):
    settings.save(get_config("tiny"), tmp_path)
    words = ["wxjax", "restore", f"--workdir={tmp_path}"]
    as_trained, average = (
        settings.load(settings.parse(words + more, commands.COMMANDS)).tiles
        for more in ([], ["--tile-mode=average"])
    )
    assert as_trained == get_config("tiny").tiles
    assert average.overlap == as_trained.tile // 8 and average.average


def test_an_unknown_mode_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="--tile-mode='averge'.*average"):
        settings.tiled(get_config(), "averge")


def test_averaging_is_for_restoring_alone(tmp_path):
    settings.save(get_config("tiny"), tmp_path)
    words = ["wxjax", "bench", f"--workdir={tmp_path}", "--tile-mode=average"]
    with pytest.raises(errors.InputError, match="--tile-mode='average': bench measures"):
        settings.load(settings.parse(words, commands.COMMANDS))
