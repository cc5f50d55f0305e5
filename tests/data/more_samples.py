"""Small pictures of the kinds that samples.py lacks, by encoders that wxjax does not use so."""

import io

import imagecodecs
import numpy as np
import OpenEXR
from PIL import Image

from tests.data import heic, samples


def _pillow(pixels: np.ndarray, kind: str, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, kind, **options)
    return out.getvalue()


def exr(planes: dict, **head) -> bytes:
    out = io.BytesIO()
    head = {"compression": OpenEXR.PIZ_COMPRESSION, "owner": "me", **head}
    OpenEXR.File(head, {n: np.ascontiguousarray(p) for n, p in planes.items()}).write(out)
    return out.getvalue()


def ppm(pixels: np.ndarray, most: int) -> bytes:
    head = f"P6\n# by hand\n{pixels.shape[1]} {pixels.shape[0]}\n{most}\n".encode()
    return head + pixels.astype(">u2" if most > 255 else np.uint8).tobytes()


def widened(pixels: np.ndarray, top: int) -> np.ndarray:
    return np.floor(pixels / top * 65535 + 0.5).astype(np.uint16)


def _all() -> dict[str, tuple[bytes, np.ndarray | None, float]]:
    """name -> (file, its samples or None, tolerance of a second writing)."""
    rgb, rgba, grey = samples.smooth(3), samples.smooth(4), samples.smooth(1)
    deep, ten = samples.smooth(3, 65535, np.uint16), samples.smooth(3, 1023, np.uint16)
    twelve = samples.smooth(3, 4095, np.uint16)
    light = samples.smooth(3).astype(np.float32) / 200
    half = light.astype(np.float16)
    tags = {"exif": samples.exif(), "xmp": samples.XMP % 1}
    text = "P2 34 21 255\n" + " ".join(map(str, grey.ravel()))
    indexed = Image.fromarray(rgb).quantize(13)
    out = io.BytesIO()
    indexed.save(out, "GIF")
    return {
        "8.avif": (_pillow(rgb, "AVIF", quality=95, subsampling="4:4:4", **tags), None, 4),
        "8-alpha.avif": (_pillow(rgba, "AVIF", quality=95), None, 12),
        "10.avif": (imagecodecs.avif_encode(ten, level=100, bitspersample=10),
                    widened(ten, 1023), 0),
        "12.avif": (imagecodecs.avif_encode(twelve, level=100, bitspersample=12),
                    widened(twelve, 4095), 0),
        "8.jxl": (imagecodecs.jpegxl_encode(rgb, lossless=True), rgb, 0),
        "8-alpha.jxl": (imagecodecs.jpegxl_encode(rgba, lossless=True), rgba, 0),
        "8-grey.jxl": (imagecodecs.jpegxl_encode(grey[..., 0], lossless=True), grey, 0),
        "8-lossy.jxl": (imagecodecs.jpegxl_encode(rgb, distance=1.0, lossless=False), None, 12),
        "from-jpeg.jxl": (imagecodecs.jpegxl_encode_jpeg(samples.ALL["444.jpg"][0]), None, 4),
        "16.jxl": (imagecodecs.jpegxl_encode(deep, lossless=True), deep, 0),
        "float.jxl": (imagecodecs.jpegxl_encode(light, lossless=True), light, 0),
        "float.exr": (exr({"RGB": light}), light, 0),
        "half.exr": (exr({"RGB": half}), half.astype(np.float32), 0),
        "grey.exr": (exr({"Y": light[..., 0]}), light[..., :1], 0),
        "alpha.exr": (exr({"RGBA": np.concatenate([light, light[..., :1]], -1)}),
                      np.concatenate([light, light[..., :1]], -1), 0),
        "24.bmp": (_pillow(rgb, "BMP"), rgb, 0),
        "grey.bmp": (_pillow(grey, "BMP"), grey, 0),
        "8.ppm": (ppm(rgb, 255), rgb, 0),
        "16.ppm": (ppm(deep, 65535), deep, 0),
        "10.ppm": (ppm(ten, 1023), widened(ten, 1023), 0),
        "text.pgm": (text.encode(), grey, 0),
        "24.tga": (_pillow(rgb, "TGA"), rgb, 0),
        "32-rle.tga": (_pillow(rgba, "TGA", compression="tga_rle"), rgba, 0),
        "24.qoi": (bytes(imagecodecs.qoi_encode(rgb)), rgb, 0),
        "32.qoi": (bytes(imagecodecs.qoi_encode(rgba)), rgba, 0),
        "still.gif": (out.getvalue(), np.asarray(indexed.convert("RGB")), 0),
        "8.jp2": (_pillow(rgb, "JPEG2000", irreversible=False), rgb, 0),
        "16.j2k": (bytes(imagecodecs.jpeg2k_encode(deep, level=0, codecformat="j2k")), deep, 0),
        "8.heic": (heic.EIGHT, None, 6),
        "turned.heic": (heic.TURNED, None, 6),
        "10.heic": (heic.TEN, None, 300),
        "alpha.heic": (heic.ALPHA, None, 12),
    }  # fmt: skip


ALL = _all()
