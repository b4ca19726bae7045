"""The real reports in Chromium: accessible, silent on the network, and no wider than a phone."""

import pandas as pd
import pytest

PAGES = [
    "data_quality/id/report.html",
    "coverage_map/p1-pre_id/report.html",
    "change/ped_p1-pre_p1-post_id/report.html",
    "change/ped_p1-pre_p1-post_en/report.html",
    "change/ped_p2-pre_p2-post_id/report.html",
    "index.html",
]
pytestmark = pytest.mark.browser


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
