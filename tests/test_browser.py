"""A whole page in Chromium: no accessibility violation, no request, no sideways scrolling on a phone."""

from datetime import date

import nbformat
import numpy as np
import pandas as pd
import pytest

from bgtk_lib.display import page
from bgtk_lib.display import sentences as told
from bgtk_lib.display.canvas import draw_figure, start_figure
from bgtk_lib.display.figures import (
    count_flow_rows,
    draw_change_by_district,
    draw_coverage,
    draw_distribution,
    draw_flow,
    draw_missingness,
    draw_problem_rates,
    draw_sensitivity,
    draw_timeline,
)
from bgtk_lib.display.table import Column, draw_table
from bgtk_lib.engine.html import render_page
from bgtk_lib.engine.listing import render_index
from bgtk_lib.errors import Text
from bgtk_lib.findings import FlowStep, Gate
from bgtk_lib.words import SYNTHETIC_MARK, plain, say

MARKS = [SYNTHETIC_MARK, "DRAF"]
FEW = Text(id="tidak ditampilkan: kurang dari 10", en="not shown: fewer than 10")


def t(indonesian, english):
    return Text(id=indonesian, en=english)


# ---------------------------------------------------------------- a sample page

DISTRICTS = [
    ("18.01", "Kab. Lampung Selatan"),
    ("18.02", "Kab. Lampung Tengah"),
    ("18.03", "Kab. Lampung Utara"),
    ("18.04", "Kab. Lampung Barat"),
    ("18.05", "Kab. Tulang Bawang"),
    ("18.06", "Kab. Tanggamus"),
    ("18.07", "Kab. Lampung Timur"),
    ("18.08", "Kab. Way Kanan"),
    ("18.09", "Kab. Pesawaran"),
    ("18.10", "Kab. Pringsewu"),
    ("18.11", "Kab. Mesuji"),
    ("18.12", "Kab. Tulang Bawang Barat"),
    ("18.13", "Kab. Pesisir Barat"),
    ("18.71", "Kota Bandar Lampung"),
    ("18.72", "Kota Metro"),
]


def make_districts():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(DISTRICTS, columns=["district", "label"])
    frame["n"] = rng.integers(18, 320, len(frame)).astype(float)
    frame["value"] = rng.normal(3.4, 1.6, len(frame))
    half = 28 / np.sqrt(frame["n"])
    frame["low"], frame["high"] = frame["value"] - half, frame["value"] + half
    frame["share"] = rng.uniform(58, 99, len(frame))
    frame["bound"] = "exact"
    frame.loc[4, "bound"] = "at_least"
    frame["invited"] = frame["records"] = (frame["n"] / 0.8).round()
    frame["problems"] = rng.gamma(2, 0.8, len(frame))
    whole = {
        "district": "all",
        "label": t("Semua kabupaten/kota", "All districts"),
        "n": 2034,
        "value": 3.42,
        "low": 2.61,
        "high": 4.23,
        "share": 84.0,
        "bound": "exact",
        "invited": 2674,
        "records": 2674,
        "problems": 1.7,
    }
    frame = pd.concat([frame, pd.DataFrame([whole])], ignore_index=True)
    numbers = ["n", "value", "low", "high", "share", "invited", "records", "problems"]
    for place in (10, 12):
        frame.loc[place, numbers] = np.nan
    frame["withheld"] = [FEW if missing else None for missing in frame["n"].isna()]
    return frame


def make_grid():
    x = np.linspace(0, 100, 161)
    waves = [
        ("pre", t("pengukuran awal", "first measurement"), 52.1),
        ("post", t("pengukuran akhir", "second measurement"), 55.5),
    ]
    parts = [
        pd.DataFrame(
            {
                "wave": w,
                "label": [label] * len(x),
                "x": x,
                "density": np.exp(-(((x - m) / 17) ** 2)),
                "mean": m,
                "n": 2034,
            }
        )
        for w, label, m in waves
    ]
    return pd.concat(parts, ignore_index=True)


def make_sensitivity():
    rows = [
        (t("Hitungan utama", "Main estimate"), 3.42, 2.61, 4.23),
        (t("Dengan bobot hadir", "Weighted for attendance"), 3.30, 2.42, 4.18),
        (t("Imputasi ganda", "Multiple imputation"), 3.11, 2.10, 4.12),
        (t("Tanpa jawaban kilat", "Without rapid answers"), 3.58, 2.71, 4.45),
        (t("Bila hafal soal 0,25 SB", "If practice were 0.25 SD"), 0.32, -0.55, 1.19),
    ]
    frame = pd.DataFrame(rows, columns=["label", "value", "low", "high"])
    frame["withheld"] = None
    return frame


def make_flow():
    return [
        FlowStep(state="received", n=5_431),
        FlowStep(state="readable", n=5_402, set_aside=29, reasons={"broken_row": 29}),
        FlowStep(state="valid", n=5_127, set_aside=275, reasons={"second_attempt": 198, "outside_window": 77}),
        FlowStep(state="paired", n=4_068, set_aside=1_059, reasons={"only_first_wave": 803, "only_second_wave": 256}),
    ]


def make_timeline():
    start = pd.date_range("2025-10-18 07:00", "2025-10-18 16:50", freq="10min", tz="Asia/Jakarta")
    hours = start.hour + start.minute / 60
    counts = 140 * np.exp(-(((hours - 9.4) / 0.5) ** 2)) + 120 * np.exp(-(((hours - 14) / 0.6) ** 2))
    frame = pd.DataFrame({"start": start, "submissions": counts.round(), "minutes": 10})
    frame.loc[frame["submissions"].between(1, 9), "submissions"] = np.nan
    return frame


def make_missingness():
    parts = []
    for form in ("PG-A", "PG-B"):
        for state, top in (("omitted", 3.0), ("not_reached", 11.0)):
            share = np.linspace(0.2, top, 10) ** (1.0 if state == "omitted" else 1.2)
            parts.append(pd.DataFrame({"form": form, "state": state, "decile": range(1, 11), "share": share}))
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[0, "share"] = np.nan
    return frame


def draw_all(language):
    """Every figure with its sentence, in the order of a report."""
    districts = make_districts()
    problems = districts.assign(share=districts["problems"])
    steps = make_flow()
    plans = [
        (t("Alur data", "Flow of the data"), draw_flow, steps, told.tell_flow, count_flow_rows(steps, language=language)),
        (t("Sebaran skor pada kedua pengukuran", "Scores in both measurements"), draw_distribution, make_grid(), told.tell_distribution, 9),
        (t("Perubahan menurut kabupaten/kota", "Change by district"), draw_change_by_district, districts, told.tell_change_by_district, 17),
        (t("Seberapa kokoh angkanya", "How firm the number is"), draw_sensitivity, make_sensitivity(), told.tell_sensitivity, 6),
        (t("Cakupan menurut kabupaten/kota", "Coverage by district"), draw_coverage, districts, told.tell_coverage, 17),
        (t("Temuan pada rekaman", "Findings in the records"), draw_problem_rates, problems, told.tell_problem_rates, 17),
        (t("Waktu masuknya hasil", "When results came in"), draw_timeline, make_timeline(), told.tell_timeline, 7),
        (t("Soal yang tidak dijawab", "Items without an answer"), draw_missingness, make_missingness(), told.tell_missingness, 6.8),
    ]  # fmt: skip
    shown = []
    for title, draw, frame, tell, rows in plans:
        figure, ax = start_figure(rows)
        draw(frame, ax, language=language)
        shown.append(draw_figure(figure, title=title, sentence=tell(frame), marks=MARKS, language=language))
    return shown


CHANGE = told.Change(
    mean=3.42,
    low=2.61,
    high=4.23,
    pre_mean=52.06,
    post_mean=55.48,
    n=2034,
    first_day=date(2025, 10, 18),
    last_day=date(2026, 4, 20),
    max_points=100,
)
GATES = [
    Gate(code="D10", state="WARN", message=t("Jumlah peserta 2.674; sumber resmi menyebut sekitar 2.700. Selisihnya di dalam toleransi.", "2,674 participants; the official source says about 2,700, within tolerance."), scope={"wave": "p1-pre"}),
    Gate(code="C09", state="HOLD", message=t("Guru yang hanya mengikuti satu dari dua pengukuran berbeda skornya dari yang mengikuti keduanya. Bagian data dapat membukanya dengan alasan tertulis.", "Teachers present in one wave only differ in score. The data unit can lift this with a written reason."), scope={"waves": "p1-pre/p1-post"}),
    Gate(code="I04", state="UNKNOWN", message=t("Perbedaan fungsi butir menurut gawai belum dapat diperiksa: kolom gawai kosong.", "Item functioning by device could not be checked: the device column is empty.")),
    Gate(code="C05", state="OK", message=t("Jarak kedua pengukuran 150 sampai 210 hari pada semua pasangan.", "All pairs lie 150 to 210 days apart.")),
]  # fmt: skip


def make_notebook(language):
    """A report like R4, as the executed notebook holds it."""
    both = {"language": language}
    cover = page.Cover(
        title=t("Perubahan Kompetensi Enam Bulan dan Pemerataannya", "Six-Month Competency Change and its Evenness"),
        question=t("Apakah kompetensi meningkat, seberapa besar, dan seberapa merata?", "Did competence grow, by how much, and how evenly?"),
        population=t("Laporan ini berbicara tentang 2.034 guru SD dan SMP di Lampung yang mengikuti kedua pengukuran.", "This report speaks of 2,034 primary and junior secondary teachers in Lampung present in both measurements."),
        facts=[
            (t("Pengukuran awal", "First measurement"), t("18–22 Oktober 2025", "18–22 October 2025")),
            (t("Pengukuran akhir", "Second measurement"), t("16–20 April 2026", "16–20 April 2026")),
            (t("Edisi", "Edition"), t("2026-06 · draf", "2026-06 · draft")),
        ],
        parameters=[(plain("assessment"), plain("pedagogik")), (plain("confidence"), plain("0.95")), (plain("min_cell"), plain("10"))],
        stamp=[(t("Sidik data", "Data fingerprint"), plain("sha256:" + "3f9a0c" * 10)), (t("Versi kode", "Commit"), plain("a1b2c3d"))],
        marks=MARKS,
        standing=page.write_standing(0.95),
    )  # fmt: skip
    figures = [
        page.KeyFigure(value=say("figure.points_signed", value=3.42), label=t("perubahan rata-rata", "mean change"), detail=t("95%: 2,6 sampai 4,2", "95%: 2.6 to 4.2")),
        page.KeyFigure(value=t("2.034", "2,034"), label=t("guru pada kedua pengukuran", "teachers in both measurements"), detail=t("76% dari 2.674 yang mengikuti yang pertama", "76% of the 2,674 in the first")),
    ]  # fmt: skip
    districts = make_districts()
    wide = [
        Column("label", t("Kabupaten/kota", "District")),
        Column("n", plain("n"), "count"),
        Column("value", t("Perubahan (poin)", "Change (points)"), "signed_points"),
        Column("low", t("Rentang 95%", "95% interval"), "interval", high="high"),
        Column("share", t("Dapat dipakai", "Usable"), "percent"),
        Column("invited", t("Diundang", "Invited"), "count"),
    ]
    narrow = [
        Column("label", t("Cara hitung", "Way of computing")),
        Column("value", t("Perubahan (poin)", "Change (points)"), "signed_points"),
        Column("low", t("Rentang 95%", "95% interval"), "interval", high="high"),
    ]
    flow, spread, change, firm, coverage, problems, timeline, missing = draw_all(language)
    answer = page.draw_answer(
        told.tell_bottom_line(CHANGE), figures=figures, evidence=say("page.evidence.early"),
        conditions=[t("Angka ini berlaku bagi guru yang mengikuti kedua pengukuran saja.", "It holds for the teachers present in both measurements only.")], **both,
    )  # fmt: skip
    hold = page.draw_notice(
        "hold",
        heading=t("Angka pada bagian ini masih draf", "Numbers in this part are drafts"),
        body=[GATES[1].message],
        **both,
    )
    stop = page.draw_notice(
        "stop",
        heading=t("Kesenjangan antarwilayah belum dapat dihitung", "The gap between districts cannot be computed yet"),
        body=[
            t(
                "Dua perangkat tes belum memiliki tautan. Sampel jembatan sekitar 200 guru akan membukanya.",
                "The two forms have no link yet. A bridging sample of about 200 teachers would open it.",
            )
        ],
        **both,
    )
    limits = page.draw_points(
        [
            t("Apakah program menyebabkan perubahan ini.", "Whether the programme caused this change."),
            t("Apakah praktik mengajar di kelas ikut berubah.", "Whether teaching in class changed too."),
        ],
        **both,
    )
    words = page.draw_definition_list([(t("rentang ketidakpastian", "interval"), t("Rentang yang memuat nilai sebenarnya pada 95 dari 100 pengulangan.", "A range that holds the true value in 95 of 100 repetitions.")), (plain("n"), t("Banyaknya guru yang membentuk angka itu.", "How many teachers made the number."))], **both)  # fmt: skip
    story = [
        page.draw_cover(cover, **both),
        answer,
        ("## Cara membaca", "## How to read this"),
        page.draw_notice("note", heading=t("Titik, garis, dan nol", "Dot, line and zero"), body=[t("Titik adalah perkiraan terbaik; garis adalah rentang ketidakpastiannya. Bila garis memotong nol, arah perubahan belum dapat dipastikan.", "The dot is the best estimate, the line its interval. Where the line crosses zero, the direction is not settled.")], **both),
        ("## Siapa yang dihitung", "## Who was counted"),
        flow,
        page.draw_flow_list(make_flow(), **both),
        ("## Perubahan keseluruhan", "## Change overall"),
        spread,
        hold,
        firm,
        draw_table(make_sensitivity(), columns=narrow, caption=t("Perubahan menurut cara hitung", "Change by way of computing"), **both),
        ("## Menurut kabupaten/kota", "## By district"),
        ("Urutan menurut kode wilayah, **bukan** menurut hasil.", "In the order of the codes, **not** of the results."),
        change,
        draw_table(districts, columns=wide, caption=t("Perubahan menurut kabupaten/kota, guru yang mengikuti kedua pengukuran", "Change by district, teachers present in both measurements"), note=t("n: guru pada kedua pengukuran.", "n: teachers in both measurements."), **both),
        stop,
        ("## Mutu data", "## Data quality"),
        coverage,
        problems,
        timeline,
        missing,
        page.draw_gates(GATES, **both),
        ("## Apa yang tidak dapat disimpulkan", "## What cannot be concluded"),
        limits,
        ("## Istilah", "## Terms"),
        words,
    ]  # fmt: skip
    notebook = nbformat.v4.new_notebook()
    parameters = nbformat.v4.new_code_cell("min_cell: int = 10", metadata={"tags": ["parameters"]})
    parameters.outputs = [nbformat.v4.new_output("stream", name="stdout", text="PARAMETER CELL")]
    notebook.cells.append(parameters)
    for piece in story:
        if isinstance(piece, tuple):
            for tag, source in zip(("id", "en"), piece, strict=True):
                notebook.cells.append(nbformat.v4.new_markdown_cell(source, metadata={"tags": [tag]}))
        else:
            cell = nbformat.v4.new_code_cell("SECRET_CODE = 1", execution_count=7)
            warned = nbformat.v4.new_output("stream", name="stderr", text="SOME WARNING")
            cell.outputs = [warned, nbformat.v4.new_output("display_data", piece._repr_mimebundle_())]
            notebook.cells.append(cell)
    return notebook


def make_page(language):
    title = "Perubahan Kompetensi" if language == "id" else "Competency change"
    return render_page(
        make_notebook(language), language=language, title=title, passport={"report": "change"}, results={}, marks=MARKS
    )


REASONS = {
    **dict.fromkeys(
        ("held", "stopped", "failed"),
        lambda _: t("Kurang dari 60% guru mengikuti kedua pengukuran.", "Fewer than 60% took both."),
    ),
    "withheld": lambda label: t(f"{label}: kurang dari 10 guru", f"{label}: fewer than 10 teachers"),
}
FILTERS = {"district": "Kabupaten/kota", "assessment": "Asesmen", "report": "Jenis laporan", "status": "Keadaan"}


def make_index(language):
    entries = [
        {
            "title": t(f"Perubahan kompetensi – {label}", f"Competency change – {label}"),
            "report": "change",
            "report_name": t("Perubahan enam bulan", "Six-month change"),
            "assessments": {"PED": t("Pedagogik", "Pedagogy")} if code < "18.71" else {"KEP": t("Kepribadian", "Personality")},
            "waves": "p1-pre → p1-post",
            "jenjang": "",
            "language": "id",
            "districts": {code: t(label, label)},
            "status": status,
            "gates": [] if status == "done" else ["C09"],
            "href": None if status in ("failed", "withheld") else f"change/{code}/report.html",
            "made": None if status == "withheld" else date(2026, 6, 1),
            "reason": REASONS.get(status, lambda _: None)(label),
        }
        for (code, label), status in zip(DISTRICTS, ["done", "held", "stopped", "failed", *["done"] * 8, "withheld", "done", "withheld"], strict=True)
    ]  # fmt: skip
    return render_index(entries, edition="2026-06", language=language, marks=MARKS)


# ---------------------------------------------------------------- the tests


@pytest.mark.browser
@pytest.mark.parametrize("language", ["id", "en"])
def test_the_page_holds_in_a_browser(language, check_page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(make_page(language), encoding="utf-8")
    check_page(path)


@pytest.mark.browser
@pytest.mark.parametrize("language", ["id", "en"])
def test_the_index_holds_in_a_browser(language, check_page, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(make_index(language), encoding="utf-8")
    check_page(path)
    path.write_text(make_index(language).replace("<details", "<details open"), encoding="utf-8")
    check_page(path)


@pytest.mark.browser
def test_the_index_filters_without_a_network_and_under_its_own_policy(browser, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(make_index("id"), encoding="utf-8")
    view = browser.new_page(offline=True)
    view.goto(path.as_uri())
    made, few = view.locator(".reports > li:visible"), view.locator("#withheld li:visible")
    assert (made.count(), few.count(), view.inner_text("#f-count")) == (13, 0, "15")
    for name, value, shown in (("status", "stopped", 1), ("assessment", "KEP", 1), ("report", "change", 13)):
        view.get_by_label(FILTERS[name]).select_option(value)
        assert (made.count(), few.count()) == (shown, 0)
        view.get_by_label(FILTERS[name]).select_option("")
    view.get_by_label(FILTERS["district"]).select_option("18.02")
    assert made.all_inner_texts() == [made.first.inner_text()]
    assert "Kab. Lampung Tengah" in made.first.inner_text()
    view.get_by_label(FILTERS["status"]).select_option("done")  # both at once: that one is on hold
    assert (made.count(), view.locator("#none").is_visible()) == (0, True)
    view.get_by_role("button", name="Tampilkan semua").click()
    view.locator("#f-count:text-is('15')").wait_for()
    view.fill("#f-text", "lampung utara")
    assert (made.count(), view.inner_text("#f-count")) == (1, "1")
    view.close()


@pytest.mark.browser
def test_what_is_withheld_is_folded_and_found(browser, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(make_index("id"), encoding="utf-8")
    view = browser.new_page(offline=True)
    view.goto(path.as_uri())
    few = view.locator("#withheld li:visible")
    assert view.inner_text("#withheld summary") == "Tidak dibuat (2)"
    view.get_by_label(FILTERS["status"]).select_option("withheld")
    why = view.locator("#withheld section p").all_inner_texts()
    assert why == ["Kurang dari 10 guru:"] * 2  # one of each assessment
    assert few.all_inner_texts() == ["Kab. Pesisir Barat", "Kota Metro"]
    view.get_by_label(FILTERS["district"]).select_option("18.72")
    assert (few.count(), view.inner_text("#w-count")) == (1, "1")
    view.get_by_role("button", name="Tampilkan semua").click()
    view.locator("#f-count:text-is('15')").wait_for()
    view.fill("#f-text", "metro kompetensi")
    assert (few.count(), view.inner_text("#f-count")) == (1, "1")
    view.close()


@pytest.mark.browser
def test_the_index_is_filtered_from_the_keyboard(browser, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(make_index("id"), encoding="utf-8")
    view = browser.new_page(offline=True)
    view.goto(path.as_uri())
    view.keyboard.press("Tab")  # past the banner
    focused = "document.activeElement.id || document.activeElement.type || document.activeElement.className"
    reached = []
    for _ in range(6):
        view.keyboard.press("Tab")
        reached.append(view.evaluate(focused))
    assert reached == ["f-text", "f-district", "f-assessment", "f-report", "f-status", "reset"]
    view.focus("#withheld summary")
    view.keyboard.press("Enter")
    assert view.locator("#withheld").get_attribute("open") is not None
    view.focus("#f-district")
    view.keyboard.type("Kab. Mesuji")
    assert view.locator(".reports > li:visible").count() == 1
    view.close()


@pytest.mark.browser
def test_the_index_is_readable_without_script(browser, tmp_path):
    path = tmp_path / "index.html"
    path.write_text(make_index("id"), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False, offline=True)
    view = context.new_page()
    view.goto(path.as_uri())
    assert view.locator(".reports > li:visible").count() == 13
    assert not view.locator("#filter").is_visible()
    view.click("#withheld summary")
    assert view.locator("#withheld li:visible").count() == 2
    context.close()


@pytest.mark.browser
def test_an_axe_violation_is_found(check_page, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(make_page("id").replace('alt="', 'data-was="', 1), encoding="utf-8")
    with pytest.raises(AssertionError, match="image-alt"):
        check_page(path)
