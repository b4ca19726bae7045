"""Pages as text: escaped, in one language, offline, the same bytes each time; and the sentences of the figures are true."""

import base64
import csv
import io
import json
import re
from datetime import date
from html import unescape
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
from test_browser import (
    CHANGE,
    DISTRICTS,
    FEW,
    MARKS,
    draw_all,
    make_districts,
    make_flow,
    make_index,
    make_page,
    make_sensitivity,
    make_timeline,
)

from bgtk_lib.display import page, sentences
from bgtk_lib.display.canvas import start_figure, write_svg
from bgtk_lib.display.figures import draw_change_by_district, draw_coverage
from bgtk_lib.display.table import Column, draw_table, write_value
from bgtk_lib.engine.html import NOTE, render_page
from bgtk_lib.engine.notebooks import notebooks_folder
from bgtk_lib.engine.run import refuse_identifiers
from bgtk_lib.errors import StageError, Text
from bgtk_lib.findings import Gate
from bgtk_lib.words import plain
from bgtk_lib.words import sentences as sentences_of_words

OUTSIDE = re.compile(r"(?:https?:)?//")
CAUSE = re.compile(
    r"menyebabkan|akibat|berkat|dampak|meningkatkan|caused|because of|thanks to|effect of", re.IGNORECASE
)
LABELS = re.compile(
    r"\b(terbaik|tertinggal|lemah|gagal|lulus|peringkat|terbukti|rank|best|worst|failed)\b", re.IGNORECASE
)
WICKED = '<script>alert("x")</script> & \'</title>'


@pytest.fixture(scope="module")
def pages():
    return {language: make_page(language) for language in ("id", "en")}


def pictures(html):
    return [base64.b64decode(found).decode() for found in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]


def words(html):
    """What a reader reads: no styles, scripts, tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|script)\b.*?</\1>", " ", html))


def render(*cells, **values):
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    settings = {"language": "id", "title": "x", "passport": {}, "results": {}, "marks": []} | values
    return render_page(notebook, **settings)


def shown(data, kind="display_data"):
    return nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output(kind, data)])


# ---------------------------------------------------------------- nothing gets in unescaped


def test_every_builder_escapes_what_it_is_given():
    bad = plain(WICKED)
    both = {"language": "id"}
    gate = Gate(code=WICKED, state="HOLD", message=bad, scope={"wave": WICKED}, lifted=WICKED)
    frame = pd.DataFrame({"a": [WICKED], "v": [None], "withheld": [WICKED]})
    figure, _ = start_figure(3)
    pieces = [
        page.draw_cover(
            page.Cover(
                title=bad,
                population=bad,
                question=bad,
                facts=[(bad, bad)],
                parameters=[(bad, bad)],
                marks=[WICKED],
                standing=[bad],
            ),
            **both,
        ),
        page.draw_answer(
            bad, figures=[page.KeyFigure(value=bad, label=bad, detail=bad)], evidence=bad, conditions=[bad], **both
        ),
        page.draw_notice("warn", heading=bad, body=[bad], **both),
        page.draw_prose([bad], **both),
        page.draw_points([bad], **both),
        page.draw_definition_list([(bad, bad)], **both),
        page.draw_gates([gate], **both),
        draw_table(frame, columns=[Column("a", bad), Column("v", bad, "count")], caption=bad, note=bad, **both),
        page_figure(figure, bad),
    ]
    for piece in pieces:
        assert "<script" not in piece.html
        assert "</title>" not in piece.html
        assert "alert(&quot;x&quot;)" in piece.html
        assert WICKED in piece.text


def page_figure(figure, text):
    from bgtk_lib.display.canvas import draw_figure

    return draw_figure(figure, title=text, sentence=text, marks=[WICKED], language="id")


def test_a_wicked_title_mark_or_passport_cannot_leave_its_element():
    html = render(title=WICKED, marks=[WICKED, 'a"; } body { display: none'], passport={"x": WICKED, "y": "</script>"})
    assert html.count("<script") == 2
    assert html.count("</title>") == 1
    assert 'content: "\\3c script\\3e alert(\\22 x\\22 )' in html
    assert json.loads(re.search(r'id="bgtk-passport">(.*?)</script>', html).group(1)) == {"x": WICKED, "y": "</script>"}


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        render(results={"mean": float("nan")})


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("value", "kind", "indonesian", "english"),
    [
        (2674, "count", "2.674", "2,674"),
        (2674.0, "count", "2.674", "2,674"),
        (52.06, "points", "52,1", "52.1"),
        (87.25, "percent", "87,2%", "87.2%"),
        (0.714, "decimal2", "0,71", "0.71"),
        (0.0004, "p", "< 0,001", "< 0.001"),
        (0.0123, "p", "0,012", "0.012"),
        (3.42, "signed_points", "+3,4", "+3.4"),
        (-0.31, "signed_points", "−0,3", "−0.3"),
        (-0.04, "signed_points", "0,0", "0.0"),
        (-0.004, "decimal2", "0,00", "0.00"),
        (None, "points", "", ""),
        (float("nan"), "count", "", ""),
        (Text(id="ya", en="yes"), "text", "ya", "yes"),
    ],
)
def test_a_value_is_written_as_its_language_writes_it(value, kind, indonesian, english):
    assert (write_value(value, kind, "id"), write_value(value, kind, "en")) == (indonesian, english)


def test_a_withheld_row_says_why_once_and_an_empty_cell_is_a_dash():
    frame = pd.DataFrame({"name": ["A", "B"], "n": [12.0, None], "low": [None, None], "high": [None, None]})
    frame["withheld"] = pd.Series([None, FEW], dtype=object)
    columns = [Column("name", plain("N")), Column("n", plain("n"), "count"), Column("low", plain("R"), "interval")]
    html = draw_table(frame, columns=columns, caption=plain("C"), language="id").html
    assert html.count(FEW.id) == 1
    assert f'colspan="2">– <small>{FEW.id}</small>' in html
    assert html.count("tidak ada nilai") == 1
    assert 'scope="row">A<' in html
    assert html.count('scope="col"') == 3
    assert 'role="region" tabindex="0" aria-label="C"' in html


def read_csv(html, separator):
    address = unescape(re.search(r'<a download="[^"]*" href="data:text/csv;charset=utf-8,([^"]*)"', html).group(1))
    text = unquote(address)
    assert text.startswith("\ufeff")
    return [*csv.reader(io.StringIO(text[1:]), delimiter=separator)]


@pytest.mark.parametrize(("language", "separator"), [("id", ";"), ("en", ",")])
def test_a_table_can_be_saved_with_the_cells_it_shows(language, separator):
    frame = pd.DataFrame({"part": ["x", "x", "y"], "name": ["A; B", '=SUM("1")', "C"], "n": [1234.0, -1.25, None]})
    frame = frame.assign(
        low=[-2.0, 0.5, None], high=[3.25, 1.0, None], withheld=pd.Series([None, None, FEW], dtype=object)
    )
    columns = [Column("name", plain("N")), Column("n", plain("n"), "points"), Column("low", plain("R"), "interval")]
    html = draw_table(frame, columns=columns, caption=plain("C & D"), language=language, section="part").html
    head, first, second, third = read_csv(html, separator)
    assert head == ["", "N", "n", *(["R (bawah)", "R (atas)"] if language == "id" else ["R (low)", "R (high)"])]
    assert first == ["x", "A; B", *(["1.234,0", "-2,0", "3,2"] if language == "id" else ["1,234.0", "-2.0", "3.2"])]
    assert second[1].startswith("'=")
    assert second[2] == write_value(-1.25, "points", language).replace("−", "-")
    assert third == ["y", "C", "", "", "", FEW.said(language)]


def test_drawing_does_not_change_the_frame():
    frame = make_districts()
    before = frame.copy(deep=True)
    _, ax = start_figure(17)
    draw_change_by_district(frame, ax, language="id")
    sentences.tell_change_by_district(frame)
    pd.testing.assert_frame_equal(frame, before)


# ---------------------------------------------------------------- figures


def test_figures_are_small_name_their_marks_and_are_the_same_bytes_twice():
    first, second = draw_all("id"), draw_all("id")
    assert first == second
    for piece in first:
        assert len(piece.html) < 35_000
        (svg,) = pictures(piece.html)
        assert " · ".join(MARKS) in svg
        assert not OUTSIDE.search(re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", svg))
        alt = re.search(r'alt="([^"]+)"', piece.html).group(1)
        assert alt in piece.html.split("<figcaption>")[1]


def test_rows_stand_in_the_order_of_the_codes_and_a_withheld_row_has_no_mark():
    figure, ax = start_figure(17)
    draw_change_by_district(make_districts(), ax, language="id")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [name for _, name in DISTRICTS] + ["Semua kabupaten/kota"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    svg = write_svg(figure)
    assert svg.count(">tidak ditampilkan<") == 2  # short in the picture; the table beside says why
    marks = [line for line in ax.get_lines() if line.get_marker() in ("o", "D")]
    assert len(marks) == 14


def test_a_bound_is_written_as_a_bound():
    figure, ax = start_figure(17)
    draw_coverage(make_districts(), ax, language="id")
    assert re.search(r"≥ \d+%", write_svg(figure))


# ---------------------------------------------------------------- sentences


def change(**values):
    return sentences.Change(**({name: getattr(CHANGE, name) for name in CHANGE.__dataclass_fields__} | values))


def test_the_bottom_line_says_how_much_from_what_to_what_how_sure_and_no_cause():
    said = sentences.tell_bottom_line(CHANGE)
    assert said.id == (
        "Antara 18 Oktober 2025 dan 20 April 2026, skor 2.034 guru naik rata-rata 3,4 poin (dari 52,1 menjadi 55,5 pada "
        "skala 0–100; rentang ketidakpastian 95%: 2,6 sampai 4,2). Perubahan ini terjadi selama masa program; laporan ini "
        "tidak membuktikan penyebabnya."
    )
    assert "went up by 3.4 points on average (from 52.1 to 55.5" in said.en


def test_a_fall_is_told_with_an_interval_of_the_same_sign():
    said = sentences.tell_bottom_line(change(mean=-2.0, low=-3.1, high=-0.9, post_mean=50.06)).id
    assert "turun rata-rata 2,0 poin" in said
    assert "0,9 sampai 3,1" in said


@pytest.mark.parametrize(("low", "high"), [(-0.4, 1.9), (0.0, 2.0), (-2.0, 0.0)])
def test_an_interval_with_zero_settles_nothing(low, high):
    said = sentences.tell_bottom_line(change(mean=(low + high) / 2, low=low, high=high))
    assert "data ini belum cukup untuk memastikan arah perubahan" in said.id
    assert not re.search(r"\b(naik|turun)\b", said.id)
    assert not re.search(r"\b(up|down)\b", said.en)


def test_an_end_close_to_zero_is_not_rounded_onto_it():
    assert "0,03 sampai" in sentences.tell_bottom_line(change(low=0.031)).id


def test_a_difference_that_rounding_hides_is_written_with_two_places():
    plain_one = change(mean=3.36, pre_mean=52.04, post_mean=55.40)
    odd = change(mean=3.42, pre_mean=52.04, post_mean=55.46)
    assert "3,4 poin (dari 52,0 menjadi 55,4" in sentences.tell_change(plain_one).id
    assert "3,42 poin (dari 52,04 menjadi 55,46" in sentences.tell_change(odd).id
    still_odd = change(mean=3.4203, pre_mean=52.0449, post_mean=55.4652)
    assert "pembulatan" in sentences.tell_change(still_odd).id


def test_the_sentence_of_the_districts_counts_what_the_figure_shows():
    frame = make_districts()
    rows = frame[(frame["district"] != "all") & frame["value"].notna()]
    said = sentences.tell_change_by_district(frame).id
    assert f"Pada {len(rows)} kabupaten/kota" in said
    assert f"di atas nol pada {(rows['low'] > 0).sum()}" in said
    assert said.endswith("2 kabupaten/kota tidak ditampilkan.")


def test_when_nothing_may_be_shown_the_sentence_says_so():
    frame = make_districts()
    frame["withheld"] = FEW
    for tell in (sentences.tell_change_by_district, sentences.tell_coverage, sentences.tell_problem_rates):
        assert "Tidak ada dari 15 kabupaten/kota" in tell(frame).id


def test_a_bound_does_not_enter_the_range():
    frame = make_districts()
    frame.loc[4, ["share", "bound"]] = [1.0, "at_least"]
    said = sentences.tell_coverage(frame).id
    assert " 1%" not in said
    assert "1 kabupaten/kota lainnya hanya diketahui batasnya" in said


def test_sensitivity_flow_and_time_are_told_from_their_frames():
    assert "+3,4 poin; 4 cara hitung lain memberi +0,3 sampai +3,6 poin. Pada 1 dari 5" in (
        sentences.tell_sensitivity(make_sensitivity()).id
    )
    assert "Tidak satu pun" in sentences.tell_sensitivity(make_sensitivity().iloc[:4]).id
    assert "1.363 disisihkan" in sentences.tell_flow(make_flow()).id
    assert "mulai pukul 09.20, yaitu 138 kiriman" in sentences.tell_timeline(make_timeline()).id


def test_no_sentence_of_a_figure_names_a_cause_or_a_label():
    told = [text for piece in draw_all("id") + draw_all("en") for text in piece.text.splitlines()]
    for text in [*told, *(getattr(sentences.tell_bottom_line(CHANGE), language) for language in ("id", "en"))]:
        assert not LABELS.search(text)
        assert not CAUSE.search(text)


# ---------------------------------------------------------------- the page


def test_the_same_notebook_gives_the_same_bytes(pages):
    assert make_page("id") == pages["id"]
    assert make_index("id") == make_index("id")


def test_the_page_is_one_small_file_without_an_outside_address(pages):
    for html in [*pages.values(), make_index("id")]:
        bare = re.sub(r"data:image/svg\+xml;base64,[^\"]+", "", html)
        assert not OUTSIDE.search(bare)
        assert len(html.encode()) < 250_000
        assert "default-src 'none'" in html
    assert len(pictures(pages["id"])) == 8


def test_the_page_has_its_language_only(pages):
    assert '<html lang="id">' in pages["id"]
    assert '<html lang="en">' in pages["en"]
    assert "How to read this" not in pages["id"]
    assert "Cara membaca" not in pages["en"]
    assert "Contents" not in words(pages["id"])
    assert "Isi laporan" not in words(pages["en"])


def test_code_prompts_warnings_and_parameters_stay_in_the_notebook(pages):
    for gone in ("SECRET_CODE", "SOME WARNING", "PARAMETER CELL", "In [", "No description has been provided"):
        assert gone not in pages["id"]


def test_every_heading_is_in_the_contents_and_every_link_has_its_target(pages):
    html = pages["id"]
    assert html.count("<h1") == 1
    links = re.findall(r'<a href="#(s\d+)">', html)
    assert links == re.findall(r'<h2 id="(s\d+)">', html)
    assert len(links) == 7
    assert html.index('class="answer"') < html.index('class="contents"') < html.index('<h2 id="s1">')


def test_marks_stand_above_the_page_and_on_every_printed_sheet(pages):
    html = pages["id"]
    assert all(f"<span>{mark}</span>" in html for mark in MARKS)
    assert f'@page {{ @top-left {{ content: "{" · ".join(MARKS)}"; }} }}' in html


def test_a_bare_frame_or_picture_is_refused():
    frame = pd.DataFrame({"pid": ["T031"], "score": [1]})
    with pytest.raises(StageError, match="draw_table"):
        render(shown({"text/html": frame.to_html(), "text/plain": "x"}))
    with pytest.raises(StageError, match="draw_figure"):
        render(shown({"image/png": "aGVq", "text/plain": "<Figure>"}))
    with pytest.raises(StageError):
        render(shown({"text/html": '<img src="data:image/png;base64,aGVq">'}))


def test_a_traceback_never_reaches_the_page():
    broken = nbformat.v4.new_output("error", ename="KeyError", evalue="T031", traceback=["/home/x/file.py T031"])
    html = render(nbformat.v4.new_code_cell("", outputs=[broken]))
    assert "T031" not in html
    assert "tidak selesai" in html


def test_notes_on_method_are_numbered_linked_and_led_back_from():
    """Marks get their numbers in the order of reading; one that comes twice leads to one note."""
    text = "## Judul\n\nSatu.[^bh] Dua.[^cr2] Lagi.[^bh]"
    html = render(nbformat.v4.new_markdown_cell(text), passport={"text": "[^bh]"})
    assert re.findall(r'href="#(n\d)"[^>]*>\[(\d)\]<', html) == [("n1", "1"), ("n2", "2"), ("n1", "1")]
    assert re.findall(r'id="(r\d)"', html) == ["r1", "r2"]
    notes = html[html.index('<section class="notes">') :]
    assert notes.index("Benjamini") < notes.index("Satterthwaite")
    assert re.findall(r'href="#(r\d)"', notes) == ["r1", "r2"]
    assert "Catatan metode" in html[html.index('class="contents"') : html.index("</nav>")]
    assert '"text":"[^bh]"' in html, "what the page carries of itself is left as it is"


@pytest.mark.parametrize("path", sorted(notebooks_folder().glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_note_that_a_notebook_names_is_there_in_both_languages(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    named = {
        language: [name for cell in cells if language in cell.metadata.tags for name in NOTE.findall(cell.source)]
        for language in ("id", "en")
    }
    assert named["id"] == named["en"]
    assert {f"method.{name}" for name in named["id"]} <= sentences_of_words().keys()


def test_a_page_without_headings_has_no_contents():
    html = render(nbformat.v4.new_markdown_cell("Satu kalimat saja."))
    assert '<nav class="contents"' not in html
    assert "<!--cell-->" not in html


# ---------------------------------------------------------------- the index


def test_the_index_lists_the_stopped_and_the_failed_with_their_reason():
    html = make_index("id")
    assert html.count("<li data-report=") == len(DISTRICTS)
    assert html.count("Kurang dari 60% guru mengikuti kedua pengukuran.") == 3
    assert "10 selesai · 1 ditahan · 1 berhenti · 1 tidak selesai · 2 tidak dibuat" in html
    assert f"dibuat {date(2026, 6, 1).day} Juni 2026" in html
    assert '<form id="filter" hidden' in html


# ---------------------------------------------------------------- the last net


def draw_words(words):
    svg = f'<svg><text x="1">{words}</text></svg>'
    return f'<img alt="Gambar" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">'


@pytest.mark.parametrize("shape", [str, lambda words: f"<p>{words}.</p>", draw_words])
@pytest.mark.parametrize(
    "words", ["3" * 16, "1" * 18, f"{19800101} 200501 1 001", f"08{12} {3456} {7890}", "ani" + "@sekolah.sch.id"]
)
def test_an_identifier_is_refused_wherever_it_stands(words, shape):
    with pytest.raises(StageError):
        refuse_identifiers(shape(words))


def test_numbers_hashes_and_what_is_packed_are_no_identifiers():
    packed = f'<script type="application/zlib" id="bgtk-results">{"7" * 16}+ab==</script>'
    for text in ("0.1234567890123456", "a" + "3" * 16, "34.100 guru, 12 sampai 18", packed, draw_words("500,25")):
        refuse_identifiers(text)
