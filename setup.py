"""The description for package indexes: README.md without what only a checkout has, the pictures and
the links to its own files.
"""

import pathlib
import re

from setuptools import setup

COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
PICTURE = re.compile(r"!\[[^]]*\]\((?!https?:)[^)]*\)(?:<br>)?")
CAPTION = re.compile(
    r"(?<=\n\n)(?<!\S)\*[^*]+\*\n"
)  # a paragraph that speaks of the picture above it
LINK = re.compile(r"\[([^]]*)\]\((?!https?:)[^)]*\)")


def description(text):
    """The text without comments, pictures and their captions; of links into the checkout, the words."""
    for pattern, instead in ((COMMENT, ""), (PICTURE, ""), (CAPTION, ""), (LINK, r"\1")):
        text = pattern.sub(instead, text)
    return re.sub(r"\n{3,}", "\n\n", text)


readme = pathlib.Path(__file__).parent / "README.md"
setup(long_description=description(readme.read_text("utf-8")))
