"""Put the ES modules of a folder into one script, for a page that is one file.

    script = bundle(folder, "main.js")

From a file:// address a browser fetches no modules, so each becomes a function of its own, called
once, after those that it imports; what it exports is what the function returns.  Served over HTTP
the same files are modules as they are. A module may write two forms, at the beginning of a line:
`import { a, b } from "./file.js";` and `export const|function|async function|class name`.
"""

import pathlib
import re

NAMES = r"\{((?:\s*[\w$]+\s*,)*\s*[\w$]+\s*,?\s*)\}"
IMPORT = re.compile(rf'^import {NAMES} from "\./([\w-]+)\.js";$', re.M)
EXPORT = re.compile(r"^export (?=(?:const|function|async function|class) ([\w$]+))", re.M)


def bundle(folder: pathlib.Path, entry: str) -> str:
    """The module `entry` and all that it imports, directly or not, as one script.

    ValueError, naming the file, where a module imports or exports in another form, imports what is
    not exported, or imports itself through others.
    """
    done: dict[str, list[str]] = {}  # module: names it exports
    parts: list[str] = []
    _add(folder, entry.removesuffix(".js"), (), done, parts)
    return "\n".join(parts)


def _add(folder, name, importers, done, parts):
    """Append module `name` after those that it imports."""
    if name in done:
        return
    if name in importers:
        raise ValueError(f"{name}.js imports itself: {' -> '.join((*importers, name))}.")
    text = (folder / f"{name}.js").read_text("utf-8")
    for names, other in IMPORT.findall(text):
        _add(folder, other, (*importers, name), done, parts)
        missing = set(_names(names)) - set(done[other])
        if missing:
            raise ValueError(
                f"{name}.js imports {', '.join(sorted(missing))}, which {other}.js does not export."
            )
    done[name] = EXPORT.findall(text)
    body = EXPORT.sub(
        "", IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};", text)
    )
    other = re.search(r"^(import|export)\b.*", body, re.M)
    if other:
        raise ValueError(f"{name}.js: this form is not known here: {other[0]}")
    result = f"return {{ {', '.join(done[name])} }};\n" if done[name] else ""
    parts.append(f"const {_variable(name)} = (() => {{\n{body}{result}}})();")


def _names(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def _variable(module):
    """A name no module uses."""
    return f"module_{module.replace('-', '_')}"
