"""The identity matrix by an independent reader: tag for tag, where exiftool is installed."""

import dataclasses
import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.data import more_samples, samples
from wxjax.data import images

EXIFTOOL = shutil.which("exiftool")
pytestmark = pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
BOTH = {  # exiftool knows neither QOI nor every TGA
    name: entry for name, entry in (samples.ALL | more_samples.ALL).items()
    if not name.endswith((".qoi", ".tga"))
}  # fmt: skip
# About the file and its coding, not about the picture; Software is this program's by right.
OTHERWISE = {  # PreviewImage: what exiftool calls the strips of a TIFF that are JPEGs
    "AV1ConfigurationVersion", "AlphaCompression", "AlphaFiltering", "AlphaIsUsed",
    "AlphaPreprocessing", "BitDepth", "BitsPerSample", "ChromaFormat", "ColorMap",
    "ColorProfiles", "ColorSpaceData", "ColorType", "CompatibleBrands",
    "CompressedImageSize", "Compression", "DCTEncodeVersion", "EXRVersion",
    "EncodingProcess", "ExifByteOrder", "ExifTool", "ExtraSamples", "FileSize", "FillOrder",
    "Filter", "Flags", "HandlerType", "HorizontalScale", "ImageHeight", "ImageIDLen",
    "ImageLength", "ImagePixelDepth", "ImageSize", "ImageWidth", "Interlace", "JPEGQTables",
    "JPEGTables", "MediaDataOffset", "MediaDataSize", "Megapixels", "MetaImageSize",
    "MinorVersion", "NewSubfileType", "NumColors", "NumImportantColors", "Palette",
    "PhotometricInterpretation", "PlanarConfiguration", "Predictor", "PreviewImage",
    "PreviewImageLength", "PreviewImageStart", "PrimaryItemReference", "ProgressiveScans",
    "ReferenceBlackWhite", "RowsPerStrip", "SampleFormat", "SamplesPerPixel",
    "SignificantBits", "Software", "SourceFile", "StripByteCounts", "StripOffsets",
    "SubfileType", "System", "T4Options", "T6Options", "ThumbnailOffset", "TileByteCounts",
    "TileLength", "TileOffsets", "TileWidth", "Transparency", "VP8Version", "VerticalScale",
    "Warning", "WebP_Flags", "YCbCrPositioning", "YCbCrSubSampling",
}  # fmt: skip


def read(path) -> dict[str, object]:
    """group:tag -> value."""
    command = [EXIFTOOL, "-json", "-n", "-a", "-G1", "-struct", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    split = {name: name.split(":") for name in found}
    aside = {"System", "ExifTool", "File", "Composite"}
    return {
        name: value
        for name, value in found.items()
        if split[name][0] not in aside and split[name][-1] not in OTHERWISE
        and split[name][-1] != "SourceFile"
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOTH))
def test_identity_keeps_every_tag_and_a_new_file_every_tag_about_the_picture(name, tmp_path):
    data = BOTH[name][0]
    source, fresh = tmp_path / name, tmp_path / f"fresh-{name}"
    source.write_bytes(data)
    one = images.decode(data, name)
    if one.written_as != one.format:
        fresh = fresh.with_suffix({"JPEG": ".jpg", "PNG": ".png"}[one.written_as])
    fresh.write_bytes(images.encode(dataclasses.replace(one, changed=True)))
    before, after = read(source), read(fresh)
    if one.written_as != one.format:  # other containers name other groups
        known = ("IFD0", "ExifIFD", "GPS")
        before = {k: v for k, v in before.items() if k.split(":")[0] in known}
    lost = {tag: value for tag, value in before.items() if tag not in after}
    assert not lost
    changed = {tag: (value, after[tag]) for tag, value in before.items() if after[tag] != value}
    changed.pop("IFD0:Orientation", None)
    if name == "turned.heic":  # HEIC states the size before its turn
        sizes = [changed.pop(f"ExifIFD:ExifImage{side}") for side in ("Width", "Height")]
        assert sizes == [(34, 21), (21, 34)]
    assert not changed
    assert after.get("IFD0:Orientation", 1) == 1
    assert not np.isnan(images.decode(fresh.read_bytes(), name).size[0])


def test_software_is_seen_by_another_reader(tmp_path):
    for name in ("444.jpg", "8-rgb.png", "16-rgb.tif", "lossless.webp", "8.avif", "8.jxl"):
        one = images.decode(BOTH[name][0], name)
        path = tmp_path / name
        path.write_bytes(images.encode(dataclasses.replace(one, changed=True)))
        found = subprocess.run([EXIFTOOL, "-s3", "-Software", str(path)], capture_output=True)
        assert found.stdout.decode().strip().startswith("wxjax "), name
        check = subprocess.run([EXIFTOOL, "-validate", "-warning", "-a", str(path)],
                               capture_output=True, text=True)  # fmt: skip
        assert "Error" not in check.stdout
