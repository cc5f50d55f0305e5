"""The second-order degradation of Real-ESRGAN (Wang et al., ICCVW 2021) as ResShift sets it.

Blur, resize, noise and JPEG, half of the time twice. Noise is drawn on one grey channel and
added to all: colour noise on three equal channels would colour an infrared frame.
"""

import cv2
import numpy as np

KINDS = ("iso", "aniso", "generalised", "generalised_aniso", "plateau", "plateau_aniso")
SHARES = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def degrade(large: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The small frame `size` = (h, w) of a large one `[H W c]` of 8 or 16 bits."""
    top = np.iinfo(large.dtype).max
    x = large.astype(np.float32) / top
    x = blur(x, kernel(rng, 19, (0.2, 3.0)))
    x = resize(x, rng, (0.2, 0.7, 0.1), (0.15, 1.5), x.shape[:2])
    x = jpeg(noise(x, rng, 0.5, (1.0, 30.0), (0.05, 3.0)), rng)
    if rng.random() < 0.5:
        if rng.random() < 0.8:
            x = blur(x, kernel(rng, 13, (0.2, 1.5)))
        x = resize(x, rng, (0.3, 0.4, 0.3), (0.3, 1.2), size)
        x = noise(x, rng, 0.5, (1.0, 25.0), (0.05, 2.5))
    final = sinc(rng.uniform(np.pi / 3, np.pi), odd(rng, 3, 13)) if rng.random() < 0.8 else None
    method = INTERPOLATIONS[rng.integers(3)]
    if rng.random() < 0.5:
        x = jpeg(_sized(blur(_sized(x, size, method), final), size, method), rng)
    else:
        x = blur(_sized(jpeg(x, rng), size, method), final)
    return np.floor(np.clip(x, 0, 1) * top + 0.5).astype(large.dtype)


def odd(rng: np.random.Generator, least: int, most: int) -> int:
    """An odd number, both ends included."""
    return int(least + 2 * rng.integers((most - least) // 2 + 1))


def kernel(rng: np.random.Generator, most: int, spread: tuple[float, float]) -> np.ndarray:
    """A blur of odd side 3 to `most`: of Gaussian kin, or with probability 0.1 a low pass."""
    side = odd(rng, 3, most)
    if rng.random() < 0.1:
        return sinc(rng.uniform(np.pi / (3 if side < 13 else 5), np.pi), side)
    kind = KINDS[rng.choice(len(KINDS), p=SHARES)]
    sigma = rng.uniform(*spread, 2)
    if not kind.endswith("aniso"):
        sigma[1] = sigma[0]
    beta = 1.0
    if "generalised" in kind or "plateau" in kind:
        low, high = (0.5, 4.0) if "generalised" in kind else (1.0, 2.0)
        beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    return density(side, sigma, rng.uniform(-np.pi, np.pi), beta, plateau="plateau" in kind)


def density(
    side: int, sigma: np.ndarray, angle: float, beta: float, *, plateau: bool = False
) -> np.ndarray:
    """exp(-q^beta / 2), or 1 / (1 + q^beta), with q = d' Sigma^-1 d; sums to 1."""
    around = np.arange(side) - side // 2
    y, x = np.meshgrid(around, around, indexing="ij")
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    q = (along / sigma[0]) ** 2 + (across / sigma[1]) ** 2
    values = 1 / (1 + q**beta) if plateau else np.exp(-(q**beta) / 2)
    return values / values.sum()


def sinc(cutoff: float, side: int) -> np.ndarray:
    """A circular low pass: w J1(w rho) / (2 pi rho), its centre w^2 / (4 pi); sums to 1."""
    from scipy import special

    around = np.arange(side) - side // 2
    rho = np.hypot(*np.meshgrid(around, around, indexing="ij"))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = cutoff * special.j1(cutoff * rho) / (2 * np.pi * rho)
    values[side // 2, side // 2] = cutoff**2 / (4 * np.pi)
    return values / values.sum()


def blur(x: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Correlation with `weights`, the border reflected; None is no blur."""
    if weights is None:
        return x
    return _deep(cv2.filter2D(x, -1, weights.astype(np.float32), borderType=cv2.BORDER_REFLECT_101))


def resize(
    x: np.ndarray,
    rng: np.random.Generator,
    shares: tuple[float, float, float],
    limits: tuple[float, float],
    of: tuple[int, int],
) -> np.ndarray:
    """Up, down or not at all, with probabilities `shares`; a factor of the size `of`."""
    way = rng.choice(3, p=shares)
    factor = (rng.uniform(1, limits[1]), rng.uniform(limits[0], 1), 1.0)[way]
    size = tuple(max(2, int(side * factor)) for side in of)
    return _sized(x, size, INTERPOLATIONS[rng.integers(3)])


def noise(
    x: np.ndarray,
    rng: np.random.Generator,
    gaussian: float | int,
    sigma: tuple[float, float],
    scale: tuple[float, float],
) -> np.ndarray:
    """Gaussian noise of `sigma` / 255 with probability `gaussian`, else scaled photon noise."""
    grey = x.mean(-1, keepdims=True)
    if rng.random() < gaussian:
        added = rng.uniform(*sigma) / 255 * rng.standard_normal(grey.shape)
    else:
        light = np.clip(np.rint(grey * 255), 0, 255) / 255
        levels = 2 ** np.ceil(np.log2(max(2, len(np.unique(light)))))
        added = rng.uniform(*scale) * (rng.poisson(light * levels) / levels - light)
    return np.clip(x + added.astype(np.float32), 0, 1)


def jpeg(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through an 8-bit JPEG of quality 30 to 95; one channel stays one."""
    codes = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
    flags = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
    data = cv2.imencode(".jpg", np.ascontiguousarray(codes[..., ::-1]), flags)[1]
    decoded = _deep(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    return decoded[..., ::-1].astype(np.float32) / 255


def _sized(x: np.ndarray, size: tuple[int, int], method: int) -> np.ndarray:
    return x if x.shape[:2] == size else _deep(cv2.resize(x, size[::-1], interpolation=method))


def _deep(x: np.ndarray) -> np.ndarray:
    return x[..., None] if x.ndim == 2 else x
