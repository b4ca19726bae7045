"""The last reader of a page: claims and labels are found, honest sentences are not, in both languages."""

import base64
import re
from pathlib import Path

import nbformat
import pytest

from bgtk_lib.engine.lint import lint_page, lint_text, refuse_claims
from bgtk_lib.engine.visible import read_blocks
from bgtk_lib.errors import StageError
from bgtk_lib.schema import code_list, read_reference
from bgtk_lib.words import sentences

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
BAD = {
    "id": {
        "cause": [
            "Berkat program ini, skor guru naik 4 poin.",
            "Skor naik karena program Tutor Sebaya.",
            "Kenaikan ini disebabkan oleh pelatihan enam bulan.",
            "Pelatihan meningkatkan kompetensi guru.",
            "Program ini tidak hanya meningkatkan skor, tetapi juga semangat belajar.",
            "Tutor Sebaya efektif bagi guru SD.",
            "Program ini berdampak positif pada capaian guru.",
            "Pendampingan berhasil menaikkan nilai rata-rata sebesar 4 poin.",
            "Kegiatan ini mendorong peningkatan kompetensi pedagogik.",
            "Program menyebabkan skor naik.",
            "Selama enam bulan, program mempersempit kesenjangan antarwilayah.",
            "Rata-rata naik 4 poin sebagai hasil pelatihan.",
            "Tidak semua guru ikut, dan pelatihan meningkatkan skor mereka yang ikut.",
            "Jika dilihat dari angkanya, program meningkatkan skor.",
        ],
        "cause_named": [
            "Dampak program terhadap guru SD adalah 4 poin.",
            "Gambar 3. Kontribusi program menurut jenjang.",
            "Efek pelatihan pada skor guru besar.",
            "Dampak program adalah 4 poin, sedangkan dampak lain tidak diketahui.",
        ],
        "no_effect": ["Program ini tidak efektif.", "Pelatihan tidak berpengaruh terhadap skor."],
        "proof": [
            "Program ini terbukti meningkatkan kompetensi.",
            "Hasil ini membuktikan keberhasilan Tutor Sebaya.",
            "Tidak diragukan bahwa skor naik.",
        ],
        "label_person": [
            "Ada 12 guru lemah di kabupaten ini.",
            "Guru yang tidak kompeten perlu dilatih.",
            "Guru terbaik menjadi tutor.",
            "Guru gagal mengikuti tes ulang.",
            "Sebagian guru lulus.",
            "Kepribadian turun 2 poin.",
            "Peserta yang menyontek disisihkan.",
            "Angka drop-out 12%.",
        ],
        "label_place": ["Kabupaten tertinggal ada tiga.", "Sekolah yang paling buruk ada di utara."],
        "rank": [
            "Peringkat kabupaten: Metro, Pringsewu, Mesuji.",
            "Kabupaten ini berada di urutan ke-3.",
            "Inilah lima besar kabupaten.",
            "Juara tahun ini: Metro.",
        ],
        "colour": ["Tiga kabupaten masuk zona merah.", "Lampu lalu lintas menandai capaian.", "Hijau berarti baik."],
        "gap_gone": ["Kesenjangan antarwilayah sudah hilang.", "Tidak ada lagi kesenjangan kompetensi antarguru."],
        "not_significant": ["Perubahannya tidak signifikan.", "Kelompok ini tidak berbeda secara signifikan."],
        "significant": ["Skor naik secara signifikan."],
        "bad_item": ["Butir jelek dibuang."],
        "relative": [
            "Skor guru naik 16 %.",
            "Rata-rata kompetensi meningkat sebesar 7,7 persen.",
            "Peningkatan skor mencapai 12% dalam enam bulan.",
            "Nilai peserta 12% lebih tinggi.",
        ],
    },
    "en": {
        "cause": [
            "Thanks to the programme, scores rose by 4 points.",
            "Scores improved because teachers attended the workshop.",
            "The rise was caused by the training.",
            "The programme raised teachers' scores.",
            "Peer tutoring improved mean scores by 4 points.",
            "The training led to higher scores.",
            "This is how the programme lifted competence.",
            "The programme was highly effective.",
            "Peer tutors made a difference.",
            "The change is due to the new coaching programme.",
            "The workshop not only raised scores but changed habits.",
            "Six months of coaching narrowed the gap.",
            "The training worked.",
            "Teachers were impacted by the training.",
        ],
        "cause_named": [
            "The effect of the programme is 4 points.",
            "Programme impact by district.",
            "Its impact on teachers' competence is large.",
        ],
        "no_effect": [
            "The programme had no effect.",
            "The training did not improve scores.",
            "The workshop was ineffective.",
        ],
        "proof": ["The data prove that scores rose.", "Tutoring is proven to help.", "Competence has no doubt grown."],
        "label_person": [
            "There are 12 weak teachers in this district.",
            "Teachers who failed are listed below.",
            "The best teachers become tutors.",
            "These teachers are incompetent.",
            "Personality fell by 2 points.",
            "Cheating was found in two sessions.",
            "The dropout was 12 per cent.",
        ],
        "label_place": ["Lagging districts need attention.", "The worst schools lie in the north."],
        "rank": [
            "A ranking of districts follows.",
            "Metro ranked first.",
            "The league table of schools.",
            "These are the top five districts.",
        ],
        "colour": ["Three districts are in the red zone.", "A traffic light shows the result.", "Green means good."],
        "gap_gone": ["The gap has vanished.", "The programme years closed the gap."],
        "not_significant": [
            "The change is not significant.",
            "Districts did not differ significantly.",
            "An insignificant change.",
        ],
        "significant": ["Scores rose significantly."],
        "bad_item": ["Bad items were removed."],
        "relative": [
            "Scores rose by 16 %.",
            "Competence is up 7.7 per cent.",
            "Scores are 12 % higher.",
            "An improvement of about 12% in mean scores.",
        ],
    },
}
GOOD = {
    "id": [
        "Perubahan ini terjadi selama masa program; laporan ini tidak membuktikan penyebabnya.",
        "Penyebab perubahan ini belum dapat dipastikan.",
        "Dampak program belum dapat disimpulkan dari laporan ini.",
        "Dampak program tidak dihitung.",
        "Kontribusi program hanya dapat dinilai bila ada kelompok pembanding.",
        "Untuk mengetahui efek pelatihan diperlukan kelompok pembanding.",
        "Kenaikan skor belum tentu karena pelatihan.",
        "Laporan ini tidak menyatakan bahwa program meningkatkan kompetensi.",
        "Tidak dapat dikatakan bahwa pelatihan efektif.",
        "Program ini bertujuan meningkatkan kompetensi guru.",
        "Pelatihan untuk meningkatkan mutu guru diikuti 400 orang.",
        "Apakah pelatihan meningkatkan skor?",
        "Jika pernah mengerjakan tes yang sama menaikkan skor 0,25 simpangan baku: −0,3 poin.",
        "Mengerjakan soal yang sama dapat menaikkan skor.",
        "Sebagian perubahan dapat berasal dari pernah mengerjakan tes yang sama.",
        "Angka di laporan ini ditandai DRAF, karena:",
        "Jumlah klaster efektif 41.",
        "Pembelajaran efektif yang berpusat pada peserta didik.",
        "Peserta program naik 4 poin; guru serupa yang belum ikut naik 3 poin.",
        "Kekuatan bukti: awal (tanpa kelompok pembanding)",
        "Urutan ini bukan peringkat.",
        "Gambaran tiap kabupaten/kota, urut kode.",
        "Kabupaten/kota dengan kebutuhan dukungan lebih besar ditandai dengan n.",
        "Guru yang bersedia menjadi tutor sebaya berjumlah 61.",
        "Guru yang hanya mengikuti satu dari dua pengukuran dihitung tersendiri.",
        "Jarak antarwilayah mengecil 2 poin (rentang 0,5 sampai 3,5).",
        "Data ini belum cukup untuk memastikan arah perubahan.",
        "Skor 271 guru naik rata-rata 1,4 poin (dari 50,1 menjadi 51,5).",
        "Naik 4 poin (dari 52 menjadi 56).",
        "Kehadiran naik 4 poin persentase.",
        "Jumlah undangan bertambah 12%.",
        "Butir perlu telaah: 3 dari 40.",
        "Lulusan SMA Unggul Terpadu ikut tes ini.",
        "Sekolah unggulan dan sekolah lain ikut.",
        "Ada aturan yang gagal; lihat pemeriksaan.",
        "Pola yang serupa bukan bukti kecurangan.",
        "Korelasi peringkat Spearman 0,81.",
        "Kesalahan penghubungan orang membuat perubahan tampak lebih kecil.",
        "Peta ini menunjukkan dukungan apa yang paling bermanfaat.",
        "Kesenjangan dapat mengecil karena batas atas tes.",
        "Guru baik di kota maupun di kabupaten ikut.",
        "Guru yang belum lulus S1 berjumlah 46.",
        "Karena pesertanya dipilih, perubahan ini tidak dapat dibaca sebagai hasil program.",
    ],
    "en": [
        "This change took place during the programme; the report does not prove its cause.",
        "The cause of the change is not established.",
        "The effect of the programme cannot be concluded from this report.",
        "The programme's contribution can only be told with a comparison group.",
        "No effect of the programme is claimed here.",
        "This report does not say that the programme raised scores.",
        "It is a change during the programme, not an effect of the training.",
        "The programme aims to improve competence.",
        "Training meant to raise scores was attended by 400 teachers.",
        "Did the programme raise scores?",
        "If having sat the same test raises scores by .25 standard deviations: −0.3 points.",
        "Part of the change may come from having sat the same test.",
        "Sitting the same test twice can raise scores.",
        "A practice effect raises scores.",
        "The figures of this report are marked DRAFT, because:",
        "The effective number of clusters is 41.",
        "Effective learner-centred teaching",
        "The effect size is 0.21.",
        "Participants of the programme improved by 4 points; similar teachers not yet in it by 3 points.",
        "Strength of evidence: early (no comparison group)",
        "The order is no rank.",
        "Districts in code order.",
        "Districts with larger support need are described below.",
        "Volunteering peer tutors: 61.",
        "Teachers not present in both waves are counted apart.",
        "The gap narrowed by 2 points (0.5 to 3.5).",
        "These data do not yet settle the direction.",
        "The scores of 271 teachers went up by 1.4 points on average (from 50.1 to 51.5).",
        "Up 4 points (from 52 to 56).",
        "Attendance rose by 4 percentage points.",
        "The number of rows rose by 12 %.",
        "Items for review: 3 of 40.",
        "The best estimate is 1.4 points.",
        "Rules that failed are listed.",
        "Similar answers are a reason to look at the session's record, not proof about anyone.",
        "The Spearman rank correlation is .81.",
        "Errors of linkage make change look smaller.",
        "The map shows which support would help most.",
        "Ceiling effects shrink an observed gap.",
        "Numbers are rounded to three significant digits.",
        "Scores went up because the key was corrected.",
        "Teachers who passed the checks are counted.",
    ],
}  # fmt: skip
# What the wording table of the reports advises in the place of the phrases it avoids.
ADVISED = {
    "id": "bagian kompetensi yang perlu penguatan; capaian kelompok pada tes ini terhadap acuan; butir perlu telaah; "
    "gambaran tiap kabupaten/kota, urutan menurut kode; selama program, rata-rata turun 2 poin; penyebab belum dapat "
    "dipastikan; pola jawaban yang perlu ditinjau dengan berita acara sesi; perubahan di dalam rentang ketelitian tes",
    "en": "area where support is most useful; group result on this test relative to a reference; item for review; "
    "changed during the programme, cause not established; pattern to be reviewed with its session; within the "
    "precision of the test",
}
every_language = pytest.mark.parametrize("language", ["id", "en"])


def rules_of(text, language, **facts):
    return {finding.rule for finding in lint_text(text, language=language, **facts)}


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("language", "rule", "text"),
    [(language, rule, text) for language, rules in BAD.items() for rule, texts in rules.items() for text in texts],
)
def test_a_claim_or_label_is_found(language, rule, text):
    assert rule in rules_of(text, language)


@pytest.mark.parametrize(("language", "text"), [(language, text) for language, texts in GOOD.items() for text in texts])
def test_an_honest_sentence_is_left_alone(language, text):
    assert rules_of(text, language) == set()


def test_there_are_enough_of_both():
    for language in ("id", "en"):
        assert len(GOOD[language]) >= 30
        assert sum(map(len, BAD[language].values())) >= 30


@every_language
def test_every_rule_has_a_sentence_that_breaks_it(language):
    assert set(BAD[language]) == set(read_reference("claims.yaml")["rules"])


@every_language
def test_a_comparison_group_allows_words_of_cause_and_nothing_else(language):
    for rule, texts in BAD[language].items():
        for text in texts:
            found = rules_of(text, language, may_claim=True)
            if rule in ("cause", "cause_named", "no_effect"):
                assert not found & {"cause", "cause_named", "no_effect"}, text
            else:
                assert rule in found, text


@every_language
def test_what_is_advised_instead_is_itself_right(language):
    assert rules_of(ADVISED[language], language) == set()
    for rule in read_reference("claims.yaml")["rules"].values():
        said = " ".join(re.findall("“([^”]*)”", rule["instead"][language]))
        assert rules_of(said, language) == set()


@every_language
def test_no_sentence_of_the_library_breaks_a_rule(language):
    """With a comparison group: what the pages of a programme say has sentences for either case."""
    found = {
        key: rules_of(re.sub(r"\{[^}]*\}", "12", both[language]), language, may_claim=True)
        for key, both in sentences().items()
    }
    assert {key: rules for key, rules in found.items() if rules} == {}


@every_language
def test_no_register_and_no_notebook_breaks_a_rule(language):
    names = [
        text.said(language) for name in ("programmes", "assessments", "indicators") for text in code_list(name).values()
    ]
    cells = [
        cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"
    ]
    told = [cell.source for cell in cells if language in cell.metadata.get("tags", [])]
    assert len(names) > 20
    assert len(told) > 20
    assert [text for text in names + told if rules_of(text, language, may_claim=True)] == []


def test_each_finding_names_its_sentence_and_its_words():
    text = "Ada 271 guru. Berkat pelatihan, skor naik. Urutan menurut kode."
    (finding,) = lint_text(text, language="id")
    assert (finding.sentence, finding.found, finding.severity) == ("Berkat pelatihan, skor naik.", "Berkat", "stop")
    assert "kelompok pembanding" in finding.instead.id
    assert "comparison group" in finding.instead.en


# ---------------------------------------------------------------- rises and falls


def figure(value, low=None, high=None):
    return {"name": "change.mean", "value": value, "low": low, "high": high}


OPEN = figure(1.37, -0.31, 3.12)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "Skor 271 guru naik rata-rata 1,4 poin."),
        ("id", "Skor 271 guru naik rata-rata 1,37 poin (dari 50,1 menjadi 51,5)."),
        ("id", "Kenaikan sebesar 1,4 poin tercatat; semua kabupaten ikut."),
        ("id", "Di kota rata-ratanya lebih tinggi 1,4 poin."),
        ("id", "Skor turun −1,4 poin."),
        ("id", "Skor naik (dari 50,1; menjadi 51,5) sebesar 1,4 poin."),
        ("en", "The scores of 271 teachers went up by 1.4 points on average."),
        ("en", "Scores rose (1.37 points)."),
        ("en", "An increase of 1.4 points was seen."),
        ("en", "Scores rose by about 1 point."),
    ],
)
def test_an_interval_that_contains_zero_is_not_told_as_a_rise_or_fall(language, text):
    assert rules_of(text, language, figures=[OPEN], may_claim=True) == {"direction"}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "Skor 271 guru berubah rata-rata +1,4 poin; data ini belum cukup untuk memastikan arah perubahan."),
        ("id", "Skor naik 1,4 poin; arahnya belum dapat dipastikan."),
        ("id", "Skor naik 1,4 poin, tetapi rentangnya memuat nol."),
        ("id", "Data tidak menunjukkan kenaikan 1,4 poin."),
        ("id", "Jika rata-rata naik 1,4 poin, selisihnya nol."),
        ("id", "Skor naik 4,0 poin; selisih antarwilayah 1,4 poin (−0,3 sampai 3,1)."),
        ("id", "Skor naik 11,4 poin, atau 1,45 simpangan baku."),
        ("id", "Bagian naik 1 dari 5."),
        ("en", "Scores changed by +1.4 points (−0.3 to 3.1); these data do not yet settle the direction."),
        ("en", "Scores went up by 1.4 points; the direction is not settled."),
        ("en", "Up to 1.4: alike; up to 2.5: adjusted."),  # a bound is no rise
        ("id", "Turun melebihi galat ukur (%) · 1,4 · 0,3 sampai 3,1 · 271"),  # what is counted, not how it came out
        ("en", "Scores went up by 1.4 points, but the interval contains zero."),
        ("en", "Scores rose by 4.0 points; the gap between districts is 1.4 points."),
        ("en", "Step 1 of 5 went up."),
    ],
)
def test_what_says_that_it_is_not_settled_is_right(language, text):
    assert rules_of(text, language, figures=[OPEN]) == set()


def test_a_number_that_a_settled_figure_shares_counts_only_with_its_interval():
    both = [OPEN, figure(1.41, 0.2, 2.6)]
    assert rules_of("Skor naik 1,4 poin (rentang 0,2 sampai 2,6).", "id", figures=both) == set()
    assert rules_of("Skor naik 1,37 poin.", "id", figures=both) == {"direction"}
    assert rules_of("Skor naik 1,4 poin (rentang −0,3 sampai 3,1).", "id", figures=both) == {"direction"}


def test_settled_withheld_and_counted_figures_are_told_freely():
    figures = [figure(4.0, 2.0, 6.0), figure(None), figure(271), figure("MAT"), figure(-4.0, -6.0, -2.0)]
    assert rules_of("Skor 271 guru naik 4,0 poin.", "id", figures=figures) == set()
    assert rules_of("Skor 271 guru naik 4,0 poin.", "id", figures=[figure(4.0, 0, 8.0)]) == {"direction"}
    assert rules_of("Skor 271 guru turun 4,0 poin.", "id", figures=[figure(-4.0, -8.0, 0)]) == {"direction"}


# ---------------------------------------------------------------- pages


def picture(words):
    svg = f"<svg><style>.x {{}}</style><metadata>guru lemah</metadata><text>{words}</text></svg>"
    return f'<img alt="Gambar" src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"/>'


def test_everything_a_reader_sees_or_hears_is_read():
    page = """<html><head><title>Judul</title><style>guru lemah</style></head><body><script>"guru lemah"</script>
    <template><style>x</style>guru lemah</template>
    <p>Satu <strong>dua</strong>.</p><table><tr><th>Kabupaten</th><td>naik</td><td>1,4 poin</td></tr></table>
    <ul><li aria-label="suara">tiga</ul><details><summary>empat</summary>lima &amp; enam</details>"""
    assert read_blocks(page + picture("tujuh")) == [
        "Judul", "Satu dua.", "Kabupaten · naik · 1,4 poin", "suara", "tiga", "empat", "lima & enam", "Gambar", "tujuh",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "piece",
    [
        "<p>Guru <b>lemah</b> ada di sini.</p>",
        "<table><tr><td>Guru lemah</td><td>12</td></tr></table>",
        '<img alt="Guru lemah menurut kabupaten" src="data:image/png;base64,AAAA">',
        '<section aria-label="Guru lemah"></section>',
        picture("Guru lemah"),
        "<details><p>Guru\n  lemah</p></details>",
    ],
)
def test_a_label_is_found_wherever_it_stands(piece):
    found = lint_page(f"<html><body><p>Baik.</p>{piece}</body></html>", language="id", figures=[], may_claim=False)
    assert [one.rule for one in found] == ["label_person"]


def test_a_row_of_a_table_is_read_as_one():
    page = "<table><tr><th>Kota Metro</th><td>naik</td><td>1,4 poin</td></tr><tr><td>guru</td><td>lemah lembut</td></tr></table>"
    found = lint_page(page, language="id", figures=[OPEN], may_claim=False)
    assert [one.rule for one in found] == ["direction"]


def test_a_page_that_claims_is_refused_with_its_sentence():
    page = "<p>Ada 271 guru. Pelatihan meningkatkan skor. Guru terbaik ada di Metro.</p>"
    with pytest.raises(StageError) as refused:
        refuse_claims(page, language="id", figures=[], may_claim=False)
    for text in (refused.value.text.id, refused.value.text.en):
        assert "Pelatihan meningkatkan skor." in text
        assert "cause" in text
    assert "271" not in refused.value.text.id


def test_what_is_only_told_does_not_refuse_a_page():
    (told,) = refuse_claims("<p>Skor naik secara signifikan.</p>", language="id", figures=[], may_claim=False)
    assert (told.rule, told.severity) == ("significant", "warn")


def test_odd_pages_are_read_too():
    for page in (
        "",
        "<p",
        "<p>",
        "&nbsp;",
        "<td>x",
        '<img src="data:image/svg+xml;base64,%%%">',
        "<svg/><style/>guru lemah",
    ):
        lint_page(page, language="id", figures=[], may_claim=False)
