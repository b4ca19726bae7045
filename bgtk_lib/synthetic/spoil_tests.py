"""Faults in the exported tests: identifiers, clocks, districts, rows. Each returns new exports and edits nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from bgtk_lib import schema
from bgtk_lib.synthetic.edits import (
    DISTRICT,
    PERSON,
    answer_again,
    append_rows,
    draw_digits,
    edit_wave,
    find_test,
    has_nuptk,
    home_districts,
    invent_rows,
    list_wave,
    pick_persons,
    set_where,
    shift_times,
    starts_before_noon,
    take_anyone,
)
from bgtk_lib.synthetic.exports import Exports, list_spellings

POST, POST_II = "p1-post", "p2-post"  # waves without control totals: a fault there touches no other gate
UTC_HOURS = timedelta(hours=7)


def lose_digits(exports: Exports, rng: np.random.Generator) -> Exports:
    """Write the NUPTK of 3 % of a wave's persons as a spreadsheet shows large numbers."""
    who = pick_persons(exports, POST, share=0.03, rng=rng, fits=has_nuptk)

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[PERSON].isin(who)
        return set_where(table, rows, NUPTK=[f"{int(n):.5E}".replace(".", ",") for n in table.loc[rows, "NUPTK"]])

    return edit_wave(exports, POST, edit)


def lose_leading_zeros(exports: Exports, rng: np.random.Generator) -> Exports:
    """Cut the first zero off the NUPTK of 2 % of a wave's persons."""
    who = pick_persons(
        exports, POST, share=0.02, rng=rng, fits=lambda table: table["NUPTK"].str.match("0[1-9]").to_numpy()
    )

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[PERSON].isin(who)
        return set_where(table, rows, NUPTK=table.loc[rows, "NUPTK"].str[1:])

    return edit_wave(exports, POST, edit)


def add_second_attempts(exports: Exports, rng: np.random.Generator) -> Exports:
    """Give 3 % of a wave's sessions a second complete attempt with other answers; the rule only flags them."""

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        single = ~table[PERSON].duplicated(keep=False)
        rows = table[single & (rng.random(len(table)) < 0.03 / single.mean())].copy()
        shift = timedelta(hours=1)
        return append_rows(table, answer_again(rows, rng=rng).assign(Percobaan="2", **shift_times(rows, shift)))

    rules = {"rules": exports["workspace.yaml"]["rules"] | {"attempts": "all_flagged"}}
    return edit_wave(exports, POST, edit) | {"workspace.yaml": exports["workspace.yaml"] | rules}


def share_identifiers(exports: Exports, rng: np.random.Generator) -> Exports:
    """Let eight persons bear another's NUPTK, with their own NIP, in another district, in the same hour."""
    home = home_districts(exports)
    able = pick_persons(exports, POST_II, share=1.0, rng=rng, fits=lambda t: has_nuptk(t) & (t["NIP"] != "").to_numpy())
    general = exports[find_test(exports, POST_II, "PED")].drop_duplicates(PERSON).set_index(PERSON)
    order = rng.permutation(np.sort(np.array([person for person in general.index if person in able])))
    borrowed: dict[str, str] = {}
    for person, other in zip(order[::2], order[1::2], strict=False):
        if home[general.loc[person, "NPSN"]] != home[general.loc[other, "NPSN"]]:
            borrowed[str(person)] = str(other)
        if len(borrowed) == 8:
            break

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        first = table.drop_duplicates(PERSON).set_index(PERSON)
        for person, other in borrowed.items():
            rows = table[PERSON] == person
            table = set_where(table, rows, NUPTK=general.loc[other, "NUPTK"])
            if other in first.index and rows.sum() == 1 and first.loc[other, "Selesai"]:
                table = set_where(table, rows, Mulai=first.loc[other, "Mulai"], Selesai=first.loc[other, "Selesai"])
        return table

    return edit_wave(exports, POST_II, edit)


def set_clock_wrong(exports: Exports, rng: np.random.Generator) -> Exports:
    """Write 3 % of a wave's sessions in UTC, seven hours early: a test begun before noon then starts at night."""
    tables = [exports[path] for path in list_wave(exports, POST)]
    early = sum(int(starts_before_noon(table).sum()) for table in tables)
    share = 0.03 * sum(map(len, tables)) / early

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = starts_before_noon(table) & (rng.random(len(table)) < share)
        return set_where(table, rows, **shift_times(table[rows], -UTC_HOURS))

    return edit_wave(exports, POST, edit)


def swap_month_and_day(exports: Exports, rng: np.random.Generator) -> Exports:
    """Write the dates of a sixth of one test's rows (one room's computers) as month/day/year."""
    path = find_test(exports, POST, "KEP")
    table = exports[path].copy()
    rows = rng.random(len(table)) < 1 / 6
    for column in ("Mulai", "Selesai"):
        table.loc[rows, column] = table.loc[rows, column].str.replace(r"^(\d\d)/(\d\d)/", r"\2/\1/", regex=True)
    return exports | {path: table}


def add_test_accounts(exports: Exports, rng: np.random.Generator) -> Exports:
    """Add ten rows of trial accounts to one test: half without a NUPTK, half with an invented one."""
    path = find_test(exports, POST, "PED")
    rows = invent_rows(exports[path], 10, rng=rng)
    invented = draw_digits(10, rng=rng)
    rows["NUPTK"] = ["" if number % 2 else invented[number] for number in range(10)]
    rows["Nama"] = [f"UJI COBA {number:02d}" for number in range(1, 11)]
    return exports | {path: append_rows(exports[path], rows)}


def name_unknown_district(exports: Exports, rng: np.random.Generator) -> Exports:
    """Write a district that does not exist in 3 % of a wave's rows."""
    return edit_wave(
        exports, POST, lambda table: set_where(table, rng.random(len(table)) < 0.03, **{DISTRICT: "Lampung Raya"})
    )


def write_undotted_codes(exports: Exports, rng: np.random.Generator) -> Exports:  # noqa: ARG001 - all rows are meant
    """Write the districts of a wave as four digits, of which BPS and Kemendagri mean different districts."""
    home = home_districts(exports)
    return edit_wave(
        exports, POST, lambda table: table.assign(**{DISTRICT: table["NPSN"].map(home).str.replace(".", "")})
    )


def name_neighbours(exports: Exports, rng: np.random.Generator) -> Exports:
    """Name another district than the school's in all rows of 5 % of a wave's persons."""
    home, labels = home_districts(exports), schema.districts()["label"]
    codes = list(labels.index)
    next_door = {npsn: labels[codes[(codes.index(code) + 1) % len(codes)]] for npsn, code in home.items()}
    who = pick_persons(exports, POST, share=0.05, rng=rng, fits=take_anyone)

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[PERSON].isin(who)
        return set_where(table, rows, **{DISTRICT: table.loc[rows, "NPSN"].map(next_door)})

    return edit_wave(exports, POST, edit)


def cut_rows(exports: Exports, rng: np.random.Generator) -> Exports:
    """Cut all rows of 6 % of the persons of the first wave."""
    who = pick_persons(exports, "p1-pre", share=0.06, rng=rng, fits=take_anyone)
    return edit_wave(exports, "p1-pre", lambda table: table[~table[PERSON].isin(who)].reset_index(drop=True))


def delay_sittings(exports: Exports, rng: np.random.Generator) -> Exports:
    """Let 8 % of a wave's persons sit 230 days after the first wave, on a make-up day that is declared."""
    late = datetime(2026, 6, 5)  # noqa: DTZ001 - exports carry no zone
    who = pick_persons(exports, POST, share=0.08, rng=rng, fits=take_anyone)

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[PERSON].isin(who)
        for column in ("Mulai", "Selesai"):
            times = table.loc[rows, column]
            table.loc[rows, column] = [f"{late:%d/%m/%Y}{text[10:]}" if text else "" for text in times]
        return table

    workspace = exports["workspace.yaml"]
    wave = workspace["waves"][POST]
    waves = workspace["waves"] | {POST: wave | {"make_up": [wave["make_up"][0], late.date()]}}
    return edit_wave(exports, POST, edit) | {"workspace.yaml": workspace | {"waves": waves}}


def add_other_province(exports: Exports, rng: np.random.Generator) -> Exports:
    """Add 2 % rows of teachers of a district of Sumatera Selatan to one test."""
    path = find_test(exports, POST_II, "PED")
    rows = invent_rows(exports[path], max(5, round(0.02 * len(exports[path]))), rng=rng)
    rows["NUPTK"] = draw_digits(len(rows), rng=rng)
    rows["NPSN"] = [f"98{number:06d}" for number in rng.integers(1, 20, len(rows))]
    rows["Sekolah"], rows[DISTRICT] = "SMP NEGERI 1 REKAAN OGAN KOMERING ULU", "Kab. Ogan Komering Ulu"
    return exports | {path: append_rows(exports[path], rows)}


def repeat_rows(exports: Exports, rng: np.random.Generator) -> Exports:
    """Repeat 1.5 % of a wave's rows exactly, as a second export of the same session would."""

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        again = rng.random(len(table)) < 0.015
        return pd.concat([table, table[again]], ignore_index=True)

    return edit_wave(exports, POST, edit)


def spell_differently(exports: Exports, rng: np.random.Generator) -> Exports:
    """Write one district in ten known spellings."""
    home = home_districts(exports)
    known = list_spellings("18.12")
    spellings = np.array([*dict.fromkeys(["kab. tulang-bawang barat", *known])][-10:], dtype=object)

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        rows = (table["NPSN"].map(home) == "18.12").to_numpy()
        return set_where(table, rows, **{DISTRICT: rng.choice(spellings, int(rows.sum()))})

    return edit_wave(edit_wave(exports, POST_II, edit), "p2-pre", edit)
