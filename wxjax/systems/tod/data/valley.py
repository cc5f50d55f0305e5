"""A drawn valley under the sun: the embedded time-of-day scene, by seed, at any hour and size.

A height field with houses, a road and street lamps; the sun's path by latitude and declination,
cast shadows, an analytic sky, aerial haze, the moon, lamps and windows that switch. NumPy and
OpenCV only; nothing is read from disk. Lengths in metres, x east, y north, z up.
"""

import dataclasses
import functools

import cv2
import numpy as np
from jaxtyping import Float32

from wxjax import errors
from wxjax.systems.tod import sun
from wxjax.systems.tod.data.land import CELL, CELLS, SIDE, World, look, noise, world

LIGHTS = ((18.1, 5.9),)
RAYLEIGH = np.array([5.8e-6, 13.5e-6, 33.1e-6]) * 8000  # optical depth of the zenith
AEROSOL = 0.08
MOON = np.array([0.3, -0.5, 0.81])
WARM = np.array([1.0, 0.74, 0.4])  # lamps and windows
CAMERA, TARGET, ANGLE = (200.0, -95.0, 95.0), (200.0, 150.0, 12.0), 52.0


@dataclasses.dataclass(frozen=True)
class Surface:
    """What the pixels of one picture see: fields `[n ...]`, n = rows x columns x 4 samples."""

    shape: tuple[int, int]
    samples: int
    ray: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    hit: np.ndarray
    distance: np.ndarray
    windows: np.ndarray
    lamplight: np.ndarray
    openness: np.ndarray


def see(land: World, height: int, width: int, samples: int = 2) -> Surface:
    """What a camera above the valley sees: rays marched to the height field, then halved."""
    eye, aim = np.array(CAMERA), np.array(TARGET)
    forward = (aim - eye) / np.linalg.norm(aim - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    rows, columns = height * samples, width * samples
    v, u = np.mgrid[:rows, :columns]
    scale = np.tan(np.radians(ANGLE / 2))
    across = ((u + 0.5) / columns * 2 - 1) * scale
    down = (1 - (v + 0.5) / rows * 2) * scale * height / width
    ray = (forward + across[..., None] * right + down[..., None] * up).reshape(-1, 3)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    near, far = march(land, eye, ray)
    hit = np.isfinite(far)
    low, high = near, np.where(hit, far, near)
    for _ in range(10):
        middle = (low + high) / 2
        place = eye + ray * middle[:, None]
        under = place[:, 2] < look(land.height, place[:, 0], place[:, 1])
        low, high = np.where(under, low, middle), np.where(under, middle, high)
    return surface(land, eye + ray * low[:, None], ray, hit, low, (height, width), samples)


def march(land: World, eye: np.ndarray, ray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances `[n]` before and after a ray first meets the ground; after is inf in the sky."""
    near, far = np.full(len(ray), 20.0), np.full(len(ray), np.inf)
    active, at, top = np.arange(len(ray)), 20.0, float(land.height.max())
    x, y, z = ray.astype(np.float32).T
    while at < 900 and len(active):
        px, py, pz = (eye[i] + v * np.float32(at) for i, v in enumerate((x, y, z)))
        below = (pz < top) & (px > 0) & (px < SIDE) & (py > 0) & (py < SIDE)
        low = np.flatnonzero(below)
        below[low] = pz[low] < look(land.height, px[low], py[low])
        far[active[below]] = at
        keep = ~below & ((pz < top) | (z < 0)) & (py < SIDE)
        near[active[~below]] = at
        active, x, y, z = active[keep], x[keep], y[keep], z[keep]
        at += max(0.5, 0.004 * at)
    return near, far


def surface(land, point, ray, hit, distance, shape, samples) -> Surface:
    """Everything about the points seen that does not depend on the hour."""
    x, y = point[:, 0], point[:, 1]
    slope = [look(g, x, y) for g in np.gradient(land.height, CELL)]
    normal = np.stack([-slope[1], -slope[0], np.ones_like(x)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    open_sky = np.zeros(len(x))
    for altitude in (20, 50):
        for azimuth in np.radians(np.arange(0, 360, 45)):
            flat = np.cos(np.radians(altitude))
            light = (flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(np.radians(altitude)))
            open_sky += lit(land, point, normal, np.array(light)) / 16
    return Surface(
        shape, samples, ray, point, normal, look(land.albedo, x, y), hit, distance,
        look(land.windows, x, y), lamplight(land, point, normal), open_sky,
    )  # fmt: skip


def lamplight(land: World, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Irradiance `[n 3]` of the street lamps, falling off with distance, nothing in their way."""
    total = np.zeros(len(point))
    for lamp in land.lamps:
        towards = lamp - point
        distance = np.linalg.norm(towards, axis=-1)
        facing = np.clip((towards * normal).sum(-1) / distance, 0, 1)
        total += np.where(distance < 45, 22 * facing / (distance**2 + 4), 0)
    return total[:, None] * WARM


def lit(land: World, point: np.ndarray, normal: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Share of a direction's light that arrives at each point, in [0, 1].

    The height below which ground lies in shadow, S = max over d of H(x + d) - d tan(alt), is
    found over the whole world by doubling d, as far as the highest hill can throw a shadow.
    """
    level = np.hypot(light[0], light[1])
    if level < 1e-6:
        return np.ones(len(point))
    step, drop = light[:2] / level, max(light[2] / level, 1e-3)
    reach = np.ptp(land.height) / (CELL * drop)
    shadow, cells = shift(land.height, step) - np.float32(CELL * drop), 1
    while cells < min(reach, CELLS):
        below = np.float32(cells * CELL * drop)
        shadow = np.maximum(shadow, shift(shadow, step * cells) - below)
        cells *= 2
    place = point + 0.6 * normal
    above = place[:, 2] - look(shadow, place[:, 0], place[:, 1])
    return np.clip(0.5 + above / 0.6, 0, 1)


def shift(grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The map as seen `cells` (x, y) further on; nothing beyond the border."""
    matrix = np.float32([[1, 0, cells[0]], [0, 1, cells[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size, border = grid.shape[::-1], dict(borderMode=cv2.BORDER_CONSTANT, borderValue=-1e3)
    return cv2.warpAffine(grid, matrix, size, flags=flags, **border)


def sky(ray: np.ndarray, towards: np.ndarray, altitude: float) -> np.ndarray:
    """Radiance `[n 3]` of the sky along rays: Rayleigh blue, haze, glow, twilight, night."""
    cosine, up = np.clip(ray @ towards, -1, 1), np.clip(ray[:, 2], 0, 1)
    day = 1 / (1 + np.exp(-(altitude + 2) / 2.2))
    through = transmittance(max(altitude, 0.0))
    blue = RAYLEIGH / RAYLEIGH.sum() * 3 * 0.75 * (1 + cosine[:, None] ** 2)
    blue = blue * 0.2 * np.minimum(1 / (up + 0.08), 4.5)[:, None] ** 0.55 * (0.35 + 0.65 * through)
    haze = 0.11 * np.exp(-7 * up)[:, None] * (0.35 + 0.65 * through)
    forward = (1 - 0.76**2) / (1 + 0.76**2 - 1.52 * cosine) ** 1.5
    glow = 0.05 * forward[:, None] * through
    warm = np.exp(-((altitude / 7) ** 2) - 5 * up) * np.clip(0.3 + 0.7 * cosine, 0, 1)
    dark = (0.6 + 0.4 * np.exp(-4 * up))[:, None] * (0.006, 0.009, 0.018)
    return day * (blue + haze + glow) + 0.55 * warm[:, None] * (1.0, 0.42, 0.16) + dark


def transmittance(altitude: float) -> np.ndarray:
    """Share of the sun's red, green, blue that comes through (Kasten's air mass)."""
    if altitude <= -4.6:
        return np.exp(-(RAYLEIGH + AEROSOL) * 38)
    path = 1 / (np.sin(np.radians(altitude)) + 0.15 * (altitude + 8.685) ** -1.253)
    return np.exp(-(RAYLEIGH + AEROSOL) * np.clip(path, 1, 38))


def clouds(place: np.ndarray, towards: np.ndarray, hour: float, cover: float, seed: int):
    """Share of the sun that drifting clouds at 300 m let through, `[n]`: no two hours alike."""
    field = noise(np.random.default_rng([seed, 1]), 6, 0.6)
    up = 300 / max(towards[2], 0.15)
    x = (place[:, 0] + up * towards[0] + 97 * hour) % SIDE
    y = (place[:, 1] + up * towards[1] + 41 * hour) % SIDE
    edge = np.quantile(field, 1 - cover)
    return 1 - 0.85 * np.clip(0.5 + (look(field, x, y) - edge) / 0.08, 0, 1)


def irradiance(
    land: World, seen: Surface, hour: float, latitude: float, declination: float,
    cover: float, seed: int,
) -> np.ndarray:  # fmt: skip
    """Light that arrives at every point that is ground, `[n 3]`: sun, sky, moon and lamps."""
    towards, altitude = overhead(hour, latitude, declination)
    ground = np.flatnonzero(seen.hit)
    point, normal = seen.point[ground], seen.normal[ground]
    arriving = np.zeros((len(ground), 3))
    if altitude > -0.6:
        share = sum(lit(land, point, normal, d) for d in disc(towards)) / 4
        if cover:
            share *= clouds(point, towards, hour, cover, seed)
        rising = np.clip((altitude + 0.6) / 1.2, 0, 1)
        facing = share * np.clip(normal @ towards, 0, 1)
        arriving += 1.25 * rising * facing[:, None] * transmittance(altitude)
    dome = np.array([[0, 0, 1], [0.9, 0, 0.43], [-0.9, 0, 0.43], [0, 0.9, 0.43], [0, -0.9, 0.43]])
    ambient = sky(dome, towards, altitude).mean(0)
    arriving += 1.6 * (seen.openness[ground] * (0.5 + 0.5 * normal[:, 2]))[:, None] * ambient
    moon = 1 / (1 + np.exp((altitude + 5) / 2)) * np.clip(normal @ MOON, 0, 1)
    arriving += 0.01 * moon[:, None] * (0.7, 0.8, 1.0)
    return arriving + burning(hour) * seen.lamplight[ground]


def overhead(hour: float, latitude: float, declination: float) -> tuple[np.ndarray, float]:
    """The sun's direction `[3]` and altitude in degrees."""
    vector, altitude = sun.position(np.float64(hour)[None], latitude, declination)
    return vector[0], float(altitude[0])


def burning(hour: float) -> float:
    return float(sun.lamp(np.float64(hour)[None], LIGHTS)[0])


def radiance(
    land: World, seen: Surface, hour: float, *, latitude=40.0, declination=0.0, cover=0.0, seed=0
) -> Float32[np.ndarray, "h w 3"]:
    """Linear light of every pixel at an hour; unbounded above."""
    towards, altitude = overhead(hour, latitude, declination)
    ground = np.flatnonzero(seen.hit)
    arriving = irradiance(land, seen, hour, latitude, declination, cover, seed)
    out = sky(seen.ray, towards, altitude)
    light = seen.albedo[ground] * arriving
    light = light + 0.6 * burning(hour) * seen.windows[ground][:, None] * (1.0, 0.75, 0.4)
    clear = np.exp(-seen.distance[ground] / 1500)[:, None]
    level = seen.ray[ground] * (1, 1, 0) + (0, 0, 0.05)
    out[ground] = clear * light + (1 - clear) * sky(level, towards, altitude)
    (height, width), n = seen.shape, seen.samples
    return out.reshape(height, n, width, n, 3).mean((1, 3)).astype(np.float32)


def disc(towards: np.ndarray) -> list[np.ndarray]:
    """Four directions on the sun's disc, 0.012 rad wide of the mark: soft edges of shadows."""
    side = np.cross(towards, [0, 0, 1.0])
    side /= max(np.linalg.norm(side), 1e-9)
    other = np.cross(towards, side)
    turns = 2 * np.pi * (np.arange(4) + 0.5) / 4
    found = [towards + 0.012 * (np.cos(a) * side + np.sin(a) * other) for a in turns]
    return [v / np.linalg.norm(v) for v in found]


def develop(light: np.ndarray, exposure: float = 1.15) -> np.ndarray:
    """Linear light as an 8-bit sRGB photograph: a film-like curve (Narkowicz's ACES fit)."""
    x = light * exposure
    x = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    coded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.rint(255 * coded).astype(np.uint8)


def check(height: int, width: int, cover: float) -> None:
    """Raises InputError for a size or a share of clouds out of range."""
    for name, value in (("height", height), ("width", width)):
        if not 16 <= value <= 2160 * 2:
            raise errors.bad(f"data.{name}", value, "expected 16 to 4320 pixels")
    if not 0 <= cover < 1:
        raise errors.bad("data.clouds", cover, "expected a share from 0 to below 1")


@functools.lru_cache(maxsize=4)
def photographs(
    hours: tuple[float, ...],
    height: int,
    width: int,
    seed: int = 3,
    latitude: float = 40.0,
    declination: float = 0.0,
    cover: float = 0.0,
) -> np.ndarray:
    """The valley at every hour, uint8 `[t h w 3]`, read-only.

    Raises:
      InputError: for a size or a share of clouds out of range.
    """
    check(height, width, cover)
    land = world(seed)
    seen = see(land, height, width)
    weather = dict(latitude=latitude, declination=declination, cover=cover, seed=seed)
    frames = np.stack([develop(radiance(land, seen, hour, **weather)) for hour in hours])
    frames.flags.writeable = False
    return frames


def lightmap(
    hours: tuple[float, ...], height: int, width: int, seed: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Irradiance of the ground from above, float32 `[t h w 3]` unbounded, and its mask `[h w]`.

    A map of the middle of the valley, 240 m wide; 12 % of it, in blobs, are not valid, as where
    a baked chart has no surface.

    Raises:
      InputError: for a size out of range.
    """
    check(height, width, 0.0)
    land = world(seed)
    rows, columns = np.mgrid[:height, :width]
    x = 80 + (columns.ravel() + 0.5) / width * 240
    y = 60 + (rows.ravel() + 0.5) / width * 240
    point = np.stack([x, y, look(land.height, x, y)], -1)
    every, nothing = np.ones(len(x), bool), np.zeros(len(x))
    down = np.tile([0.0, 0, -1], (len(x), 1))
    seen = surface(land, point, down, every, nothing, (height, width), 1)
    light = [irradiance(land, seen, hour, 40.0, 0.0, 0.0, seed) for hour in hours]
    holes = cv2.resize(noise(np.random.default_rng([seed, 2]), 4, 0.5), (width, height))
    frames = np.stack(light).reshape(len(hours), height, width, 3).astype(np.float32)
    return frames, holes > np.quantile(holes, 0.12)
