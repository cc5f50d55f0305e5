"""Super-resolution put together: codec, residual coordinates, chain and networks.

A latent's bands are diffused in groups, one UNet each; what is left is regressed.
Axes: b images, h w of the small image, H W of the large one, c channels, y x of the
latent, k bands.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wxjax import errors
from wxjax.ops import color
from wxjax.systems.irsr import baselines, diffusion, light, resize, unet, whitening
from wxjax.systems.irsr import codec as codecs
from wxjax.systems.irsr.codec import Codec
from wxjax.systems.irsr.diffusion import Schedule
from wxjax.systems.irsr.whitening import Statistics

KINDS = ("diffusion", "cascade", "plan_b", "plan_c", "regression")
COORDINATES = ("residual", "raw")


class Model(NamedTuple):
    """What a config says about the method.

    Attributes:
      kind: 'diffusion', all bands by one UNet; 'cascade', the coarsest level first and the
        finer one given it; 'plan_b', the low band, and the rest by a light CNN; 'plan_c',
        all bands, and a light decoder beside the inverse transform; 'regression', no chain.
      scale: large over small; 1 where the input has been enlarged already.
      channels: 1 for infrared: an image of three is averaged to its luma, and comes back
        as three equal ones.
      coordinates: 'residual' of `whitening.py`, or 'raw' as published.
      spacing, steps, randomness: of sampling; consistency: back-projections at its end.
    """

    kind: str
    scale: int
    channels: int
    coordinates: str
    codec: Codec
    plan: Schedule
    predict: str
    sampled: Schedule
    randomness: float
    consistency: int
    sizes: Mapping[str, Any]
    light: Mapping[str, Any]

    @property
    def bands(self) -> int:
        return self.codec.channels(self.channels)

    @property
    def groups(self) -> tuple[slice, ...]:
        """The bands that each UNet diffuses."""
        where = codecs.scales(self.codec, self.channels)
        low = self.channels
        return {
            "diffusion": (slice(0, self.bands),),
            "plan_c": (slice(0, self.bands),),
            "plan_b": (slice(0, low),),
            "cascade": (slice(0, 4 * low), where.get("level1")),
            "regression": (),
        }[self.kind]

    @property
    def regressed(self) -> slice:
        """The bands that the light CNN answers for."""
        start = {"regression": 0, "plan_b": self.channels}.get(self.kind, self.bands)
        return slice(start, self.bands)

    def net(self, group: slice) -> unet.UNet:
        return unet.UNet(out_channels=group.stop - group.start, **self.sizes)

    @property
    def multiple(self) -> int:
        """What the latent's sides are padded to."""
        return self.net(slice(0, 1)).multiple if self.groups else 1


def make(config: Any) -> Model:
    """Of a config's `model`, `codec`, `diffusion` and `sampling`; checks them."""
    model, chain, sampling = config["model"], dict(config["diffusion"]), config["sampling"]
    predict = chain.pop("predict")
    diffusion.check_prediction(predict)
    codec = Codec(**config["codec"])
    codecs.check(codec)
    if "in_channels" in model["unet"]:
        raise errors.InputError(
            "these weights came from elsewhere: they work in the latent of an autoencoder that is "
            "not part of wxjax, so no frame can go in. torch_weights.load gives the bare network."
        )
    for name, choices in (("kind", KINDS), ("coordinates", COORDINATES)):
        if model[name] not in choices:
            known = (*choices, *baselines.KINDS) if name == "kind" else choices
            raise errors.unknown(f"model.{name}", model[name], known)
    plan = diffusion.schedule(**chain)
    diffusion.update(plan, sampling["randomness"])
    if model["kind"] == "cascade" and (codec.kind, codec.levels) != ("packed", 2):
        raise errors.bad("codec", f"{codec.kind}, {codec.levels} levels", "a cascade packs 2")
    if model["kind"] == "plan_b" and codec.kind not in ("packed", "fullband"):
        raise errors.bad("codec.kind", codec.kind, "plan_b needs bands beside the low one")
    return Model(
        kind=model["kind"],
        scale=model["scale"],
        channels=model["channels"],
        coordinates=model["coordinates"],
        codec=codec,
        plan=plan,
        predict=predict,
        sampled=diffusion.respace(plan, sampling["steps"], sampling["spacing"]),
        randomness=sampling["randomness"],
        consistency=sampling["consistency"],
        sizes=dict(model["unet"]),
        light=dict(model["light"]),
    )


def init(model: Model, key: Any) -> dict[str, Any]:
    """Fresh variables: `params` by network, and `statistics` of the bands.

    The statistics are typical ones where there are any; `whitening.measure` takes those of
    a training set, which belong into a checkpoint.
    """
    keys = jax.random.split(key, len(model.groups) + 3)
    params = {"codec": codecs.init(model.codec, keys[0], model.channels)}
    side = max(model.multiple, 8)
    t = jnp.zeros(1, jnp.int32)
    for i, group in enumerate(model.groups):
        x = jnp.zeros((1, side, side, group.stop - group.start))
        cond = jnp.zeros((1, side, side, model.bands + (4 * model.channels if i else 0)))
        params[f"unet{i}"] = model.net(group).init(keys[i + 3], x, t, cond)["params"]
    z = jnp.zeros((1, 8, 8, model.bands))
    if model.regressed.start < model.bands:
        z_and_u = jnp.zeros((1, 8, 8, model.bands + model.regressed.start))
        params["light"] = regressor(model).init(keys[1], z_and_u)["params"]
    if model.kind == "plan_c":
        params["decoder"] = decoder(model).init(keys[2], z)["params"]
    known = (model.codec.kind, model.codec.wavelet, model.codec.levels) == ("packed", "haar", 2)
    stats = whitening.typical(model.channels) if known else whitening.identity(model.bands)
    if model.coordinates == "raw":
        stats = whitening.identity(model.bands)
    return {"params": params, "statistics": jax.tree.map(jnp.asarray, stats._asdict())}


def regressor(model: Model) -> light.LightCNN:
    return light.LightCNN(model.bands - model.regressed.start, **model.light)


def decoder(model: Model) -> light.LightDecoder:
    sizes = {name: x for name, x in model.light.items() if name != "pairs"}
    return light.LightDecoder(model.channels, model.codec.factor, **sizes)


def enlarged(model: Model, image: Float[Array, "b h w n"]) -> Float[Array, "b H W c"]:
    """The image at its large size, in [-1, 1]: PyTorch's bicubic, as published."""
    x = 2 * select(model, image) - 1
    if model.scale == 1:
        return x
    h, w = x.shape[1:3]
    return resize.bicubic(x, (model.scale * h, model.scale * w), like="torch")


def select(model: Model, image: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
    """The channels that the model works on."""
    return select_channels(model.channels, image)


def select_channels(wanted: int, image: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
    """One channel of three by luma, three of one by repetition."""
    if image.shape[-1] == wanted:
        return image
    if (wanted, image.shape[-1]) == (1, 3):
        return color.luma(image)
    if (wanted, image.shape[-1]) == (3, 1):
        return jnp.broadcast_to(image, (*image.shape[:-1], 3))
    raise errors.bad("channels", image.shape[-1], f"expected {wanted}")


def statistics(variables: Mapping[str, Any]) -> Statistics:
    return Statistics(**variables["statistics"])


class View(NamedTuple):
    """An enlarged input as the networks see it.

    Attributes:
      z, side: of the codec; cond: z whitened; start: where the chain starts, in coordinates.
    """

    z: Array
    side: tuple
    cond: Array
    start: Array


def of_codec(params: Any) -> Any:
    """The codec's parameters; stored weights have no entry where a codec has none."""
    return params.get("codec", {})


def look(model: Model, variables: Mapping, large: Float[Array, "b H W c"]) -> View:
    encoded = codecs.encode(
        model.codec, of_codec(variables["params"]), large, multiple=model.multiple
    )
    cond = whitening.condition(statistics(variables), encoded.z)
    start = encoded.z if model.coordinates == "raw" else jnp.zeros_like(encoded.z)
    return View(encoded.z, encoded.side, cond, start)


def to_latent(model: Model, variables: Mapping, view: View, u: Array) -> Array:
    """Bands from coordinates."""
    if model.coordinates == "raw":
        return u
    return whitening.restore(statistics(variables), u, view.z)


def condition(model: Model, variables: Mapping, view: View, i: int, known: Array) -> Array:
    """What the UNet of group `i` is shown; `known` are the bands found before, as u."""
    if not i:
        return view.cond
    stats, c = statistics(variables), model.channels
    start = view.start.at[..., : known.shape[-1]].set(known)
    z = to_latent(model, variables, view, start)[..., : known.shape[-1]]
    # The finer low band has half the coarse one's gain.
    mean, spread = (jnp.repeat(x[:c] / 2, 4) for x in (stats.mean, stats.spread))
    return jnp.concatenate([view.cond, (codecs.finer_low(model.codec, z) - mean) / spread], -1)


def answer(model: Model, params: Mapping, i: int, x, t, cond, train=False, key=None) -> Array:
    """The UNet of group `i`."""
    rngs = None if key is None else {"dropout": key}
    net = model.net(model.groups[i])
    return net.apply({"params": params[f"unet{i}"]}, x, t, cond, train, rngs=rngs)


def regress(model: Model, params: Mapping, view: View, known: Array) -> Array:
    """Every band: those known, and the light CNN's."""
    if "light" not in params:
        return known
    seen = jnp.concatenate([view.cond, known], -1)
    found = regressor(model).apply({"params": params["light"]}, seen)
    # From what the enlarged input has, so that an answer of 0 is that input.
    return jnp.concatenate([known, view.start[..., model.regressed] + found], -1)


def picture(
    model: Model, variables: Mapping, view: View, u: Array, size: tuple[int, int]
) -> Float[Array, "b H W c"]:
    """The image of coordinates u, in [-1, 1], not clipped."""
    params, z = variables["params"], to_latent(model, variables, view, u)
    x = codecs.decode(model.codec, of_codec(params), z, view.side, size)
    if model.kind == "plan_c":
        shown = whitening.condition(statistics(variables), z)
        more = decoder(model).apply({"params": params["decoder"]}, shown)
        margin = model.codec.margin
        x = x + more[:, margin : margin + size[0], margin : margin + size[1]]
    return x


def super_resolve(
    model: Model,
    variables: Mapping[str, Any],
    image: Float[Array, "b h w n"],
    key: Any,
    index: Array,
    corner: Array | None = None,
) -> Float[Array, "b H W n"]:
    """Images in [0, 1], enlarged; not clipped.

    Args:
      index: of each example, which its noise hangs on; not on what else is in the batch.
      corner: in pixels of the small image, where it is a tile of a larger one.
    """
    large = enlarged(model, image)
    size = large.shape[1:3]
    view = look(model, variables, large)
    places = None if corner is None else corner * model.scale // model.codec.factor
    known = view.start[..., :0]
    for i, group in enumerate(model.groups):
        cond = condition(model, variables, view, i, known)
        start = view.start[..., group]
        network = functools.partial(answer, model, variables["params"], i, cond=cond)
        own = jax.random.fold_in(key, i)
        noise = diffusion.keyed_noise(own, index, start.shape[1:], places)
        found, _ = diffusion.sample(
            model.sampled,
            lambda x, t, network=network: network(x, t),
            start,
            noise,
            randomness=model.randomness,
            predict=model.predict,
        )
        known = jnp.concatenate([known, found], -1)
    x = picture(model, variables, view, regress(model, variables["params"], view, known), size)
    x = back_project(x, 2 * select(model, image) - 1, model.consistency)
    return (jnp.broadcast_to(x, (*x.shape[:-1], image.shape[-1])) + 1) / 2


def back_project(
    x: Float[Array, "b H W c"], small: Float[Array, "b h w c"], times: int
) -> Float[Array, "b H W c"]:
    """x + up(small - D x), `times` over: D is Pillow's bicubic, the known degradation."""
    sides = (x.shape[1:3], small.shape[1:3])
    for _ in range(times):
        missing = small - resize.bicubic(x, sides[1], like="pillow")
        x = x + resize.bicubic(missing, sides[0], like="torch")
    return x


def measure_statistics(model: Model, pairs: Any) -> dict[str, np.ndarray]:
    """`variables['statistics']` of pairs (image, target), `[b h w n]` and `[b H W n]`."""
    params = codecs.init(model.codec, jax.random.key(0), model.channels)

    @jax.jit
    def latents(image, target):
        encode = functools.partial(codecs.encode, model.codec, params, margin=0)
        truth = 2 * select(model, target) - 1
        return encode(truth).z, encode(enlarged(model, image)).z

    found = whitening.measure(jax.device_get(latents(*pair)) for pair in pairs)
    if model.coordinates == "raw":
        found = whitening.identity(model.bands)
    return found._asdict()
