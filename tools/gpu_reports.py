"""What the parts of tools/gpu_check.py reported, as numbers; and their table."""

import collections
import csv
import json
import re
import xml.etree.ElementTree as ElementTree

FAILURES = 20  # that are named, at most
KERNELS = 5  # of the profile


def json_file(path, text):
    """What the program wrote."""
    return json.loads(path.read_text())


def last_line(path, text):
    """The object that a command with --json prints last."""
    return json.loads(text.strip().splitlines()[-1])


def bench(path, text):
    """What bench.py gpu wrote, behind what one wants to know first of it."""
    found = json_file(path, text)
    step = {key: value for key, value in found["whole"]["step"].items() if key != "ways"}
    return {"step": step, "batch": found["batch"]} | found


def training(path, text):
    """What a run says of its last epoch, the accuracy first; its folder is gone with this run."""
    found, kept = last_line(path, text), ("val_top1", "val_top5", "train_top1", "epoch", "val_loss")
    return {key: found[key] for key in (*kept, "train_loss", "seconds", "wait")}


def tests(path, text):
    """{"tests", "failures", "errors", "skipped"} of a JUnit file, the failed ones by name, and why
    others were skipped.
    """
    suites = ElementTree.parse(path).getroot()
    found = {
        key: sum(int(suite.get(key)) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    failed, skips = [], collections.Counter()
    for case in suites.iter("testcase"):
        for trouble in [*case.findall("failure"), *case.findall("error")]:
            line = " ".join((trouble.get("message") or "").split())[:160]
            failed.append(f"{case.get('classname')}::{case.get('name')}: {line}")
        skips.update(skip.get("message") for skip in case.findall("skipped"))
    return found | {"failed": failed[:FAILURES], "why_skipped": dict(skips)}


def sanitizer(path, text):
    """{"errors": as compute-sanitizer sums them up, "kernels": {kernel it names: reports}}.

    ValueError: it printed no summary, so that it has not seen the program's end.
    """
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", text)
    if not summary:
        raise ValueError("it printed no summary")
    # "=========     at void kernel(...)+0x..", "... at kernel+0x.. in file.cu:7"
    named = re.findall(r"^=+\s+at (?:0x\w+ in )?(?:void )?([A-Za-z_]\w*)", text, re.MULTILINE)
    return {"errors": int(summary[1]), "kernels": dict(collections.Counter(named))}


def counters(path, text):
    """The kernels that took longest in Nsight Compute's CSV: [{"kernel", "launches", "share" of the
    time, metric: value}, ...]; a duration and a number are sums, others the mean by time.
    """
    lines = [line for line in path.read_text().splitlines() if line.startswith('"')]
    rows, times = collections.defaultdict(dict), collections.Counter()
    for row in csv.DictReader(lines):
        if row["Metric Name"]:
            value = float(row["Metric Value"].replace(",", "")) * SCALES.get(row["Metric Unit"], 1)
            name = re.sub(r"^void |[<(].*", "", row["Kernel Name"])
            rows[row["ID"], name][row["Metric Name"]] = value
    for (_, name), metrics in rows.items():
        times[name] += metrics[DURATION]
    return {"kernels": [_kernel(name, rows, times) for name, _ in times.most_common(KERNELS)]}


DURATION = "gpu__time_duration.sum"
SCALES = {
    "second": 1, "s": 1, "ms": 1e-3, "msecond": 1e-3, "us": 1e-6, "usecond": 1e-6, "ns": 1e-9, "nsecond": 1e-9,
    "byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9,
}  # fmt: skip


def _kernel(name, rows, times):
    own = [metrics for (_, other), metrics in rows.items() if other == name]
    found = {"kernel": name, "launches": len(own), "share": times[name] / times.total()}
    for metric in own[0]:
        values = [metrics.get(metric, 0) for metrics in own]
        weights = [metrics[DURATION] for metrics in own]
        mean = sum(v * w for v, w in zip(values, weights, strict=True)) / max(sum(weights), 1e-30)
        found[metric] = sum(values) if metric.endswith(".sum") else mean
    return found


# The table


def table(found):
    """The results as Markdown: the machine, a row a part, then each part's numbers."""
    lines = [f"# {found['card']}, {found['date']}", ""]
    lines += [f"{key}: {value}" + "  " for key, value in found["versions"].items()]
    lines += ["", "| part | state | seconds | limit | what it says |", "|---|---|---|---|---|"]
    for name, part in found["parts"].items():
        said = part.get("why") or headline(part.get("results", {}))
        said = said.replace("|", "\\|")
        lines.append(
            f"| {name} | {part['state']} | {part['seconds']:.0f} | {part['limit']} | {said} |"
        )
    for name, part in found["parts"].items():
        lines += [f"\n## {name}"] * bool(part.get("results")) + _numbers(part.get("results", {}))
    return "\n".join(lines) + "\n"


def _numbers(results):
    """The lines of a part: what has a name as one table, and a table of its own for each list of rows."""
    lists = {key: value for key, value in results.items() if value and _is_rows(value)}
    named = list(flat({key: value for key, value in results.items() if key not in lists}))
    lines = ["", "| what | value |", "|---|---|"] if named else []
    lines += [f"| {key} | {_text(value)} |" for key, value in named]
    for key, rows in lists.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines += ["", f"{key}:", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(_text(row.get(c, '')) for c in columns)} |" for row in rows]
    return lines


def _is_rows(value):
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def headline(results):
    """The first few numbers of a part, in a line."""
    return ", ".join(f"{key} {_text(value)}" for key, value in list(flat(results))[:4])


def flat(value, name=""):
    """(dotted name, value) of all that is in dictionaries and lists."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from flat(inside, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, inside in enumerate(value):
            yield from flat(inside, f"{name}.{number}")
    else:
        yield name, value


def _text(value):
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")[:200]
