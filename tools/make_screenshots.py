"""Photograph the explorer for docs/explore.md, into docs/pictures/explore/: its page with the built-in scenes, in
headless Chromium.

python tools/make_screenshots.py                 all;  beside  one;  --out FOLDER for another place

A screen is what a browser makes of the page on one machine: the bytes change with its fonts and its version,
so no test compares them.  Needs Playwright and Chromium.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import click
from make_pictures import reduced
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
FISH = "p=val:0,val:1,val:6&u=conv5:56:3:3"
SCREENS = {  # name: (address, size, colours, what to scroll to)
    "page": (f"#{FISH}", WIDE, "light", None),
    "down": (f"#{FISH}&step=8", WIDE, "light", "#views"),
    "beside": (f"#{FISH}&view=beside", WIDE, "light", "#views"),
    "phone": (f"#{FISH}", PHONE, "dark", None),
}
SOON = 60_000  # milliseconds


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCREENS)))
@click.option("--out", type=click.Path(file_okay=False), default=ROOT / "docs/pictures/explore")
def main(names, out):
    """Photograph the explorer."""
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    command = [
        sys.executable,
        "-m",
        "rawconv",
        "explore",
        "--weights",
        "rawconv/scenes.h5",
        "--no-browser",
    ]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for name in names or SCREENS:
                photograph(browser, address, SCREENS[name], pathlib.Path(out, f"{name}.png"))
                click.echo(pathlib.Path(out, f"{name}.png"))
    finally:
        server.terminate()
        server.wait(30)


def photograph(browser, address, screen, path):
    """Write one of SCREENS."""
    where, size, colors, target = screen
    tab = browser.new_page(viewport=size, color_scheme=colors)
    tab.set_default_timeout(SOON)
    tab.goto(address + where)
    tab.wait_for_selector("#unit[data-sha256]")
    tab.wait_for_selector("#nine .tile img")
    if target:
        tab.locator(target).evaluate("part => part.scrollIntoView()")
    if "beside" in where:
        tab.wait_for_selector("#view-beside section:last-child .alike[data-sha256]:last-child")
    else:
        tab.wait_for_selector(".stairs button[aria-current]")
    tab.wait_for_timeout(1500)
    with tempfile.TemporaryDirectory() as folder:
        tab.screenshot(path=f"{folder}/screen.png")
        with Image.open(f"{folder}/screen.png") as image:
            reduced(image.convert("RGB")).save(path, optimize=True)
    tab.close()


if __name__ == "__main__":
    main()
