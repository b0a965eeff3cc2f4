"""CSV text in which no name from a file can become a formula when a spreadsheet opens it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows [[value]] as CSV; an apostrophe goes before text that a spreadsheet would
    calculate (OWASP).
    """
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8", "backslashreplace").decode()


def _cell(value: object) -> object:
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value)
        else value
    )


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


def read_csv(text: str) -> list[list[str]]:
    """Return the rows [[text]] that `csv_text` wrote, without the apostrophes it added.  csv.Error:
    not CSV.
    """
    return [[_without_apostrophe(cell) for cell in row] for row in csv.reader(io.StringIO(text))]


def _without_apostrophe(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell
