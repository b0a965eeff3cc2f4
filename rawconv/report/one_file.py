"""A page that is one file: template, styles, ES modules and data put together.

page = fill("A title", {"model": "zf64"}, "report")           page/report.html inside page/page.html: bytes

It asks for nothing from outside, and its policy forbids it to.
"""

import base64
import hashlib
import html
import json
import pathlib
import re

from .modules import bundle

PAGE = pathlib.Path(__file__).parent / "page"
# {the body's template: (its first module, its styles)}; base.css and why.css are the explorer's too
PAGES = {
    "report": ("main.js", ("base.css", "report.css")),
    "why": ("why_page.js", ("base.css", "why.css", "why_page.css")),
}


def fill(title, about, template):
    """A body of PAGES with the head of all pages, its title, style, scripts and data.  The policy names
    the hashes of style and script.
    """
    entry, styles = PAGES[template]
    style = "".join((PAGE / name).read_text("utf-8") for name in styles)
    script = bundle(PAGE, entry)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    parts = {
        "body": (PAGE / f"{template}.html").read_text("utf-8"),
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        "data": to_json(about),
    }
    page = (PAGE / "page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page).encode("utf-8", "replace")


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def to_json(value):
    """JSON that no HTML parser can take for markup: ASCII alone, and of that no <, > or &."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)
