"""The names of layers as names in an HDF5 file, where a slash makes two groups of one.

escape_name("fire4/concat")          "fire4%2Fconcat"
plain_name("fire4%2Fconcat")         "fire4/concat"
"""

ESCAPED = "%/:"  # the first before the others, which are written with it


def escape_name(name: str) -> str:
    """Return the name with its %, / and : written %25, %2F and %3A."""
    for character in ESCAPED:
        name = name.replace(character, f"%{ord(character):02X}")
    return name


def plain_name(escaped: str) -> str:
    """Return the reverse: the name that escape_name wrote so."""
    for character in reversed(ESCAPED):
        escaped = escaped.replace(f"%{ord(character):02X}", character)
    return escaped
