"""Wrong settings by the hundred, made from the declaration itself: each is refused alike, whichever way it comes in.

Refused means: exit code 2, the parameter named and what it may be, no stage begun, no kernel started, nothing written.
"""

from __future__ import annotations

import random
import re
import shutil
import string
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd
import papermill
import pytest
import yaml

from bgtk_lib import cli
from bgtk_lib.engine.allowed import describe_parameters
from bgtk_lib.engine.parameters import REPORTS
from bgtk_lib.synthetic import Design, write_demo
from bgtk_lib.workspace import open_workspace

PAIR = {"assessment": "PED", "wave_pre": "p1-pre", "wave_post": "p1-post"}
SOUND = {
    "data_quality": {},
    "coverage_map": {"wave": "p1-pre"},
    "instrument": {"form": "PED-1", "wave": "p1-pre"},
    "item": {"item": "PED-1-001"},
    "comparability": PAIR,
    "change": PAIR,
    "programme": PAIR | {"programme": "KKA", "assignment": "lottery"},
}
ITEMS = ["PED-1-001", "PED-1-002", "PED-2-040"]
FIRST = {"report": "data_quality", "parameters": {"edition_id": "lain"}}  # of every list of reports: a sound one
LABELS = ("denominator_source", "population_label")  # any words, of a sensible length
LONG = "a" * 5_000
PATHS = ["../x", "../../etc/passwd", "/etc/passwd", "..\\x", "a/b", "~", "%2e%2e", "C:\\x", "draf/", "."]
SIGNS = ["💥", "ΡED", "p1–pre", "a\u202eb", "a\x07b", "\0", "a\nb", "'; DROP TABLE x;--", "{x}", "%s", "$(ls)", "*"]
NO_NUMBERS = ["sepuluh", "", "1e1", "10;20", "0x10", "ten", "nan", "inf", "-inf", "٢x", "1.2.3", "9" * 5_000, "1e999"]
WRONG_TYPES = [["a", "b"], [["a"]], {"a": "b"}, {"a": ["b"]}, {}, [None], True]
ENUMERATED = [*PATHS, *SIGNS, LONG, "", "true", "null", "nan", "inf", "0", "-1", "9" * 60, "x,y"]


@dataclass(frozen=True)
class Wrong:
    """One wrong setting: what is set in a sound request of a report, and words of which the refusal must say one."""

    report: str
    name: str
    value: Any
    says: tuple[str, ...]


def misspell(rng, word):
    """One letter swapped, dropped, added, and the case turned; never the word itself."""
    place = rng.randrange(len(word) - 1)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    dropped = word[:place] + word[place + 1 :]
    added = word[:place] + rng.choice(string.ascii_lowercase) + word[place:]
    return [one for one in dict.fromkeys((swapped, dropped, added, word.swapcase())) if one not in (word, "")]


def is_number(word):
    """Whether a typo of a number is a number still: 0.95 and .95 are the same."""
    return word.replace(".", "", 1).isdigit()


def spoil_names(rng, report, row, names):
    typos = [typo for typo in misspell(rng, row["name"]) if typo not in names]
    return [Wrong(report, typo, "x", (f"“{row['name']}”",)) for typo in typos]


def spoil_codes(rng, report, row):
    """Typos of valid codes, and what was never one; in lists also beside a valid one."""
    name, allowed = row["name"], row["allowed"]
    chosen = rng.sample(allowed, min(4, len(allowed)))
    typos = [typo for code in chosen for typo in misspell(rng, code) if typo not in allowed and not is_number(typo)]
    wrong = [Wrong(report, name, typo, tuple(allowed)) for typo in typos]
    wrong += [Wrong(report, name, value, tuple(allowed)) for value in rng.sample(ENUMERATED, 8)]
    if row["type"] == "list":
        wrong += [Wrong(report, name, [allowed[0], one.value], one.says) for one in wrong]
        wrong += [Wrong(report, name, value, (name,)) for value in ([allowed[0]] * 2, [[allowed[0]]], None)]
    return [*wrong, *(Wrong(report, name, value, (name,)) for value in WRONG_TYPES)]


def spoil_number(rng, report, row):
    name, limits = row["name"], [float(words.split()[1]) for words in row["allowed"]]
    says = tuple(f"{limit:g}" for limit in limits)
    beyond = [*(limits if row["type"] == "float" else map(int, limits))]
    wrong = [Wrong(report, name, value, says) for value in (beyond[0] - 1, beyond[1] + 1, -beyond[1], 10**30)]
    wrong += [Wrong(report, name, value, (name,)) for value in (-1e300, 1e300)]
    wrong += [Wrong(report, name, value, (name,)) for value in (*rng.sample(NO_NUMBERS, 8), *WRONG_TYPES)]
    return wrong + ([Wrong(report, name, 10.5, (name,))] if row["type"] == "int" else [])


def spoil_words(_, report, row):
    """Labels, the edition's name, an item: what cannot stand in a title or a folder."""
    values = [*WRONG_TYPES[:-1], "", " ", LONG, "\0", "a\x07b", "a\nb", "a\u202eb"]
    if row["name"] not in LABELS:
        values += [*PATHS, *SIGNS, "DRAF", "a", "-a-", None]
    return [Wrong(report, row["name"], value, (row["name"],)) for value in values]


def list_wrong(workspace):
    """Every wrong setting, the same ones at every run."""
    rng = random.Random(20251018)
    found = []
    for report, declared in REPORTS.items():
        rows = describe_parameters(declared, workspace)
        names = {row["name"] for row in rows}
        for row in rows:
            spoil = spoil_number if row["type"] in ("int", "float") else spoil_codes if row["allowed"] else spoil_words
            found += [*spoil_names(rng, report, row, names), *spoil(rng, report, row)]
            if row["required"]:
                found.append(Wrong(report, row["name"], None, (row["name"],)))
    return found


# ---------------------------------------------------------------- the ways in


def ask_by_word(place, wrong):
    """`-p name=value`, or a file where a value cannot be written so."""
    asked = SOUND[wrong.report] | {wrong.name: wrong.value}
    if not isinstance(wrong.value, str | int | float) or "\0" in f"{wrong.value}":
        return ask_by_file(place, wrong)
    return ["report", wrong.report, *(word for name, given in asked.items() for word in ("-p", f"{name}={given}"))]


def ask_by_file(place, wrong):
    file = place / "params.yaml"
    write(file, SOUND[wrong.report] | {wrong.name: wrong.value})
    return ["report", wrong.report, "--params", str(file)]


def plan(wrong):
    """An entry of a list of reports: the setting stands among the parameters, in a grid or beside it."""
    sound = SOUND[wrong.report]
    entry = {"report": wrong.report, "parameters": sound}
    match len(wrong.name + str(wrong.value)) % 3:
        case 0:
            return entry | {"parameters": sound | {wrong.name: wrong.value}}
        case 1:
            return entry | {"grid": {wrong.name: [wrong.value]}}
        case _:
            return entry | {"grid": {"language": ["en"]}, "include": [{wrong.name: wrong.value}]}


def ask_by_grid(place, wrong):
    file = place / "grid.yaml"
    write(file, {"reports": [FIRST, plan(wrong)]})
    return ["batch", str(file)]


def ask_by_workspace(place, wrong):
    declared = yaml.safe_load((place / "sound.yaml").read_text(encoding="utf-8"))
    write(place / "workspace.yaml", declared | {"reports": [FIRST, plan(wrong)]})
    return ["run", "--workspace", str(place)]


WAYS = {"word": ask_by_word, "file": ask_by_file, "grid": ask_by_grid, "workspace": ask_by_workspace}


def write(path, content):
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def list_tree(root):
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*")}


# ---------------------------------------------------------------- the province


@pytest.fixture(scope="module")
def unread(tmp_path_factory):
    """A province of which nothing was read yet, but whose items are known: a request that went on would leave traces."""
    folder = tmp_path_factory.mktemp("unread")
    write_demo(folder, Design(assessments=("PED",)))
    items = folder / "data" / "instrument" / "items"
    items.mkdir(parents=True)
    pd.DataFrame({"item_id": ITEMS}).to_parquet(items / "part-0.parquet", index=False)
    return open_workspace(folder)


class PassedError(Exception):
    """A request was found possible."""


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    def stop(*given, **more):
        raise PassedError

    monkeypatch.setattr(papermill, "execute_notebook", stop)
    monkeypatch.setattr("bgtk_lib.stages.run.run_stages", stop)


@pytest.fixture
def place(unread, tmp_path):
    """Where files of requests lie: a workspace of its own, of which only the declaration and the items are there."""
    shutil.copytree(unread.root / "data" / "instrument", tmp_path / "data" / "instrument")
    (tmp_path / "sound.yaml").write_bytes((unread.root / "workspace.yaml").read_bytes())
    return tmp_path


@pytest.fixture
def ask(unread, capsys):
    def run(words):
        code = cli.main([*words, *([] if "--workspace" in words else ["--workspace", str(unread.root)])])
        said = capsys.readouterr()
        return code, said.err, said.out

    return run


@pytest.fixture
def requests(place, ask):
    """Where files of requests lie, and how they are made."""
    return SimpleNamespace(place=place, ask=ask)


def find_fault(wrong, answer):
    """What of a refusal is not as it must be; None where all is."""
    code, said, out = answer
    if code != 2:
        return f"exit code {code}: {said[:200]}"
    if out or "Traceback" in said or len(said) > 3_000:
        return "says too much"
    hint = said.replace(f"“{wrong.value}”", "")
    if wrong.name.isidentifier() and wrong.name not in said:
        return f"does not name {wrong.name}: {said[:200]}"
    return None if any(word in hint for word in wrong.says) else f"names none of {wrong.says[:5]}: {said[:200]}"


# ---------------------------------------------------------------- the tests


def test_there_are_enough_of_them(unread):
    every = list_wrong(unread)
    assert len({(one.report, one.name, str(one.value)) for one in every}) >= 500
    assert every == list_wrong(unread)
    asked = {(one.report, one.name) for one in every}
    assert asked >= {(report, name) for report, one in REPORTS.items() for name in one.parameters.model_fields}


@pytest.mark.parametrize("way", WAYS)
def test_wrong_settings_are_refused(way, unread, place, ask):
    """Every third one, each by one of the ways: a quarter of a minute."""
    every = list_wrong(unread)[::3]
    assert len(every) >= 500
    refuse_all(every[[*WAYS].index(way) :: len(WAYS)], SimpleNamespace(way=way, place=place, ask=ask, tree=unread.root))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_wrong_setting_is_refused_by_every_way(way, unread, place, ask):
    refuse_all(list_wrong(unread), SimpleNamespace(way=way, place=place, ask=ask, tree=unread.root))


def refuse_all(every, how):
    before = list_tree(how.tree)
    faults = [
        f"{wrong.name[:20]}={str(wrong.value)[:30]!r} {fault}"
        for wrong in every
        if (fault := find_fault(wrong, how.ask(WAYS[how.way](how.place, wrong))))
    ]
    assert len(every) >= 50
    assert faults == []
    assert list_tree(how.tree) == before
    made = {"sound.yaml", "workspace.yaml", "params.yaml", "grid.yaml", "data"}
    assert {path.name for path in how.place.iterdir()} <= made


@pytest.mark.parametrize("way", WAYS)
def test_a_typo_of_one_letter_names_what_was_meant(way, unread, place, ask):
    """The one named stands within two letters of what was written; for numbers all are listed."""
    rng = random.Random(1)
    for report in ("change", "coverage_map", "programme"):
        for row in describe_parameters(REPORTS[report], unread):
            if row["type"] != "choice" and row["name"] not in ("assessment", "wave", "wave_pre", "programme"):
                continue
            for code in row["allowed"]:
                typo = misspell(rng, code)[0]
                if typo in row["allowed"] or code.replace(".", "").isdigit():
                    continue
                _, said, _ = ask(WAYS[way](place, Wrong(report, row["name"], typo, ())))
                near = re.findall(r"Maksud Anda “(.+?)”", said)
                assert not near or count_edits(typo, near[0]) <= 2, said
                assert near or code in said, said


def count_edits(one, other):
    """Letters to change, drop or add (Levenshtein)."""
    row = [*range(len(other) + 1)]
    for place, letter in enumerate(one, 1):
        before, row[0] = row[0], place
        for at, sign in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != sign))
    return row[-1]


def list_sound(workspace):
    """Possible settings of every parameter that stands alone: each allowed value, both ends of each range."""
    found = []
    for report, declared in REPORTS.items():
        for row in describe_parameters(declared, workspace):
            name, values = row["name"], row["allowed"]
            if name in ("wave_pre", "wave_post", "edition_status"):  # only together, or not yet
                continue
            if row["type"] in ("int", "float"):
                values = [words.split()[1] for words in values]
            elif row["type"] == "list":
                values = [[], values[:1], values[:2], f"{values[0]}, {values[1]}"]
            elif not values:
                values = {"item": ITEMS, "edition_id": ["uji", "2026-06", "x" * 41]}.get(
                    name, ["Guru PAUD & SD “Lampung”, 2026 (14.398)", "İ ğ 中文"]
                )
            found += [Wrong(report, name, value, ()) for value in values]
            found += [Wrong(report, name, row["default"], ())] if not row["required"] else []
    return found


@pytest.mark.parametrize("way", WAYS)
def test_possible_settings_are_not_refused(way, unread, place, ask):
    refused = []
    every = list_sound(unread)[[*WAYS].index(way) :: len(WAYS)]
    for setting in every:
        code, said, _ = ask(WAYS[way](place, setting))
        if (code, PassedError.__name__ in said) != (3, True):
            refused.append(f"{setting.report} {setting.name}={setting.value!r}: {said[:200]}")
    assert len(every) >= 50
    assert refused == []


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"grid": {"asessment": "all"}}, "“assessment”"),
        ({"grid": {"language": ["id"]}, "exclude": [{"langauge": "id"}]}, "“language”"),
        ({"grid": {"language": ["id", "en"]}, "exclude": [{"language": "ne"}]}, "“en”"),
        ({"grid": {"language": ["id", "en"]}, "exclude": [{"language": ["id", "fr"]}]}, "id, en"),
        ({"grid": {"language": ["id", "en"]}, "exclude": [{"assessment": "PED"}]}, "language"),
        ({"grid": {"language": "every"}}, "grid.language"),
        ({"grid": {"language": {"id": "en"}}}, "grid.language"),
        ({"grid": [["language", "id"]]}, "grid"),
        ({"parameters": "x"}, "parameters"),
        ({"parameters": [["language", "id"]]}, "parameters"),
        ({"include": {"language": "id"}}, "include"),
        ({"minimum": "-5"}, "minimum"),
        ({"minimum": "banyak"}, "minimum"),
        ({"minimun": "30"}, "minimum"),
    ],
)
@pytest.mark.parametrize("way", ["grid", "workspace"])
def test_a_wrong_list_of_reports_is_refused(way, entry, says, requests):
    place, ask = requests.place, requests.ask
    entry = {"report": "change", "parameters": PAIR} | entry
    declared = {"reports": [entry]}
    if way == "workspace":
        declared = yaml.safe_load((place / "sound.yaml").read_text(encoding="utf-8")) | declared
    write(place / ("workspace.yaml" if way == "workspace" else "grid.yaml"), declared)
    words = ["run", "--workspace", str(place)] if way == "workspace" else ["batch", str(place / "grid.yaml")]
    code, said, out = ask(words)
    assert (code, out) == (2, "")
    assert says in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "change", "--edition", "../x"], "edition_id"),
        (["report", "change", "--edition", ""], "edition"),
        (["report", "change", "-p", "language=id", "-p", "language=en"], "language"),
        (["run", "--edition", "A B"], "edition_id"),
        (["run", "--limit", "nan"], "--limit"),
        (["run", "--workers", "-1"], "--workers"),
        (["report", "item", "-p", "item=PED-1-01"], "PED-1-001"),
    ],
)
def test_wrong_options_are_refused(words, says, unread, ask):
    before = list_tree(unread.root)
    if words[:2] == ["report", "change"]:
        words = [*words, *(word for name, value in PAIR.items() for word in ("-p", f"{name}={value}"))]
    code, said, out = ask(words)
    assert (code, out) == (2, "")
    assert says in said
    assert list_tree(unread.root) == before
