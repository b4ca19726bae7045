"""The real reports in Chromium: accessible, silent on the network, and no wider than a phone."""

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
