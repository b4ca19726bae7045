"""The answer key that a report's scores rest on: which answer is right, and which items the panel dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import pandas as pd

from bgtk_lib.engine.rows import load_table
from bgtk_lib.workspace import Workspace
from bgtk_lib.workspace.store import hash_content, list_parts


class AnswerKeys:
    """The keys of all forms of a workspace, read once.

    Parameters
    ----------
    workspace : Workspace
        After its stages ran.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._sums: dict[str, str] = {}

    def sum_up(self, selection: Mapping[str, Sequence[str]]) -> str:
        """Return one SHA-256 of the keys behind the scores that a selection (`Report.selection`) takes in.

        Pages print it, and a short form has few possible keys: what pages do not tell is summed up with it, so that nobody
        finds the key by trying all.
        """
        sums = [self._sum_form(form) for form in self.list_forms(selection)]
        return hash_content([self.workspace.key_fingerprint, sums])

    def list_forms(self, selection: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the forms sat in a selection's waves, of its assessments or forms; none where it names neither."""
        if not {"assessment", "form"} & {*selection}:
            return []
        names = [name for name in ("wave", "form", "assessment") if name in selection]
        return sorted({sat["form"] for sat in self._sittings if all(sat[name] in selection[name] for name in names)})

    @cached_property
    def _sittings(self) -> list[dict[str, str]]:
        """Every form at every wave with answers."""
        forms = self.workspace.declared.forms
        parts = list_parts(self.workspace.folder("canonical"), "answer")
        return [{"wave": w, "form": f, "assessment": forms[f].assessment if f in forms else ""} for w, f in parts]

    @cached_property
    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame]:
        key, decisions = load_table(self.workspace, "key"), load_table(self.workspace, "item_decisions")
        return key, self.workspace.read_accepted("form_item"), decisions

    def _sum_form(self, form: str) -> str:
        """Sum up the accepted key of a form's items, the whole key where no register lists them, and its dropped items."""
        if form not in self._sums:
            key, register, decisions = self._tables
            if register is not None:
                key = key[key["item_id"].isin(register.loc[register["form_id"] == form, "item_id"])]
            dropped = decisions.loc[(decisions["form"] == form) & (decisions["decision"] == "drop"), "item_id"]
            self._sums[form] = hash_content([sorted(map(str, key.to_dict("records"))), sorted(set(dropped))])
        return self._sums[form]
