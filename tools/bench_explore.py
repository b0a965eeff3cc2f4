"""What rawconv-explore takes, page and server together, in headless Chromium: from a click on a map or a
position to its projection painted, from the command to the first page, and updates a second of the occluder.

    python tools/bench_explore.py                       zf64, which comes with rawconv, and ZFNet
    python tools/bench_explore.py --weights squeezenet.h5 --picture docs/pictures/scene.png

A click is made in the page, on a map's card or a position of the chosen map, both drawn at random among four
layers; it ends when the browser has made the frame that shows the projection.  The next one waits until the page
has what it asks for afterwards, the way down and the patches.
Needs Playwright and Chromium.
"""

import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import click
import numpy as np
from bench_contention import others, reading
from bench_timing import conditions, machine
from bench_visualize import paper_net
from PIL import Image

from rawconv import checkpoint

LAYERS = 4  # of those with positions, spread over the net
READY = 120  # seconds that a page may take to have all its patches
SHOWN = {  # what the page has when it shows the net's layers and the picture, and then a projection
    "first_page": "body:has(#strip button) #seen[data-picture]",
    "first_projection": "#unit[data-sha256]",
}
# Playwright looks for an element twice a second at last; the page itself does so at each frame
NOTED = """(shown) => {
  window.noted = {};
  const look = () => {
    for (const [name, what] of Object.entries(shown)) {
      if (!(name in window.noted) && document.querySelector(what)) window.noted[name] = Date.now() / 1000;
    }
    if (Object.keys(window.noted).length < Object.keys(shown).length) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
COUNTED = """() => {
  const ask = window.fetch;
  window.pending = 0;
  window.fetch = (...given) => {
    window.pending += 1;
    return ask(...given).finally(() => { window.pending -= 1; });
  };
}"""
CLICK = """async ([layer, kind, at]) => {
  const pause = (wait) => new Promise((next) => setTimeout(next, wait));
  const { onPainted, painted } = await import("/static/unit.js");
  if (!window.bench) {
    window.bench = { wake: null };
    onPainted(() => window.bench.wake?.());
  }
  do await pause(60); while (window.pending);
  const cards = [...document.querySelectorAll("#cards .card:not([aria-current])")];
  const place = document.getElementById("place");
  const box = place.getBoundingClientRect();
  const { shape } = (await import("/static/loaded.js")).layerOf(layer);
  const cell = at % (shape[0] * shape[1]), row = Math.floor(cell / shape[1]), column = cell % shape[1];
  const event = new MouseEvent("click", {
    bubbles: true, detail: 1,
    clientX: box.left + box.width * (column + 0.5) / shape[1], clientY: box.top + box.height * (row + 0.5) / shape[0],
  });
  if (kind !== "map" && painted().answer.unit.endsWith(`:${row}:${column}`)) return null;
  const begin = performance.now(), done = new Promise((wake) => { window.bench.wake = wake; });
  if (kind === "map") cards[at % cards.length].click();
  else place.dispatchEvent(event);
  await done;
  await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
  return performance.now() - begin;
}"""
OCCLUDE = """async ([picture, size, seconds]) => {
  const end = performance.now() + 1000 * seconds;
  let count = 0;
  const { ask } = await import("/static/server.js");
  while (performance.now() < end) {
    const body = { picture, top: (3 * count) % 40, left: (5 * count) % 40, size, unit: null };
    await ask("/api/occlude", body, { kind: "occlude" });
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
    count += 1;
  }
  return count / seconds;
}"""


@click.command()
@click.option(
    "--weights", multiple=True, help="zf64, zfnet or a checkpoint; repeatable.  [zf64, zfnet]"
)
@click.option("--picture", help="A picture for nets without a data set.  [noise]")
@click.option("--clicks", type=click.IntRange(4), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
def main(weights, picture, clicks, as_json):
    """Measure the explorer of each checkpoint."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        rows = []
        for name in weights or ("zf64", "zfnet"):
            path = str(_zfnet(folder)) if name == "zfnet" else None if name == "zf64" else name
            rows.append(_measure(browser, path, picture or _noise(folder), clicks))
    results = {"rows": rows, **machine()}
    click.echo(json.dumps(results) if as_json else _lines(results))


def _zfnet(folder):
    """ZFNet at its own size with random weights: what it takes does not depend on them."""
    path = pathlib.Path(folder) / "zfnet.h5"
    checkpoint.save(path, paper_net(), {})
    return path


def _noise(folder):
    path = pathlib.Path(folder) / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)).save(path)
    return str(path)


def _measure(browser, weights, picture, clicks):
    """{"net", "first_page", "first_projection", "clicks", ...} of a checkpoint; None: the shipped one."""
    asks = ["--weights", weights, picture] if weights else ["--weights", str(checkpoint.shipped())]
    begin = time.time()
    command = [sys.executable, "-m", "rawconv", "explore", *asks, "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip()
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.add_init_script(f"({NOTED})({json.dumps(SHOWN)})")
        tab.goto(address, wait_until="commit")
        tab.wait_for_selector(SHOWN["first_projection"], timeout=1000 * READY)
        _settle(tab)
        noted = tab.evaluate("window.noted")
        tab.evaluate(COUNTED)
        before = reading()
        times = _clicks(tab, clicks)
        share = others(before, reading())
        return {
            "net": tab.locator("#title").inner_text(), **{name: at - begin for name, at in noted.items()},
            "clicks": {
                "count": len(times), "median": statistics.median(times),
                "percentile95": float(np.percentile(times, 95)), "most": max(times),
            },
            "occluder": _occluder(tab), "others": share,
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait(30)


def _settle(tab):
    """Wait until the data set has been looked through and nothing computes any more."""
    end = time.monotonic() + READY
    ready = """Boolean(document.querySelector("#likes[data-none]")
        || document.querySelector("#facts").innerText.includes("Rank"))"""
    while time.monotonic() < end and not tab.evaluate(ready):
        time.sleep(0.2)
    time.sleep(1)


def _clicks(tab, count):
    """Milliseconds of each click."""
    names = tab.evaluate(
        """async () => (await import("/static/loaded.js")).loaded.net.layers
            .filter(({ shape }) => shape[0] > 1).map(({ name }) => name)"""
    )
    chosen = [names[round(k * (len(names) - 1) / (LAYERS - 1))] for k in range(LAYERS)]
    rng, times = np.random.default_rng(0), []
    for k in range(LAYERS):
        tab.evaluate(
            "async (name) => (await import('/static/strip.js')).openLayer(name)", chosen[k]
        )
        time.sleep(0.5)
        wanted = len(times) + count // LAYERS
        while len(times) < wanted:
            kind = "map" if len(times) % 2 else "position"
            took = tab.evaluate(CLICK, [chosen[k], kind, int(rng.integers(1 << 30))])
            times += [took] if took is not None else []
    return times


def _occluder(tab, seconds=3):
    """Updates a second; None where the server has no occluder."""
    picture = tab.evaluate("document.querySelector('#unit').dataset.picture")
    height = tab.evaluate("(async () => (await import('/static/loaded.js')).loaded.net.shape[0])()")
    try:
        return tab.evaluate(OCCLUDE, [picture, height // 4, seconds])
    except Exception as error:
        if not re.search("Refused|404|no such|Not Found", str(error)):
            raise
        return None


def _lines(results):
    lines = []
    for row in results["rows"]:
        took, rate = row["clicks"], row["occluder"]
        lines.append(
            f"{row['net']}: a click until its projection is painted {took['median']:.0f} ms, 95 % of {took['count']} "
            f"within {took['percentile95']:.0f} ms; first page {row['first_page']:.1f} s after the command, first "
            f"projection {row['first_projection']:.1f} s; "
            f"occluder {'-' if rate is None else f'{rate:.0f} updates/s'}; "
            f"others took {row['others']:.1%} of the processors"
        )
    return "\n".join([*lines, conditions(results)])


if __name__ == "__main__":
    main()
