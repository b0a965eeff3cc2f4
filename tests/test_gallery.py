"""Galleries: each caption below its own picture."""

from canvas import flat

from rawconv.report import gallery

DARK, SOFT = (28, 30, 36), (104, 108, 118)


def test_a_gallery_has_each_caption_below_its_image(canvas):
    images = [gallery.Tile(flat(10 * k, 0, 50), f"caption {k}", f"note {k}") for k in range(5)]
    gallery.gallery(images, "", "", "", tile=112)
    for k, one in enumerate(canvas.images):
        caption, note = canvas.text(f"caption {k}"), canvas.text(f"note {k}")
        assert one.colour == (10 * k, 0, 50) and caption.x == note.x == one.x
        assert one.y + 112 < caption.y < note.y and (caption.colour, note.colour) == (DARK, SOFT)
    assert (
        canvas.images[1].x - canvas.images[0].x == 126 and canvas.images[4].y > canvas.images[0].y
    )
