"""Galleries: each caption below its own picture."""

from canvas import flat

from rawconv.report import gallery

DARK, SOFT = (28, 30, 36), (104, 108, 118)


def test_a_gallery_has_each_caption_below_its_picture(canvas):
    pictures = [gallery.Picture(flat(10 * k, 0, 50), f"caption {k}", f"note {k}") for k in range(5)]
    gallery.gallery(pictures, "", "", "", tile=112)
    for k, one in enumerate(canvas.pictures):
        caption, note = canvas.text(f"caption {k}"), canvas.text(f"note {k}")
        assert one.colour == (10 * k, 0, 50) and caption.x == note.x == one.x
        assert one.y + 112 < caption.y < note.y and (caption.colour, note.colour) == (DARK, SOFT)
    assert (
        canvas.pictures[1].x - canvas.pictures[0].x == 126
        and canvas.pictures[4].y > canvas.pictures[0].y
    )
