"""Codecs lose nothing they say they keep, remember nothing, and let gradients through."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.systems.irsr import codec as codecs
from wxjax.systems.irsr import light, whitening
from wxjax.systems.irsr.codec import Codec


def picture(seed, b, h, w, c=1):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (b, h, w, c)).astype(np.float32))


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def there_and_back(codec, x, multiple=1, margin=None):
    params = codecs.init(codec, jax.random.key(0), x.shape[-1])
    encoded = codecs.encode(codec, params, x, multiple=multiple, margin=margin)
    return encoded, codecs.decode(codec, params, *encoded, x.shape[1:3], margin=margin)


LOSSLESS = [
    Codec("packed"),
    Codec("packed", levels=1),
    Codec("packed", levels=3),
    Codec("packed", "db2"),
    Codec("packed", "bior4.4", 1),
    Codec("ll"),
    Codec("fullband"),
    Codec("fullband", mode="symmetric"),
    Codec("none"),
]


@pytest.mark.parametrize("codec", LOSSLESS, ids=lambda c: f"{c.kind}-{c.wavelet}-{c.levels}")
@pytest.mark.parametrize("size", [(64, 72), (65, 130)])
def test_what_a_codec_keeps_comes_back(codec, size):
    x = picture(0, 1, *size)
    encoded, again = there_and_back(codec, x, 8)
    np.testing.assert_allclose(again, x, atol=1e-5)
    assert encoded.z.shape[-1] == codec.channels()
    assert not any(side % 8 for side in encoded.z.shape[1:3])


def test_packed_haar_keeps_the_energy_and_colour_is_packed_too():
    x = picture(0, 2, 64, 96, 3)
    z = there_and_back(Codec(), x)[0].z
    assert z.shape == (2, 16, 24, 48) and z.size == x.size
    np.testing.assert_allclose(jnp.sum(z**2), jnp.sum(x**2), rtol=1e-5)


def test_a_filter_does_not_carry_one_border_to_the_other():
    x = jnp.zeros((1, 64, 64, 1)).at[:, :, -1].set(1)
    codec = Codec("packed", "db4")
    left = jnp.zeros((1, 64, 64, 1)).at[:, :, -2:].set(1)
    apart = there_and_back(codec, x)[0].z - there_and_back(codec, left)[0].z
    start = codec.margin // codec.factor
    assert codec.margin == 32 and float(jnp.abs(apart[:, :, start]).max()) == 0
    apart = there_and_back(codec, x, 1, 0)[0].z - there_and_back(codec, left, 1, 0)[0].z
    assert float(jnp.abs(apart[:, :, 0]).max()) > 0.01


def test_decoding_remembers_nothing_and_a_batch_is_its_images():
    x, other = picture(0, 3, 32, 32), picture(1, 3, 32, 32)
    for kind in codecs.KINDS:
        codec = Codec(kind)
        params = codecs.init(codec, jax.random.key(0))
        encode = jax.jit(functools.partial(codecs.encode, codec, params))
        decode = jax.jit(lambda z, side, c=codec, p=params: codecs.decode(c, p, z, side, (32, 32)))
        encoded = encode(x)
        before = decode(*encoded)
        encode(other)
        np.testing.assert_array_equal(decode(*encoded), before)
        alone = [decode(*encode(x[i : i + 1])) for i in range(3)]
        np.testing.assert_allclose(jnp.concatenate(alone), before, atol=1e-6)


@pytest.mark.parametrize("kind", ["packed", "allbands", "allbands_learnable"])
def test_the_gradient_through_decode_equals_finite_differences(kind):
    codec = Codec(kind)
    params = codecs.init(codec, jax.random.key(0))
    encoded = codecs.encode(codec, params, picture(0, 1, 16, 16))
    wanted = picture(1, 1, 16, 16)

    @jax.jit
    def loss(z):
        return ((codecs.decode(codec, params, z, encoded.side, (16, 16)) - wanted) ** 3).sum() / 9

    way = jax.random.normal(jax.random.key(1), encoded.z.shape)
    slope = float((jax.grad(loss)(encoded.z) * way).sum())
    found = (float(loss(encoded.z + 1e-2 * way)) - float(loss(encoded.z - 1e-2 * way))) / 2e-2
    np.testing.assert_allclose(found, slope, rtol=5e-3)
    assert abs(slope) > 0.1


def test_residual_coordinates_start_at_the_input_and_invert():
    stats = whitening.typical()
    zx, zy = picture(0, 1, 8, 8, 16), picture(1, 1, 8, 8, 16)
    u = whitening.residual(stats, zx, zy)
    np.testing.assert_allclose(whitening.restore(stats, u, zy), zx, atol=1e-5)
    np.testing.assert_array_equal(whitening.restore(stats, jnp.zeros_like(u), zy), zy)


def test_pixel_weights_are_the_pixels_mean_squared_error():
    x, y = picture(0, 2, 32, 32), picture(1, 2, 32, 32)
    zx, zy = (there_and_back(Codec(), image)[0].z for image in (x, y))
    stats = whitening.measure([(np.asarray(zx), np.asarray(zy))])
    u, weight = whitening.residual(stats, zx, zy), whitening.band_weights(stats, "pixel")
    scale = np.mean(np.square(stats.residual))
    np.testing.assert_allclose((weight * u**2).mean() * scale, ((x - y) ** 2).mean(), rtol=1e-5)
    for kind in whitening.WEIGHTS:
        np.testing.assert_allclose(whitening.band_weights(stats, kind).mean(), 1, rtol=1e-6)


def test_measured_statistics_whiten_whatever_the_batches():
    rng = np.random.default_rng(0)
    zy = rng.normal([3, -1], [2, 0.1], (4, 5, 6, 2))
    zx = zy + rng.normal(0, [0.5, 0.01], zy.shape)
    whole = whitening.measure([(zx, zy)])
    parts = whitening.measure([(zx[:1], zy[:1]), (zx[1:], zy[1:])])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), parts, whole)
    u = whitening.residual(whole, jnp.asarray(zx), jnp.asarray(zy))
    np.testing.assert_allclose(jnp.sqrt((u**2).mean((0, 1, 2))), 1, rtol=1e-4)
    shown = whitening.condition(whole, jnp.asarray(zy))
    np.testing.assert_allclose(shown.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(shown.std((0, 1, 2)), 1, rtol=1e-4)


def test_typical_statistics_of_colour_are_those_of_grey_band_by_band():
    grey, colour = whitening.typical(), whitening.typical(3)
    assert colour.residual.shape == (48,)
    for group, bands in codecs.scales(Codec(), 3).items():
        one = grey.residual[codecs.scales(Codec())[group]]
        assert set(colour.residual[bands]) == set(one), group


def test_the_light_networks_start_at_nothing_and_have_the_published_size():
    z = picture(0, 1, 8, 8, 17)
    for net, shape in (
        (light.LightCNN(15), (1, 8, 8, 15)),
        (light.LightDecoder(1), (1, 32, 32, 1)),
    ):
        variables = net.init(jax.random.key(0), z)
        out = net.apply(variables, z)
        assert out.shape == shape and not np.any(out)
        if shape[-1] == 15:
            assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 129_295


def test_the_cascades_second_stage_sees_the_finer_low_band():
    x = picture(0, 1, 32, 48)
    z = there_and_back(Codec(), x)[0].z
    where = codecs.scales(Codec())
    assert where == {"low": slice(0, 1), "level2": slice(1, 4), "level1": slice(4, 16)}
    fine = codecs.finer_low(Codec(), z[..., :4])
    low = x.reshape(1, 16, 2, 24, 2).sum((2, 4)) / 2
    expected = low.reshape(1, 8, 2, 12, 2).transpose(0, 1, 3, 2, 4).reshape(1, 8, 12, 4)
    np.testing.assert_allclose(fine, expected, atol=1e-6)


def test_slips_are_named():
    x = jnp.zeros((1, 16, 16, 1))
    cases = {
        "codec.kind='pack'.*'packed'": lambda: codecs.encode(Codec("pack"), {}, x),
        "codec.levels=1: allbands has 2": lambda: codecs.check(Codec("allbands", levels=1)),
        "codec.mode='symmetric'.*periodization": lambda: codecs.check(
            Codec("ll", "db2", 2, "symmetric")
        ),
        "losses.bands='sqr'.*'sqrt'": lambda: whitening.band_weights(whitening.typical(), "sqr"),
        "training set is empty": lambda: whitening.measure([]),
        "sub-band 0=0.0: its residual is 0": lambda: whitening.measure([(np.ones((2, 1)),) * 2]),
    }
    for message, call in cases.items():
        with pytest.raises(errors.InputError, match=message):
            call()
