"""A folder of pictures with all that packing meets, and what it makes of it."""

from test_data_sources import image, png, write

from rawconv.data import packing


def photos(folder, per_class=12, size=20):
    """Class folders a, b and c with pictures of odd sizes, two of them alike, and two files that
    are no pictures.
    """
    files = {}
    for number, name in enumerate("abc"):
        for k in range(per_class):
            files[f"{name}/{k}.png"] = png(image(100 * number + k, size + k % 3, size + 2))
    files["b/copy.png"] = files["a/3.png"]
    return write(folder, files | {"a/broken.jpg": b"\xff\xd8\xff", "c/words.txt": b"words"})


def pack_photos(place):
    """(the folder, the packed file of 16x16 pictures, what pack said of it)."""
    folder, out = photos(place / "pets"), place / "pets.h5"
    return folder, out, packing.pack(folder, out, 16, progress=False)
