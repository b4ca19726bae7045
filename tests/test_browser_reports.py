"""The real reports in Chromium: accessible, silent on the network, and no wider than a phone."""

import re
import shutil

import pandas as pd
import pytest

from bgtk_lib.engine.batch import make_reports
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.engine.wishes import list_wishes
from bgtk_lib.workspace import open_workspace
from bgtk_lib.workspace.declaration import ReportPlan

PAGES = [  # every kind in English too: among the slow tests
    "data_quality/id/report.html",
    "coverage_map/p1-pre_id/report.html",
    "change/ped_p1-pre_p1-post_id/report.html",
    "change/ped_p2-pre_p2-post_id/report.html",
    "index.html",
]
HEAVIEST = 250_000  # bytes of a page: it must pass through a slow line and a messenger
OF_ITEMS = 750_000  # the review of a form: every number of thirty items or more, for those who look items up
OUTSIDE = re.compile(
    r"""(?:\b(?:src|srcset|href|action|poster|data)\s*=|\burl\(|@import)\s*["']?\s*(?:https?:)?//[^"')\s]*""",
    re.IGNORECASE,
)
PAIR = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
KINDS = {
    "data_quality": {},
    "coverage_map": {"wave": "p1-pre", "denominator": "14398", "denominator_source": "Lampost.co"},
    "instrument": {"form": "PED-1", "wave": "p1-pre"},
    "item": {"item": "PED-1-001"},
    "comparability": PAIR,
    "change": PAIR,
    "programme": PAIR | {"programme": "KKA", "assignment": "lottery", "comparison": "not_yet"},
}
pytestmark = pytest.mark.browser


def check_weight(page):
    """A page is light, and names no address that a browser would ask."""
    most = OF_ITEMS if page.parent.parent.name == "instrument" else HEAVIEST
    assert page.stat().st_size <= most, f"{page.parent.name}: {page.stat().st_size} bytes"
    assert OUTSIDE.findall(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ['<img src="https://x.id/a.png">', "<a href='//x.id'>", "p { background: url(http://x) }"]
)
def test_an_outside_address_is_found(text):
    assert OUTSIDE.search(text)
    assert not OUTSIDE.search("Sumber: https://lampost.co; <svg xmlns='http://www.w3.org/2000/svg'>")


def test_every_page_of_an_edition_is_light_and_names_no_outside_address(rendered):
    pages = sorted((rendered.workspace.root / "reports" / "draf").rglob("*.html"))
    assert len(pages) == 8
    for page in pages:
        check_weight(page)


@pytest.mark.slow
def test_every_kind_of_report_holds_in_both_languages(small_province, tmp_path, check_page):
    """The page of every report, stopped ones too, in Indonesian and English, and the list of them."""
    assert [*KINDS] == [*REPORTS]
    shutil.copytree(small_province.root, tmp_path / "copy")
    workspace = open_workspace(tmp_path / "copy")
    plans = [
        ReportPlan(report=name, parameters=given, grid={"language": ["id", "en"]}) for name, given in KINDS.items()
    ]
    made = make_reports(workspace, list_wishes(workspace, plans=plans))
    assert [(one.wish.slug, one.reason) for one in made if not one.page] == []
    for page in [*(one.page for one in made), workspace.root / "reports" / "draf" / "index.html"]:
        check_weight(page)
        check_page(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_real_page_holds_in_a_browser(name, rendered, check_page):
    check_page(rendered.workspace.root / "reports" / "draf" / name)


def test_every_link_of_the_index_opens_its_report(rendered, browser):
    """Copied to a USB stick as it is: the links are relative and lead to a page with the title they bear."""
    view = browser.new_page(offline=True)
    index = (rendered.workspace.root / "reports" / "draf" / "index.html").as_uri()
    view.goto(index)
    links = view.eval_on_selector_all(
        ".reports a", "all => all.map(a => [a.getAttribute('href'), a.textContent.trim()])"
    )
    assert len(links) == 7
    for address, _ in links:
        view.goto(index)
        view.click(f'.reports a[href="{address}"]')
        view.wait_for_selector("h1")
        assert view.url.endswith(address)
        assert view.title()
        assert view.locator("h1").count() == 1
    view.close()


def test_a_real_page_reads_without_script_and_prints(rendered, browser):
    """Every number is in the page itself; on paper the folded parameters stand open."""
    page = rendered.workspace.root / "reports" / "draf" / "change" / "ped_p1-pre_p1-post_id" / "report.html"
    context = browser.new_context(java_script_enabled=False, offline=True)
    view = context.new_page()
    view.goto(page.as_uri())
    assert view.locator("section.answer").is_visible()
    view.emulate_media(media="print")
    assert len(view.pdf(format="A4")) > 50_000
    context.close()


def test_a_table_is_saved_as_it_is_shown(rendered, browser, tmp_path):
    """Without a network and without a script: a spreadsheet gets the cells of the page."""
    page = rendered.workspace.root / "reports" / "draf" / "change" / "ped_p2-pre_p2-post_id" / "report.html"
    context = browser.new_context(java_script_enabled=False, offline=True, accept_downloads=True)
    view = context.new_page()
    view.goto(page.as_uri())
    links, tables = view.locator("p.csv a"), view.locator("table:not(.gates)")
    assert links.count() == tables.count() > 10
    caption = "Perubahan tiap kabupaten/kota sebelum dan setelah ditarik ke rata-rata, urut kode"
    with view.expect_download() as saving:
        view.get_by_label(f"Simpan sebagai CSV: {caption}").click()
    file = tmp_path / saving.value.suggested_filename
    saving.value.save_as(file)
    assert file.suffix == ".csv"
    saved = pd.read_csv(file, sep=";", decimal=",", encoding="utf-8-sig", thousands=".")
    shown = tables.filter(has_text=caption).locator("tbody tr")
    assert len(saved) == shown.count() >= 10
    first = [cell.strip() for cell in shown.nth(0).locator("th, td").all_inner_texts()]
    assert [saved.iloc[0, 0], f"{saved.iloc[0, 1]:.0f}"] == first[:2]
    low, high = (float(end.replace("−", "-").replace(",", ".")) for end in first[3].split(" sampai "))
    assert [saved.iloc[0, 3], saved.iloc[0, 4]] == [low, high]
    assert saved.iloc[0, 2] == float(first[2].replace("−", "-").replace(",", "."))
    context.close()
