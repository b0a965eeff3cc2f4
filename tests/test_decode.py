"""One picture file in any colour mode, size and orientation, against Pillow and NumPy directly."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_same
from PIL import Image

from rawconv.data.decode import decode, resize_center_crop

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 6, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 6), np.uint8)
ALPHA = RNG.integers(0, 256, (6, 6), np.uint8)


def saved(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def over_grey(rgb, alpha):
    """alpha * colour + (1 - alpha) * 128."""
    a = alpha[..., None] / 255
    return rgb * a + 128 * (1 - a)


@given(
    size=st.integers(1, 12),
    ratio=st.integers(1, 4),
    more=st.integers(0, 9),
    tall=st.booleans(),
    seed=st.integers(0, 9),
)
def test_fit_is_resize_then_centre_crop(size, ratio, more, tall, seed):
    """Where the sides divide, so that Pillow's resize of the whole has no rounding of its own."""
    shape = (size * ratio, (size + 2 * more) * ratio)
    pixels = np.random.default_rng(seed).integers(
        0, 256, (*(shape[::-1] if tall else shape), 3), np.uint8
    )
    image = Image.fromarray(pixels)
    want = np.asarray(
        image.resize((image.width // ratio, image.height // ratio), Image.Resampling.BICUBIC)
    )
    want = want[more : more + size] if tall else want[:, more : more + size]
    assert np.abs(resize_center_crop(image, size).astype(int) - want).max() <= (
        ratio > 1
    )  # Pillow rounds after each of two passes


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 40))
def test_fit_of_odd_sizes(height, width, size):
    """A ramp stays a ramp: its values tell where every pixel came from, to half a pixel of the source."""
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = 3 * np.arange(width)
    ramp[..., 1] = 3 * np.arange(height)[:, None]
    got = resize_center_crop(Image.fromarray(ramp), size).astype(float) / 3
    assert got.shape == (size, size, 3)
    side = min(height, width)
    where = (np.arange(size) + 0.5) * side / size - 0.5
    for channel, total in ((0, width), (1, height)):
        want = np.clip(where + (total - side) / 2, 0, total - 1)
        line = got[size // 2, :, 0] if channel == 0 else got[:, size // 2, 1]
        assert np.abs(line - want).max() <= 0.5 * max(1, side / size)


@pytest.mark.parametrize(
    ("file", "want", "tolerance"),
    [
        (saved(Image.fromarray(RGB)), RGB, 0),
        (saved(Image.fromarray(GREY)), np.stack([GREY] * 3, -1), 0),
        (saved(Image.fromarray(GREY > 99)), np.stack([(GREY > 99) * 255] * 3, -1), 0),
        (saved(Image.fromarray(GREY.astype(np.uint16) * 257)), np.stack([GREY] * 3, -1), 0),
        (saved(Image.fromarray(GREY.astype(np.uint16) * 257), "tiff"), np.stack([GREY] * 3, -1), 0),
        (saved(Image.fromarray(np.dstack([RGB, ALPHA]))), over_grey(RGB, ALPHA), 1),
        (
            saved(Image.fromarray(np.dstack([GREY, ALPHA]))),
            over_grey(np.stack([GREY] * 3, -1), ALPHA),
            1,
        ),
        (
            saved(Image.fromarray(RGB // 128 * 255).convert("P", palette=Image.Palette.ADAPTIVE)),
            RGB // 128 * 255,
            0,
        ),
        (saved(Image.fromarray(255 - np.dstack([RGB, 0 * GREY + 255]), "CMYK"), "tiff"), RGB, 0),
        (
            saved(Image.new("CMYK", (6, 6), (0, 255, 255, 0)), "jpeg", quality=100),
            np.full((6, 6, 3), [255, 0, 0]),
            3,
        ),
        (saved(Image.new("YCbCr", (6, 6), (128, 128, 128)), "jpeg"), np.full((6, 6, 3), 128), 1),
        (saved(Image.fromarray(RGB), "webp", lossless=True), RGB, 0),
        (saved(Image.fromarray(RGB), "bmp"), RGB, 0),
        (saved(Image.fromarray(RGB), "ppm"), RGB, 0),
    ],
    ids=[
        "RGB",
        "L",
        "1",
        "16bit",
        "16bit-tiff",
        "RGBA",
        "LA",
        "P",
        "CMYK",
        "CMYK-jpeg",
        "jpeg",
        "webp",
        "bmp",
        "ppm",
    ],
)
def test_every_mode_becomes_rgb(file, want, tolerance):
    file.seek(0)
    got = decode(file, 6)
    assert got.dtype == np.uint8 and got.shape == (6, 6, 3)
    assert np.abs(got.astype(int) - np.round(want)).max() <= tolerance


def test_transparency_of_a_palette_and_of_a_colour():
    pixels = np.zeros((4, 4), np.uint8)
    pixels[:2] = 1
    image = Image.fromarray(pixels).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    for kind, options in (("png", {"transparency": 1}), ("gif", {"transparency": 1})):
        got = decode(saved(image, kind, **options), 4)
        assert (got[:2] == 128).all() and (got[2:] == [10, 20, 30]).all()
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert (decode(saved(red, transparency=(255, 0, 0)), 4) == 128).all()


TURNED = {  # EXIF orientation: how the stored picture is made upright
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation(orientation):
    pixels = RNG.integers(0, 256, (4, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = TURNED[orientation](pixels)
    want = upright[1:5] if len(upright) == 7 else upright[:, 1:5]
    assert_same(decode(saved(Image.fromarray(pixels), exif=exif), 4), want)


def test_a_large_jpeg_is_scaled_by_libjpeg_without_harm():
    """Draft mode must change speed, not the picture: at most a level or so from decoding it whole."""
    y, x = np.mgrid[:900, :1200]
    pixels = np.stack(
        [127 + 120 * np.sin(x / 37), 127 + 120 * np.cos(y / 29), (x + y) / 9], -1
    ).astype(np.uint8)
    image = Image.open(saved(Image.fromarray(pixels), "jpeg", quality=95))
    image.load()
    got = decode(saved(Image.fromarray(pixels), "jpeg", quality=95), 64)
    assert np.abs(got.astype(int) - resize_center_crop(image, 64)).mean() < 1


def test_other_formats_are_not_tried():
    """Pillow knows formats that start other programs (EPS); PCX, harmless, shows that the list is kept."""
    with pytest.raises(OSError, match="cannot identify"):
        decode(saved(Image.fromarray(RGB), "pcx"), 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("cut", [10, 200, -100])
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "tiff"])
def test_a_truncated_file_raises(kind, cut):
    whole = saved(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8)), kind).getvalue()
    with pytest.raises(Exception, match=r".+"):
        decode(io.BytesIO(whole[:cut]), 8)


def test_a_large_jpeg_is_scaled_down_while_it_is_read(monkeypatch):
    """To no less than twice what is wanted, which is several times faster; the picture is the same
    but for that.
    """
    from rawconv.data import decode as module

    seen, plain = [], module.resize_center_crop
    monkeypatch.setattr(
        module,
        "resize_center_crop",
        lambda image, size: seen.append(image.size) or plain(image, size),
    )
    y, x = np.indices((640, 960)) / 4
    image = Image.fromarray(np.stack([x, y, (x + y) / 2], 2).astype(np.uint8))
    found = decode(saved(image, "jpeg", quality=95), 64)
    assert seen == [(240, 160)]
    assert np.abs(found.astype(int) - plain(image, 64)).max() <= 4
