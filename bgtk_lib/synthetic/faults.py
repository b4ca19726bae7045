"""The catalogue of planted faults: what real exports do to an office, each alone, with the gates it must close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bgtk_lib.errors import ParameterError
from bgtk_lib.findings import GateState
from bgtk_lib.synthetic import spoil_items as items
from bgtk_lib.synthetic import spoil_records as records
from bgtk_lib.synthetic import spoil_tests as tests
from bgtk_lib.synthetic.exports import Exports
from bgtk_lib.words import say

Plant = Callable[[Exports, np.random.Generator], Exports]


@dataclass(frozen=True)
class Fault:
    """One fault that can be planted.

    Attributes
    ----------
    name : str
        By which it is asked for.
    says : str
        What is wrong, in one sentence.
    closes : mapping
        Gate → HOLD or STOP: exactly those that close beyond what a sound province closes.
    plant : callable
        (exports, rng) → new exports.
    """

    name: str
    says: str
    closes: Mapping[str, GateState]
    plant: Plant


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("digits_lost", "3 % of a wave's NUPTK look like 1,23457E+15.", {"D01": "STOP"}, tests.lose_digits),
        Fault("leading_zero_lost", "2 % of a wave's NUPTK have 15 digits: the zero before them is gone.",
              {"D01": "STOP"}, tests.lose_leading_zeros),
        Fault("nip_birth_wrong", "8 % of the NIP disagree with the birth date beside them in Dapodik.",
              {"D02": "HOLD"}, records.disagree_on_birth),
        Fault("second_attempts", "3 % of a wave's sessions have two different complete attempts and no rule decides.",
              {"D04": "STOP"}, tests.add_second_attempts),
        Fault("one_id_two_people", "Eight persons bear another's NUPTK, in another district in the same hour.",
              {"D05": "HOLD"}, tests.share_identifiers),
        Fault("wrong_clock", "3 % of a wave's sessions are seven hours early, as UTC.",
              {"D06": "STOP"}, tests.set_clock_wrong),
        Fault("month_day_swapped", "A sixth of one test's dates stand as month/day and cannot be read.",
              {"D06": "STOP"}, tests.swap_month_and_day),
        Fault("test_accounts", "Ten trial accounts stand among the sessions.", {"D07": "STOP"},
              tests.add_test_accounts),
        Fault("unknown_district", "3 % of a wave's rows name a district that does not exist.",
              {"D08": "STOP"}, tests.name_unknown_district),
        Fault("undotted_codes", "A wave's districts are four digits, and no code system is declared.",
              {"D08": "STOP"}, tests.write_undotted_codes),
        Fault("district_disagrees", "5 % of a wave's sessions name another district than their school's.",
              {"D08": "HOLD"}, tests.name_neighbours),
        Fault("madrasah_in_frame", "Some schools of those tested are madrasah.", {"D09": "STOP"},
              records.admit_madrasah),
        Fault("rows_missing", "6 % of the persons of the first wave are missing from its export.",
              {"D10": "HOLD"}, tests.cut_rows),
        Fault("old_dapodik", "The Dapodik files are more than 400 days older than the first wave.",
              {"D11": "HOLD"}, records.age_dapodik),
        Fault("key_shifted", "A quarter of one form's keys moved by one letter; the items then also ask for review.",
              {"D12": "STOP", "I01": "HOLD"}, records.shift_keys),
        Fault("wrong_key", "One item's key is the wrong option that most choose who do not know the answer.",
              {"I01": "HOLD"}, items.misprint_key),
        Fault("drifting_anchors", "Six of the twelve anchors of the social test moved by about a logit between the waves.",
              {"C01": "STOP"}, items.drift_anchors),
        Fault("few_anchors", "Only six items of the two forms of the social test are the same.",
              {"C01": "STOP"}, items.part_anchors),
        Fault("unfair_anchor", "One anchor of the social test is harder on phones, before and after.",
              {"I04": "HOLD"}, items.tilt_anchor),
        Fault("different_form", "One assessment was held after on a form with items of its own.",
              {"C01": "STOP"}, records.change_form),
        Fault("different_people", "Less than half of the persons return, others sit in their place.",
              {"C03": "STOP"}, records.replace_people),
        Fault("late_sitting", "8 % of a wave's persons sit about 230 days after, on a declared make-up day.",
              {"C05": "HOLD"}, tests.delay_sittings),
        Fault("keys_released", "Keys were released between the waves.", {"C06": "HOLD"}, records.release_keys),
        Fault("other_province", "One test holds rows of Ogan Komering Ulu, Sumatera Selatan.",
              {"E08": "STOP"}, tests.add_other_province),
        Fault("duplicate_rows", "1.5 % of a wave's rows stand twice; they are set aside and counted.", {},
              tests.repeat_rows),
        Fault("spellings", "One district is spelled in ten ways, all of them known.", {}, tests.spell_differently),
    )
}  # fmt: skip


def plant_faults(exports: Exports, names: tuple[str, ...], *, seed: int) -> Exports:
    """Return exports with faults planted one after the other; the exports given stay as they are.

    Raises
    ------
    ParameterError
        If a fault is not in the catalogue.
    """
    for name in names:
        if name not in FAULTS:
            raise ParameterError(say("synthetic.unknown_fault", name=name, known=", ".join(FAULTS)))
        exports = FAULTS[name].plant(exports, np.random.default_rng([seed, *name.encode()]))
    return exports
