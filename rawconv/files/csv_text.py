"""CSV files that a spreadsheet shows as they are meant: a name from a file is never a formula there."""

import csv
import io

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows):
    """Rows [[value]] as text.  What a spreadsheet would calculate gets an apostrophe before it (OWASP)."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8", "backslashreplace").decode()


def _cell(value):
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not _number(value) else value


def _number(text):
    try:
        return float(text) is not None
    except ValueError:
        return False


def read_csv(text):
    """The rows [[text]] of what `csv_text` wrote, without these apostrophes.  csv.Error where it is no such text."""
    return [[_meant(cell) for cell in row] for row in csv.reader(io.StringIO(text))]


def _meant(cell):
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell
