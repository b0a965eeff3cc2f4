"""Picture files as people have them: why one is no picture, more than 8 bits, small files that ask
for much memory.
"""

import io
import logging
import re
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_same
from PIL import Image
from test_data_sources import image, png, tree, write, write_zip
from test_visualize_cli import place  # noqa: F401

from rawconv.cli.data import main as data_command
from rawconv.cli.visualize import main as visualize_command
from rawconv.data import image_file, open_data, packing
from rawconv.data.decode import decode as decode_one
from rawconv.data.image_file import Unreadable, why
from rawconv.data.levels import Levels
from rawconv.data.sources import absolute, source_text
from rawconv.errors import RawconvError, UsageError
from rawconv.files import storage

GREY = np.arange(36, dtype=np.uint16).reshape(6, 6) * 117  # 0 to 4095
DOG = "train/n00000001_dog/"


def saved(pixels, kind="png", **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def flat_png(side, bits=8, colour=2):
    """A PNG of one colour that is not stored anywhere at full size, not here either."""
    count = side * (1 + side * {0: 1, 2: 3, 6: 4}[colour] * bits // 8)
    packer = zlib.compressobj(9, wbits=-15)
    part = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, wbits=-15)
    data = part * (count >> 20) + rest.compress(bytes(count % (1 << 20))) + rest.flush()
    data = b"\x78\x9c" + data + struct.pack(">HH", count % 65521, 1)  # Adler-32 of so many zeros
    head = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(bits, kind, data, side=6):
    """A grey TIFF without compression.  kind: 1 unsigned, 2 signed, 3 floating point."""
    tags = {
        256: side,
        257: side,
        258: bits,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: side,
        279: len(data),
        339: kind,
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def twelve_bits(values):
    bits = "".join(f"{value:012b}" for value in values.ravel())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


# ---------------------------------------------------------------------------------------------- which formats


@pytest.mark.parametrize(
    ("kind", "options"), [("tga", {}), ("ico", {"sizes": [(6, 6)]}), ("avif", {"quality": 100})]
)
def test_further_formats_are_read(kind, options):
    if kind.upper() not in image_file.formats():
        pytest.skip(f"this Pillow does not read {kind}")
    # AVIF loses details
    pixels = np.full((6, 6, 3), [200, 100, 50], np.uint8) if kind == "avif" else image(0)
    got = decode_one(io.BytesIO(saved(pixels, kind, **options)), 6)
    assert np.abs(got.astype(int) - pixels).max() <= 3 * (kind == "avif")


def test_formats_that_a_pillow_lacks_are_left_out(monkeypatch):
    opens = dict(Image.OPEN)
    del opens["AVIF"]
    monkeypatch.setattr(Image, "OPEN", opens)
    image_file.formats.cache_clear()
    try:
        assert_same(decode_one(io.BytesIO(png(image(0))), 6), image(0))
        with pytest.raises(Exception, match="cannot identify"):
            decode_one(io.BytesIO(b"no picture"), 6)
    finally:
        image_file.formats.cache_clear()


# ---------------------------------------------------------------------------------------------- why it is none


def bad_files():
    """{name: (contents, why)}"""
    return {
        "bomb.png": (flat_png(13_000, 16, 0), "too large (13000x13000 pixels take 507 MB"),
        "empty.png": (b"", "empty"),
        "float.tif": (
            saved(GREY.astype(np.float32), "tiff"),
            "of floating-point pixels (--range LOW:HIGH",
        ),
        "huge.png": (flat_png(13_000)[:16] + struct.pack(">II", 30_000, 30_000) + bytes(30), None),
        "short.png": (png(image(1, 60, 60))[:-1000], "cut off or damaged"),
        "short.jpg": (saved(image(1, 60, 60), "jpeg")[:-300], "cut off or damaged"),
        "text.jpg": (b"This is text.", "in a format that is not read"),
    }


def test_why_a_file_is_no_image():
    for name, (contents, reason) in bad_files().items():
        with pytest.raises(Exception, match=r".") as error:
            decode_one(io.BytesIO(contents), 6)
        assert reason is None or why(error.value).startswith(reason), (name, why(error.value))
    with pytest.raises(Image.DecompressionBombError) as error:
        Image._decompression_bomb_check((30_000, 30_000))
    assert "too large (more than 179 megapixels; RAWCONV_FILE_MB" in why(error.value)
    assert why(PermissionError(13, "Permission denied")) == "not to be opened (Permission denied)"
    assert "memory" in why(MemoryError())


WANTED = (
    "6 of {} files are no readable pictures{} {}short.jpg, {}short.png are cut off or damaged; "
    "{}bomb.png is too large (13000x13000 pixels take 507 MB, more than ten times the file's 0.3 MB and the 400 MB "
    "that RAWCONV_FILE_MB=400 allows beside); {}empty.png is empty; {}float.tif is of floating-point pixels "
    "(--range LOW:HIGH says what is black and white); {}text.jpg is in a format that is not read.\n"
)


@pytest.fixture
def mixed(tmp_path):
    files = {f"{DOG}{name}": contents for name, (contents, reason) in bad_files().items() if reason}
    return write(tmp_path / "mixed", tree() | files)


def test_training_and_packing_say_why_by_kind(mixed, tmp_path, capsys):
    open_data(mixed, 6, progress=False)
    assert capsys.readouterr().err == WANTED.format(
        12, " and were skipped:", *[f"{mixed}/{DOG}"] * 6
    )
    facts = packing.pack(mixed, tmp_path / "out.h5", 6, progress=False)
    packing.report(facts)
    lines = capsys.readouterr().err.splitlines(True)
    words = [
        re.findall(r"\w+", text)
        for text in (lines[0], WANTED.format(18, ", left out:", *[DOG] * 6))
    ]
    assert sorted(words[0]) == sorted(words[1])  # the order is that of the training pictures
    assert facts["reasons"][f"{DOG}empty.png"] == "empty" and len(facts["reasons"]) == 6


def test_an_interrupted_packing_remembers_why(mixed, tmp_path, monkeypatch):
    def stops(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(packing._Work, "finish", stops)
    with pytest.raises(KeyboardInterrupt):
        packing.pack(mixed, tmp_path / "out.h5", 6, progress=False)
    monkeypatch.undo()
    monkeypatch.setattr(packing._Plan, "decode", stops)  # nothing is decoded again
    facts = packing.pack(mixed, tmp_path / "out.h5", 6, progress=False)
    assert facts["reasons"][f"{DOG}empty.png"] == "empty" and len(facts["reasons"]) == 6


def test_what_a_zip_cannot_give(tmp_path, capsys):
    """An encrypted entry, and one that is compressed with deflate64: only the headers say so."""
    path = write_zip(
        tmp_path / "a.zip",
        tree() | {f"{DOG}8.png": png(image(8)), f"{DOG}9.png": png(image(9))},
    )
    raw = bytearray(path.read_bytes())
    # general purpose flag bit 0; method 9
    for name, offset, value in ((b"8.png", 8, 1), (b"9.png", 10, 9)):
        with zipfile.ZipFile(path) as archive:
            local = archive.getinfo(f"{DOG}{name.decode()}").header_offset
        raw[local + offset - 2] = value  # in the entry itself
        central = raw.rindex(DOG.encode() + name) - 46
        raw[central + offset] = value
    path.write_bytes(raw)
    open_data(path, 6, progress=False)
    assert capsys.readouterr().err == (
        f"2 of 8 files are no readable pictures and were skipped: {DOG}8.png is encrypted; "
        f"{DOG}9.png is compressed by a method of zip that is not read, as deflate64.\n"
    )


def test_pillow_warns_nobody():
    """Neither with the source line of a warning nor through its log; whoever wants its log can
    listen to it.
    """
    code = (
        "import io, sys; from rawconv.data.decode import decode; from PIL import Image\n"
        "image, out = Image.new('RGB', (4, 4)), io.BytesIO()\n"
        "image.save(out, 'jpeg', exif=b'Exif\\0\\0II*\\0' + b'\\xff' * 9); decode(out, 4)\n"
        "Image.MAX_IMAGE_PIXELS = 9; out = io.BytesIO(); image.save(out, 'png'); decode(out, 4)\n"
        "import logging; logging.getLogger('PIL.TiffImagePlugin').error('More samples than can be decoded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert any(
        isinstance(handler, logging.NullHandler) for handler in logging.getLogger("PIL").handlers
    )


# ---------------------------------------------------------------------------------------------- more than 8 bits

DEEP = {
    "12 bits in 16": (
        saved(GREY),
        (0, 4095),
        "from 0 to 4095 and come in nearly black",
        "--range 0:4095",
    ),
    "8 bits in 32": (
        saved(GREY.astype(np.int32) // 17, "tiff"),
        (0, 240),
        "from 0 to 240",
        "--range 0:255",
    ),
    "signed": (
        tiff(16, 2, (GREY.astype("<i2") - 1000).tobytes()),
        (-1000, 3095),
        "negative",
        "--range -1000:3095",
    ),
}


@pytest.mark.parametrize("kind", DEEP)
def test_what_comes_in_black_is_said_once_with_the_remedy(kind, tmp_path, capsys):
    contents, _, words, remedy = DEEP[kind]
    source = write(tmp_path / "deep", dict.fromkeys(tree(), contents))
    open_data(source, 6, progress=False)
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and words in text and f"{remedy}," in text
    facts = packing.pack(source, tmp_path / "out.h5", 6, progress=False)
    packing.report(facts)
    assert remedy in capsys.readouterr().err


@pytest.mark.parametrize("kind", DEEP)
def test_a_range_says_what_is_black_and_white(kind):
    contents, (low, high), *_ = DEEP[kind]
    chosen = Levels.of(f"{low}:{high}")
    got = decode_one(io.BytesIO(contents), 6, chosen)
    values = np.asarray(Image.open(io.BytesIO(contents))).astype(float)
    want = np.round(255 * (values - values.min()) / (values.max() - values.min()))
    assert (
        np.abs(got - want[..., None]).max() <= (high - low != np.ptp(values))
        and chosen.advice() is None
    )


def test_floating_point_pixels_with_a_range():
    values = np.linspace(-0.5, 1.5, 36, dtype=np.float32).reshape(6, 6)
    values[0, 0] = np.nan
    got = decode_one(io.BytesIO(saved(values, "tiff")), 6, Levels.of("0:1"))[..., 0]
    assert np.abs(got - 255 * np.nan_to_num(values).clip(0, 1)).max() <= 0.5 + 1e-4


def test_a_file_that_states_its_bits_is_scaled_by_them(capsys):
    levels_seen = Levels()
    got = decode_one(io.BytesIO(tiff(12, 1, twelve_bits(GREY))), 6, levels_seen)
    assert_same(got[..., 0], np.round(GREY * (255 / 4095)).astype(np.uint8))
    assert levels_seen.advice() is None


@pytest.mark.parametrize("white", [4095, 65535])
def test_colours_of_16_bits_that_come_in_black_are_noticed(white):
    rows = np.full((6, 18), white, ">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", 6, 6, 16, 2, 0, 0, 0)
    file = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    seen = Levels()
    decode_one(io.BytesIO(file), 6, seen)
    assert ("--range 0:4095" in (seen.advice() or "")) == (white == 4095)


def test_bright_images_and_those_of_8_bits_need_no_advice():
    seen = Levels()
    decode_one(io.BytesIO(saved(GREY)), 6, seen)
    decode_one(io.BytesIO(saved(GREY * 16)), 6, seen)  # one bright picture: the dark one is dark
    assert seen.advice() is None
    dark = Levels()
    decode_one(io.BytesIO(png(image(0) // 20)), 6, dark)
    assert dark.advice() is None


@pytest.mark.parametrize(
    "text", ["4095", "0:", "9:3", "0:nan", "0:inf", "a:b", "1:1", "0:1e999", "0:1:2"]
)
def test_a_range_that_is_none(text):
    with pytest.raises(UsageError, match="is not LOW:HIGH"):
        Levels.of(text)
    assert Levels.of(None).low is None and Levels.of("-1.5e2:3").low == -150


# ---------------------------------------------------------------------------------------------- memory


SIDE = 3000
FLAT = {
    "grey16": lambda: flat_png(SIDE, 16, 0),
    "rgba": lambda: flat_png(SIDE, 8, 6),
    "rgba16": lambda: flat_png(SIDE, 16, 6),
    "rgb": lambda: flat_png(SIDE),
    "turned": lambda: saved(Image.new("RGB", (SIDE, SIDE)), exif=turned()),
    "gif": lambda: saved(Image.new("P", (SIDE, SIDE)), "gif"),
    "webp": lambda: saved(Image.new("RGB", (SIDE, SIDE)), "webp", method=0, lossless=True),
    "avif": lambda: saved(Image.new("RGB", (SIDE, SIDE)), "avif", speed=10),
    "jpeg 2000": lambda: saved(Image.new("RGB", (SIDE, SIDE)), "jpeg2000"),
    "progressive": lambda: saved(
        Image.new("RGB", (SIDE, SIDE)), "jpeg", progressive=True, subsampling=0
    ),
    "cmyk": lambda: saved(Image.new("CMYK", (SIDE, SIDE)), "tiff", compression="tiff_lzw"),
    "int32": lambda: saved(np.zeros((SIDE, SIDE), np.int32), "tiff", compression="tiff_deflate"),
}


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


# A fresh process, which forks for each file: how much the child's largest size is above the one it
# began with.
MEASURE = """
import os, resource, sys
from PIL import Image
from rawconv.data.decode import decode
from rawconv.data.levels import Levels
Image.init()
size = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    if not os.fork():
        before = size()
        decode(open(path, "rb"), 64, Levels.of("0:9"))
        print((size() - before) * 1024 / 1e6, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="sizes of processes are those of Linux"
)
def test_a_image_takes_no_more_than_is_reckoned_with(tmp_path):
    """What decides whether a picture is refused, against what decoding it takes a process."""
    kinds = [kind for kind in FLAT if kind != "avif" or "AVIF" in image_file.formats()]
    reckoned = {}
    for kind in kinds:
        (tmp_path / kind).write_bytes(FLAT[kind]())
        with (tmp_path / kind).open("rb") as file, image_file.open_image(file, 64) as image:
            reckoned[kind] = image.rawconv_bytes / 1e6
    command = [sys.executable, "-c", MEASURE, *(str(tmp_path / kind) for kind in kinds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    taken = dict(zip(kinds, map(float, done.stdout.split()), strict=True))
    assert all(9 < taken[kind] < 1.1 * reckoned[kind] + 20 for kind in kinds), (taken, reckoned)


@pytest.mark.parametrize("kind", ["grey16", "rgba"])
def test_a_small_file_that_asks_for_much_is_refused_before_it_gets_it(kind, monkeypatch):
    monkeypatch.setitem(globals(), "SIDE", 13_300 if kind == "grey16" else 9_000)
    contents = FLAT[kind]()
    assert 10 * len(contents) < 20e6
    with pytest.raises(Unreadable, match="RAWCONV_FILE_MB=400"):
        image_file.open_image(io.BytesIO(contents), 64)


def test_the_limit_can_be_raised_and_lowered(monkeypatch):
    contents = flat_png(2000)
    assert decode_one(io.BytesIO(contents), 6).shape == (6, 6, 3)
    monkeypatch.setenv("RAWCONV_FILE_MB", "10")
    with pytest.raises(Unreadable, match="take 16 MB.*RAWCONV_FILE_MB=10"):
        decode_one(io.BytesIO(contents), 6)
    for text in ("x", "-1", "0", "1.5", "9" * 20):
        monkeypatch.setenv("RAWCONV_FILE_MB", text)
        with pytest.raises(UsageError, match="RAWCONV_FILE_MB=.*is not a number of megabytes"):
            storage.room()


def test_large_images_wait_for_each_other(monkeypatch):
    """Two of 300 MB are not decoded at once where 400 MB are allowed; two small ones are."""
    image = Image.new("RGB", (1, 1))
    image.rawconv_bytes = 300 * 10**6
    with image_file.decoding(image):
        assert image_file._shared().used == 300 * 10**6
        other = Image.new("RGB", (1, 1))
        other.rawconv_bytes = 10**8
        with image_file.decoding(other):
            assert image_file._shared().used == 4 * 10**8
    assert image_file._shared().used == 0


# ---------------------------------------------------------------------------------------------- --range in commands


@pytest.mark.parametrize("kind", ["12 bits in 16", "signed"])
def test_range_in_the_name_of_the_data_and_in_packing(kind, tmp_path, capsys):
    contents, (low, high), *_ = DEEP[kind]
    source, chosen = write(tmp_path / "deep", dict.fromkeys(tree(), contents)), f"{low}:{high}"
    want = decode_one(io.BytesIO(contents), 6, Levels.of(chosen))
    text = source_text(source, value_range=chosen)
    assert text == f"{source},range={chosen}" and absolute(text) == text
    assert_same(open_data(f"{text}@dog,cat", 6, progress=False).train.read([3])[0], want)
    args = ["pack", str(source), str(tmp_path / "a.h5"), "--range", chosen, "--size", "6"]
    done = CliRunner().invoke(data_command, args)
    assert done.exit_code == 0, done.output
    assert_same(open_data(tmp_path / "a.h5", 6, progress=False).val.read([3])[0], want)
    assert "--range" not in done.output + capsys.readouterr().err
    done = CliRunner().invoke(
        data_command, ["pack", str(source), str(tmp_path / "b.h5"), "--range", "9:1"]
    )
    assert done.exit_code == 2 and "--range 9:1 is not LOW:HIGH" in done.output


def test_an_unfinished_packing_of_another_range_is_not_mixed_in(tmp_path, monkeypatch):
    source = write(tmp_path / "deep", dict.fromkeys(tree(), DEEP["12 bits in 16"][0]))
    with monkeypatch.context() as patch:
        patch.setattr(packing._Work, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            packing.pack(source, tmp_path / "a.h5", 6, progress=False)
    with pytest.raises(RawconvError, match="is the unfinished packing of other files"):
        packing.pack(f"{source},range=0:4095", tmp_path / "a.h5", 6, progress=False)


def test_range_where_there_is_nothing_to_scale(tmp_path):
    with pytest.raises(UsageError, match="--range needs the training pictures"):
        source_text(value_range="0:1")
    (tmp_path / "a.h5").write_bytes(b"rawconv ")
    with pytest.raises(UsageError, match="leave .*--range out"):
        open_data(f"{tmp_path / 'a.h5'},range=0:1", 6, progress=False)


def test_visualize_takes_a_range_for_images(place):  # noqa: F811
    (place / "deep.tif").write_bytes(saved(np.kron(GREY, np.ones((10, 10), np.uint16)), "tiff"))
    (place / "float.tif").write_bytes(
        saved(np.kron(GREY, np.ones((10, 10), np.uint16)).astype(np.float32), "tiff")
    )
    run = CliRunner().invoke
    for name, options, code, words in (
        ("deep.tif", [], 0, "--range 0:4095, or"), ("float.tif", [], 1, "floating-point pixels"),
        ("deep.tif", ["--range", "0:4095"], 0, ""), ("float.tif", ["--range", "0:4095"], 0, ""),
        ("deep.tif", ["--range", "x"], 2, "is not LOW:HIGH"),
    ):  # fmt: skip
        done = run(visualize_command, ["--layer", "1", name, *options])
        assert done.exit_code == code and words in done.stderr, (name, options, done.output)
        assert words or "range" not in done.stderr
