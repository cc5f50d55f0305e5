"""HyperAttention: softmax attention of long sequences from near keys and a few sampled ones.

Han et al., "HyperAttention: Long-context Attention in Near-Linear Time", ICLR 2024, in the
form that DehazeXL runs from 4096 tokens on. Queries and keys are sorted by a hash, each block
of queries attends to the keys of its own block, and all queries to the same random keys.

Axes: b images, n tokens, h heads, d features of a head, r hash bits, s sampled keys.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from wxjax import errors
from wxjax.nn import attention

KINDS = ("exact", "cudnn", "hyper", "auto")
BITS, BLOCK, SAMPLES = 7, 256, 256
SWITCH = 4096  # tokens from which 'auto' takes the hashed form, as DehazeXL does


class Attended(NamedTuple):
    """`output [b n h d]` and the log-sum-exp of the logits `[b n h]`."""

    output: Any
    lse: Any


def token_attention(
    kind: str,
    q: Float[Array, "b n h d"],
    k: Float[Array, "b n h d"],
    v: Float[Array, "b n h d"],
    valid: Float[Array, "b n"] | None = None,
    *,
    projections: Float[Array, "d r"] | None = None,
    key: Any = None,
    chunk: int = 1024,
) -> Float[Array, "b n h d"]:
    """Attention among all tokens: 'exact', 'hyper', or 'auto' (hyper from 4096 tokens on).

    'cudnn' is the exact one by cuDNN's kernel, on an NVIDIA GPU and in 16 bits.

    Args:
      valid: 1 for tokens that exist, 0 for padding; 'auto' counts those that exist.
      projections: hash directions; drawn from a fixed seed where absent, so that the
        result is a function of its arguments (DehazeXL draws new ones in every process).
      key: of the sampled keys; fixed where absent.

    Raises:
      InputError: for another kind.
    """
    if kind not in KINDS:
        raise errors.unknown("model.bottleneck.attention", kind, KINDS)

    def exact(q, k, v):
        return attention.global_attention(q, k, v, valid, chunk=chunk)

    def hashed(q, k, v):
        bits = draw_projections(q.shape[-1]) if projections is None else projections
        sampling = jax.random.key(0) if key is None else key
        return hyper_attention(q, k, v, bits, key=sampling, valid=valid).output.astype(v.dtype)

    if kind == "cudnn":
        return fused(q, k, v, valid)
    if is_exact(kind, q.shape[1]):
        return exact(q, k, v)
    if kind == "hyper" or valid is None:
        return hashed(q, k, v)
    return jax.lax.cond((valid > 0).sum(1).max() < SWITCH, exact, hashed, q, k, v)


def is_exact(kind: str, tokens: int) -> bool:
    """Whether `token_attention` of so many tokens, padding included, is softmax attention."""
    return kind == "exact" or (kind == "auto" and tokens < SWITCH)


def fused(q, k, v, valid=None, implementation: str = "cudnn") -> Float[Array, "b n h d"]:
    """Softmax attention by one kernel of a library; tokens that are not `valid` come last.

    Raises:
      InputError: where cuDNN's kernel does not run.
    """
    if implementation == "cudnn" and (jax.default_backend() != "gpu" or q.dtype.itemsize != 2):
        found = f"{q.dtype} on a {jax.default_backend()}"
        expected = f"expected an NVIDIA GPU and bfloat16 or float16, found {found}"
        raise errors.bad("model.bottleneck.attention", "cudnn", expected, "Take exact.")
    lengths = None if valid is None else (valid > 0).sum(1).astype(jnp.int32)
    return jax.nn.dot_product_attention(
        q, k, v, key_value_seq_lengths=lengths, implementation=implementation
    )


def draw_projections(d: int, seed: int = 0) -> Float[Array, "d r"]:
    """Standard-normal hash directions."""
    return jax.random.normal(jax.random.key(seed), (d, BITS))


def hyper_attention(
    q: Float[Array, "b n h d"],
    k: Float[Array, "b n h d"],
    v: Float[Array, "b n h d"],
    projections: Float[Array, "d r"],
    *,
    key: Any = None,
    sampled: Int[Array, "b h s"] | None = None,
    valid: Float[Array, "b n"] | None = None,
    block: int = BLOCK,
    samples: int = SAMPLES,
) -> Attended:
    """Non-causal HyperAttention with logits scaled by d^-1/2, float32 inside.

    Two oddities of DehazeXL's code are kept, for its weights were trained with them: the
    zero rows that fill the last block count as keys with logit 0, and sampled keys of a
    query's own block count twice. Tokens that are not `valid` play those zero rows, so a
    padded sequence gives what the unpadded one gives.

    Args:
      key: draws the sampled keys, with replacement; not needed with `sampled`.
      sampled: places of the sampled keys among the sorted ones.
      block, samples: keys a query sees nearby, and everywhere; without more tokens than
        `samples` there is no sampled part.
    """
    b, n, h, d = q.shape
    q, k, v = (jnp.moveaxis(x, 2, 1).astype(jnp.float32) for x in (q, k, v))  # [b h n d]
    real = jnp.ones((b, n), bool) if valid is None else valid > 0
    q, k, v = (jnp.where(real[:, None, :, None], x, 0) for x in (q, k, v))
    count = real.sum(1)[:, None]  # [b 1]
    q_order, k_order = (_order(x, projections, real) for x in (q, k))
    q, k, v = _take(q, q_order), _take(k, k_order), _take(v, k_order)

    if sampled is None:
        uniform = jax.random.uniform(key, (b, h, samples))
        sampled = jnp.minimum((uniform * count[..., None]).astype(jnp.int32), count[..., None] - 1)
    far = (_take(k, sampled), _take(v, sampled))
    lift = jnp.where(count > samples, jnp.log(count / samples), -jnp.inf)  # [b 1]

    steps = -(-n // block)
    pad = ((0, 0), (0, 0), (0, steps * block - n), (0, 0))
    cut = lambda x: jnp.moveaxis(jnp.pad(x, pad).reshape(b, h, steps, block, d), 2, 0)

    def one(near):
        query, near_key, near_value = near
        output, lse = _softmax(query, near_key, near_value)
        if n <= samples:
            return output, lse
        other, far_lse = _softmax(query, *far)
        share = jax.nn.sigmoid(lse - far_lse - lift[..., None])  # exp() of it overflows
        mixed = share[..., None] * output + (1 - share[..., None]) * other
        return mixed, lse - jnp.log(share + np.finfo(np.float32).eps)

    output, lse = jax.lax.map(one, (cut(q), cut(k), cut(v)), batch_size=4)
    output = jnp.moveaxis(output, 0, 2).reshape(b, h, steps * block, d)[:, :, :n]
    lse = jnp.moveaxis(lse, 0, 2).reshape(b, h, steps * block, 1)[:, :, :n]
    back = jnp.argsort(q_order, -1)
    return Attended(
        jnp.moveaxis(_take(output, back), 1, 2), jnp.moveaxis(_take(lse, back)[..., 0], 1, 2)
    )


def gray_order(bits: int) -> np.ndarray:
    """Rank of each hash code, `[2^bits]`: the reflected Gray code of the code.

    The paper means its inverse, under which neighbouring ranks would differ in one bit.
    """
    ranks = np.array([0, 1])
    for bit in range(1, bits):
        ranks = np.concatenate([ranks, ranks[::-1] + (1 << bit)])
    return ranks


def _order(x, projections, real):
    """Stable order of tokens by the rank of their hash, those that do not exist last."""
    bits = projections.shape[-1]
    code = ((x @ projections) > 0).astype(jnp.int32) @ (1 << np.arange(bits))
    rank = jnp.asarray(gray_order(bits))[code]
    return jnp.argsort(jnp.where(real[:, None], rank, 1 << bits), -1, stable=True)


def _take(x, index):
    return jnp.take_along_axis(x, index[..., None], 2)


def _softmax(q, k, v):
    logits = jnp.einsum("bhqd,bhkd->bhqk", q, k) * q.shape[-1] ** -0.5
    lse = jax.nn.logsumexp(logits, -1)
    return jnp.einsum("bhqk,bhkd->bhqd", jnp.exp(logits - lse[..., None]), v), lse
