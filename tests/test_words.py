"""The sentences: both languages, the same places to fill, none missing, none left over, no word that labels a person."""

from __future__ import annotations

import ast
import json
import re
import string
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bgtk_lib
from bgtk_lib.errors import Text
from bgtk_lib.findings import SEVERITY
from bgtk_lib.quality import REASONS
from bgtk_lib.quality import gates as quality_gates
from bgtk_lib.reference import __name__ as reference_package
from bgtk_lib.schema import tables
from bgtk_lib.words import day, join, number, plain, say, sentences

LIBRARY = Path(bgtk_lib.__file__).parent
NOTEBOOKS = LIBRARY.parent / "notebooks"
KEY = re.compile(r"[a-z][a-z_0-9]*(?:\.[A-Za-z0-9_]+)+")

# What reports.md 4.4 avoids. Phrases about persons and groups of persons, not every use of a word.
LABELS = {
    "id": (
        r"guru (?:yang )?(?:lemah|rendah|terbaik|unggul|gagal|lulus|tidak kompeten)|\blemah\b|tidak kompeten|\bgagal (?:tes|ujian)|"
        r"\blulus\b|peringkat|\branking\b|tertinggal|kesenjangan hilang|terbukti (?:meningkat|menaik)|(?:tidak )?signifikan|"
        r"butir jelek|drop-?out|menyontek|mencontek|curang|kepribadian (?:turun|naik)"
    ),
    "en": (
        r"\bweak\b|\bincompetent\b|\bfailing\b|failed the test|\bbest teachers?\b|\bworst\b|\brank(?:ed|ing|s)?\b|"
        r"left behind|backward|gap closed|proven to|proves that|(?:not )?significant|\bbad items?\b|drop-?outs?\b|cheat"
    ),
}


def places(template):
    return sorted({name for _, name, _, _ in string.Formatter().parse(template) if name is not None})


@cache
def sources():
    """Return every piece of Python: modules, and the code cells of notebooks."""
    code = {path.relative_to(LIBRARY).as_posix(): path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py")}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code[path.name] = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert len(code) > 40
    return {name: ast.parse(text) for name, text in code.items()}


def list_nodes(kind):
    return [(name, node) for name, tree in sources().items() for node in ast.walk(tree) if isinstance(node, kind)]


def pattern_of(node):
    """Return what keys an f-string can build, or None where it does not begin with the first word of a key."""
    first = node.values[0]
    if not (isinstance(first, ast.Constant) and re.match(r"[a-z][a-z_0-9]*\.", str(first.value))):
        return None
    parts = [re.escape(part.value) if isinstance(part, ast.Constant) else r".+" for part in node.values]
    return re.compile("".join(parts))


def said_by(node):
    """Return the first argument of `say(…)`, or None where the call is another."""
    called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return node.args[0] if called == "say" and node.args else None


def test_every_sentence_stands_in_both_languages():
    for key, both in sentences().items():
        assert set(both) == {"id", "en"}, key
        assert all(isinstance(text, str) and text.strip() for text in both.values()), key
        assert KEY.fullmatch(key), key


def test_both_languages_have_the_same_places():
    for key, both in sentences().items():
        assert places(both["id"]) == places(both["en"]), key
        assert "" not in places(both["id"]), f"{key}: a place without a name"


def test_sentences_are_written_with_care():
    for key, both in sentences().items():
        for language, text in both.items():
            assert not re.search(r"\.\.(?!\.)|…\.| ,\s|\(\s|\s\)|\bTODO\b|“[^”]*$", text), (key, language, text)
            assert text.count("(") == text.count(")"), (key, language, text)


def test_every_key_said_exists():
    literal = [
        (name, node.lineno, said_by(node).value)
        for name, node in list_nodes(ast.Call)
        if isinstance(said_by(node), ast.Constant)
    ]
    assert len(literal) > 100
    assert [entry for entry in literal if entry[2] not in sentences()] == []


def test_every_key_built_can_be_found():
    built = [
        (name, node.lineno, pattern_of(said_by(node)))
        for name, node in list_nodes(ast.Call)
        if isinstance(said_by(node), ast.JoinedStr)
    ]
    assert len(built) > 20
    for name, line, pattern in built:
        if pattern is not None:
            assert any(pattern.fullmatch(key) for key in sentences()), (name, line, pattern.pattern)


def test_every_argument_of_a_sentence_has_a_place_and_every_place_an_argument():
    """`str.format` ignores an argument too many and raises KeyError for one too few: both are found here."""
    checked = 0
    for name, node in list_nodes(ast.Call):
        key = said_by(node)
        if not isinstance(key, ast.Constant) or any(word.arg is None for word in node.keywords):
            continue
        given = sorted(word.arg for word in node.keywords)
        wanted = places(sentences()[key.value]["id"])
        assert set(wanted) <= set(given), (name, node.lineno, key.value)
        assert set(given) <= set(wanted), (name, node.lineno, key.value)
        checked += 1
    assert checked > 100


def test_every_sentence_is_used():
    """A key counts as used where it stands as a string, or where an f-string builds keys of its form."""
    whole = {node.value for _, node in list_nodes(ast.Constant) if isinstance(node.value, str)}
    templates = "".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.j2"))
    patterns = [pattern for _, node in list_nodes(ast.JoinedStr) if (pattern := pattern_of(node))]
    # the words of flow, reasons, conditions … are found by `find_words(prefix, code)`
    prefixes = {
        node.args[0].value
        for _, node in list_nodes(ast.Call)
        if getattr(node.func, "id", "") == "find_words" and isinstance(node.args[0], ast.Constant)
    }
    ends = {
        str(node.values[-1].value)
        for _, node in list_nodes(ast.JoinedStr)
        if isinstance(node.values[0], ast.FormattedValue) and isinstance(node.values[-1], ast.Constant)
    }

    def is_used(key):
        return (
            key in whole
            or key in templates
            or key.split(".")[0] in prefixes
            or any(pattern.fullmatch(key) for pattern in patterns)
            or any(
                key.endswith(end) and is_used(key.removesuffix(end)) for end in ends if re.fullmatch(r"\.[a-z]+", end)
            )
        )

    unused = [key for key in sentences() if not is_used(key) and key != "number.example"]  # that one is of a docstring
    assert unused == []


def test_every_gate_has_a_sentence_for_every_state_it_can_reach():
    """Read off the code: the codes and states that stand in each function of `quality.gates`."""
    tree = ast.parse(Path(quality_gates.__file__).read_text(encoding="utf-8"))
    found = set()
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        calls = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_gate"
        ]
        codes = {node.args[0].value for node in calls if isinstance(node.args[0], ast.Constant)}
        states = {n.value for n in ast.walk(function) if isinstance(n, ast.Constant) and n.value in SEVERITY}
        assert len(codes) <= 1, function.name
        found |= {f"gate.{code}.{state}" for code in codes for state in states}
    assert len(found) > 40
    assert sorted(found - set(sentences())) == []
    written = {key for key in sentences() if re.match(r"gate\.(?!D12)[DEP]\d\d\.", key)}
    assert sorted(written - found) == [], "sentences for states that no gate reaches"


def test_every_reason_has_words():
    """Rows set aside carry a code; whoever reads the flow reads words."""
    by_check = {
        *REASONS.values(),
        "trial_account",
        "outside_window",
        "attempts_unresolved",
        "other_attempt",
        "unknown_form",
    }
    by_score = {"no_key", "no_answers"}
    by_pairs = {"only_pre", "only_post"}
    assert (
        sorted(
            f"reason.{code}"
            for code in by_check | by_score | by_pairs | {"several"}
            if f"reason.{code}" not in sentences()
        )
        == []
    )


def find_label(text, language):
    """Return the word of a sentence that labels; the names of its places are not read by anybody."""
    hit = re.search(LABELS[language], re.sub(r"\{[^}]*\}", "…", text), flags=re.IGNORECASE)
    return hit.group() if hit else None


def test_no_sentence_labels():
    found = [
        (key, language, hit)
        for key, both in sentences().items()
        for language, text in both.items()
        if (hit := find_label(text, language))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("id", "guru terbaik"),
        ("id", "Peringkat kabupaten"),
        ("id", "hasilnya tidak signifikan"),
        ("en", "not significant"),
        ("en", "the weak teachers"),
    ],
)
def test_the_words_that_label_are_recognised(language, text):
    assert find_label(text, language)


def test_codebook_and_registers_speak_both_languages_without_labels():
    about = [table.about for table in tables().values()] + [
        c.about for t in tables().values() for c in t.columns.values()
    ]
    assert reference_package == "bgtk_lib.reference"
    for text in about:
        assert text.id.strip()
        assert text.en.strip()
        assert not find_label(text.id, "id"), text.id
        assert not find_label(text.en, "en"), text.en


# ------------------------------------------------------------------ numbers and dates by hand


@pytest.mark.parametrize(
    ("value", "places", "sign", "indonesian", "english"),
    [
        (1234.5, 2, False, "1.234,50", "1,234.50"),
        (1234567.891, 1, False, "1.234.567,9", "1,234,567.9"),
        (0.05, 2, False, "0,05", "0.05"),
        (-3.14159, 2, False, "−3,14", "−3.14"),
        (3.14159, 1, True, "+3,1", "+3.1"),
        (-3.14159, 1, True, "−3,1", "−3.1"),
        (999, 0, False, "999", "999"),
        (1000, 0, False, "1.000", "1,000"),
        (np.float64(2.5), 1, False, "2,5", "2.5"),
        (np.int64(2674), 0, False, "2.674", "2,674"),
    ],
)
def test_numbers_as_each_language_writes_them(value, places, sign, indonesian, english):  # noqa: PLR0917 - by name
    assert number(value, "id", places, sign=sign) == indonesian
    assert number(value, "en", places, sign=sign) == english


def test_a_whole_number_without_a_format_has_its_thousands():
    text = say("count.exact", n=9436)
    assert (text.id, text.en) == ("9.436", "9,436")


def test_text_and_truth_values_are_not_numbers():
    assert say("cli.look", path="1.000,5").en == "Open: 1.000,5"
    assert say("cli.look", path=True).en == "Open: True"


@pytest.mark.parametrize(
    ("when", "indonesian", "english"),
    [
        (date(2026, 11, 21), "21 November 2026", "21 November 2026"),
        (date(2025, 10, 8), "8 Oktober 2025", "8 October 2025"),
        (date(2026, 1, 1), "1 Januari 2026", "1 January 2026"),
        (date(2026, 8, 31), "31 Agustus 2026", "31 August 2026"),
    ],
)
def test_dates_in_words(when, indonesian, english):
    assert (day(when, "id"), day(when, "en")) == (indonesian, english)
    assert say("cover.day", day=when) == Text(id=indonesian, en=english)


def test_a_text_inside_a_text_keeps_its_language():
    inner = Text(id="awal", en="early")
    assert say("page.answer.evidence", evidence=inner) == Text(
        id="Kekuatan bukti: awal", en="Strength of evidence: early"
    )
    assert join([inner, plain("PED")], " · ") == Text(id="awal · PED", en="early · PED")


def test_a_sentence_that_lacks_a_value_is_an_error_not_a_gap():
    with pytest.raises(KeyError):
        say("file.absent")
    with pytest.raises(KeyError):
        say("file.nowhere")
