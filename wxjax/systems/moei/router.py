"""Sample-level routers: from the bottleneck's output to logits over three experts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wxjax import errors
from wxjax.nn.attention import global_attention
from wxjax.ops.convolution import depthwise3x3
from wxjax.systems.moei import signs

ROUTERS = ("mlp", "convnext_t", "tiny_vit")
GRID = 8  # the token grid of any image is pooled to 8 x 8 before convnext_t and tiny_vit


def pool_grid(tokens, position, valid, grid) -> Float[Array, "8 8 d"]:
    """Mean token in each cell of an 8 x 8 division of the image.

    Args:
      tokens: `[l d]`; position: row and column of each, `[l 2]`; valid: `[l]`.
      grid: rows and columns of the token grid, `[2]`; may be traced.

    Cells that hold no token (a grid under 8 x 8) take the mean of all tokens.
    """
    cell = jnp.clip((position * GRID) // jnp.maximum(jnp.asarray(grid), 1), 0, GRID - 1)
    index = cell[:, 0] * GRID + cell[:, 1]
    sums = jnp.zeros((GRID * GRID, tokens.shape[-1])).at[index].add(tokens * valid[:, None])
    count = jnp.zeros((GRID * GRID, 1)).at[index].add(valid[:, None])
    mean = sums.sum(0) / jnp.maximum(count.sum(), 1)
    return jnp.where(count > 0, sums / jnp.maximum(count, 1), mean).reshape(GRID, GRID, -1)


class Router(nn.Module):
    """Logits `[b k]` from `vector [b v]` alone (mlp) or with `grid [b 8 8 d]` (the others).

    Attributes:
      kind: 'mlp', 'convnext_t' (depthwise 3x3 and a pointwise MLP, residual) or
        'tiny_vit' (global attention over the 64 cells).
      width: hidden features; depth: hidden layers or blocks.
      dropout: rate on the inputs, active where a key is given.
    """

    kind: str = "mlp"
    width: int = 128
    depth: int = 1
    experts: int = 3
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        vector: Float[Array, "b v"],
        grid: Float[Array, "b 8 8 d"],
        deterministic: bool = True,
    ) -> Float[Array, "b k"]:
        if self.kind not in ROUTERS:
            raise errors.unknown("config.router.kind", self.kind, ROUTERS)
        drop = nn.Dropout(self.dropout, deterministic=deterministic)
        x = drop(vector)
        if self.kind == "mlp":
            for i in range(self.depth):
                x = nn.gelu(nn.Dense(self.width, name=f"hidden{i}")(x))
        else:
            whole = nn.Dense(self.width, name="whole")(x)[:, None, None]
            x = nn.Dense(self.width, name="stem")(drop(nn.LayerNorm(name="norm")(grid))) + whole
            for i in range(self.depth):
                x = self.convnext(x, i) if self.kind == "convnext_t" else self.vit(x, i)
            x = x.mean((1, 2))
        return nn.Dense(self.experts, kernel_init=nn.initializers.zeros, name="logits")(x)

    def convnext(self, x, i):
        kernel = self.param(f"spatial{i}", nn.initializers.lecun_normal(), (3, 3, self.width))
        y = nn.LayerNorm(name=f"norm{i}")(depthwise3x3(x, kernel))
        y = nn.gelu(nn.Dense(4 * self.width, name=f"expand{i}")(y))
        return x + nn.Dense(self.width, name=f"project{i}")(y)

    def vit(self, x, i):
        b, h, w, c = x.shape
        y = nn.Dense(3 * c, name=f"qkv{i}")(nn.LayerNorm(name=f"norm_attn{i}")(x))
        q, k, v = jnp.moveaxis(y.reshape(b, h * w, 3, 4, c // 4), 2, 0)
        y = global_attention(q, k, v).reshape(b, h, w, c)
        x = x + nn.Dense(c, name=f"proj{i}")(y)
        y = nn.gelu(nn.Dense(2 * c, name=f"fc1_{i}")(nn.LayerNorm(name=f"norm_mlp{i}")(x)))
        return x + nn.Dense(c, name=f"fc2_{i}")(y)


def quantize(params) -> dict:
    """int8 weights: every kernel as whole numbers in [-127, 127] and a scale a column.

    Other leaves stay float32. `dequantize` gives back what inference computes with.
    """

    def pack(path, leaf):
        if path[-1].key != "kernel":
            return leaf
        scale = jnp.maximum(jnp.abs(leaf).max(0, keepdims=True), 1e-12) / 127
        return {"int8": jnp.round(leaf / scale).astype(jnp.int8), "scale": scale}

    return jax.tree_util.tree_map_with_path(pack, params)


def is_quantized(params) -> bool:
    return any(leaf.dtype == jnp.int8 for leaf in jax.tree.leaves(params))


def dequantize(params) -> dict:
    packed = lambda x: isinstance(x, dict) and set(x) == {"int8", "scale"}
    unpack = lambda x: x["int8"].astype(jnp.float32) * x["scale"] if packed(x) else x
    return jax.tree.map(unpack, params, is_leaf=packed)


def round_to_int8(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Activations as an int8 program sees them: one scale an example, 255 levels."""
    scale = jnp.maximum(jnp.abs(x).max(-1, keepdims=True), 1e-12) / 127
    return jnp.round(x / scale) * scale


def logits(
    router: Router, params, vector, grid, *, int8: bool = False, **options
) -> Float[Array, "b k"]:
    """The router's answer, with float32 or int8 weights and inputs.

    The start reads the statistics of the picture itself, the last of the vector, and says
    which degradation it is; the net adds what it learnt of the experts' errors. An
    untrained net adds nothing.

    Args:
      params: `start {kernel [s k], bias [k]}` (absent where the picture's own statistics
        are not read), `standard {center, scale}`, both `[v]`,
        and `net`.
    """
    first = 0.0
    if "start" in params:
        start = params["start"]
        first = vector[:, -len(start["kernel"]) :] @ start["kernel"] + start["bias"]
    vector = (vector - params["standard"]["center"]) / params["standard"]["scale"]
    net = params["net"]
    if int8:
        net = dequantize(net if is_quantized(net) else quantize(net))
        vector, grid = round_to_int8(vector), round_to_int8(grid)
    return first + router.apply({"params": net}, vector, grid, **options)


def uncalibrated() -> dict[str, Array]:
    """Calibration that changes nothing: T = 1, no lapses, never abstains."""
    return {
        "temperature": jnp.float32(1),
        "lapse": jnp.float32(0),
        "threshold": jnp.float32(0),
    }


def init_start(experts: int) -> dict[str, Array]:
    """A linear map from a picture's statistics to its degradation, that knows nothing yet."""
    return {"kernel": jnp.zeros((signs.FEATURES, experts)), "bias": jnp.zeros(experts)}


def fit_start(
    found: Float[np.ndarray, "n s"], kind: Int[np.ndarray, "n"], experts: int, strength: float
) -> dict[str, Float[np.ndarray, "..."]]:
    """The start by logistic regression, `strength` against its L2 penalty (C of scikit-learn).

    Convex: no rate and no seed. Kinds that no picture has are never chosen; of a single
    kind there is nothing to learn.
    """
    from sklearn import linear_model  # a second of imports that only training needs

    start = jax.tree.map(np.array, init_start(experts))
    if len(np.unique(kind)) < 2:
        return start
    plain = standard(found)
    model = linear_model.LogisticRegression(C=strength, max_iter=2_000, tol=1e-3)
    model.fit((found - plain["center"]) / plain["scale"], kind)
    slope, offset = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row says both
        slope, offset = np.concatenate([-slope, slope]) / 2, np.concatenate([-offset, offset]) / 2
    slope = slope / plain["scale"]
    start["bias"][:] = -1e4
    start["kernel"][:, model.classes_] = slope.T
    start["bias"][model.classes_] = offset - slope @ plain["center"]
    return start


def standard(vectors: Float[np.ndarray, "n v"]) -> dict[str, Float[np.ndarray, "v"]]:
    """Mean and standard deviation of every feature over the router's training images.

    Features of different maps differ by orders of magnitude; a feature that never
    changes is left as it is.
    """
    spread = vectors.std(0)
    scale = np.where(spread > 1e-6, spread, 1)
    return {"center": vectors.mean(0).astype(np.float32), "scale": scale.astype(np.float32)}


@jax.jit
def signs_of(image) -> Float[Array, "s"]:
    """What the start reads of a picture `[h w 3]` uint8; compiled once a size."""
    return signs.describe(signs.statistics(image[None] / jnp.float32(255))[0])
