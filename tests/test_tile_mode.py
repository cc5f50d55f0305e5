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
    shares = {"plain": 0, "blend": 1 / 8, "smooth": 1 / 4, "local": 1 / 8}
    assert config.tiles.overlap == shares[mode] * config.tiles.tile
    assert config.tiles.mode == ("local" if mode == "local" else "global")


def test_the_flag_reaches_the_config_of_a_workdir(tmp_path):
    settings.save(get_config("tiny"), tmp_path)
    words = ["wxjax", "restore", f"--workdir={tmp_path}"]
    as_trained, smooth = (
        settings.load(settings.parse(words + more, commands.COMMANDS)).tiles
        for more in ([], ["--tile-mode=smooth"])
    )
    assert as_trained == get_config("tiny").tiles
    assert smooth.to_dict() == {**as_trained.to_dict(), "overlap": as_trained.tile // 4}


def test_an_unknown_mode_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="--tile-mode='smoth'.*smooth"):
        settings.tiled(get_config(), "smoth")
