"""Chromium for the tests: one for the whole session, and a page held to everything a page promises."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium. Without one: skipped, or failed where BGTK_REQUIRE_BROWSER=1."""
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    playwright_here = importlib.util.find_spec("playwright") and importlib.util.find_spec("axe_playwright_python")
    if path is None or not playwright_here:
        reason = f"no Chromium among {', '.join(CHROMIUM_NAMES)}" if path is None else "the dev extra is not installed"
        if os.environ.get("BGTK_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def check_page(browser):
    """Call it with the path of an HTML file; it holds the file to everything a page promises."""

    def check(path: Path) -> None:
        from axe_playwright_python.sync_playwright import Axe

        for size in (PHONE, DESK):
            context = browser.new_context(viewport=size, bypass_csp=True, offline=True)
            view = context.new_page()
            asked, errors = [], []
            view.on("request", lambda request, asked=asked: asked.append(request.url))
            view.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            view.goto(path.resolve().as_uri())
            outside = [url[:80] for url in asked if not url.startswith(("data:", path.resolve().as_uri()))]
            assert outside == [], f"{path.name} asks for {outside}"
            assert errors == []
            wide = view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{path.name} is {wide} px too wide at {size['width']} px"
            broken = view.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length")
            assert broken == 0, f"{broken} pictures of {path.name} do not show"
            found = Axe().run(view, options={"runOnly": {"type": "tag", "values": WCAG}}).response["violations"]
            assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []
            context.close()

    return check
