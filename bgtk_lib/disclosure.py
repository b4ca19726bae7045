"""Small cells and their complements: one plan an edition says what is hidden; only what it released is ever drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from bgtk_lib.errors import Text
from bgtk_lib.findings import Figure, Flow, FlowStep, Withheld
from bgtk_lib.words import say

FEWEST_FOR_DENSITY = 30
LEVEL_CELLS = ("level", "first", "second", "group")


@dataclass(frozen=True)
class Plan:
    """What an edition hides.

    Attributes
    ----------
    min_cell : int
        Fewest persons a printed number may stand for.
    hidden : mapping
        Table → cell codes that are withheld: the small ones and the complements that would give them away.
    """

    min_cell: int
    hidden: Mapping[str, Mapping[str, Literal["small", "complement"]]]


@dataclass(frozen=True)
class Released:
    """What may be shown: figures with the withheld ones in their place, and what is drawn from them.

    Attributes
    ----------
    figures : tuple of Figure
        Withheld ones carry their reason in the place of their value.
    frame : DataFrame or None
        Tidy values for a picture that shows no single figure (a density); only of enough persons.
    """

    figures: tuple[Figure, ...] = ()
    frame: pd.DataFrame | None = None

    def __add__(self, other: Released) -> Released:
        """Return the figures of both."""
        return Released((*self.figures, *other.figures))


def plan_suppression(tables: Mapping[str, pd.Series[int]], *, min_cell: int) -> Plan:
    """Return what must be hidden so that no cell below `min_cell` can be read or subtracted from its table's total.

    Parameters
    ----------
    tables : mapping
        Table name → persons by cell code. Each table's total is taken as printed.
    min_cell : int
        Fewest persons a printed number may stand for.

    Notes
    -----
    Within one table: every cell of 1 … min_cell − 1 is hidden; then, while a single cell is hidden, the hidden ones
    together stand for fewer than `min_cell`, or their sum leaves one of them a single value (1 and 10 are all that 11
    can be), the smallest cell left is hidden too (primary and complementary suppression in one dimension). Empty cells
    stand for nobody and stay.

    Examples
    --------
    >>> plan = plan_suppression({"t": pd.Series({"a": 4, "b": 25, "c": 60})}, min_cell=10)
    >>> dict(plan.hidden["t"])
    {'a': 'small', 'b': 'complement'}
    """
    hidden: dict[str, dict[str, Literal["small", "complement"]]] = {}
    for name, counts in tables.items():
        cells = counts[counts > 0].sort_values(kind="stable")
        aside: dict[str, Literal["small", "complement"]] = {
            str(code): "small" for code in cells.index[cells < min_cell]
        }
        left = [str(code) for code in cells.index if str(code) not in aside]
        while aside and left and _give_away(aside, sum(int(cells[code]) for code in aside), min_cell=min_cell):
            aside[left.pop(0)] = "complement"
        hidden[name] = aside
    return Plan(min_cell=min_cell, hidden=hidden)


def _give_away(aside: Mapping[str, str], total: int, *, min_cell: int) -> bool:
    """Whether the total of the hidden cells says too much: it is small itself, or leaves a cell a single value."""
    ranges = [(1, min_cell - 1) if kind == "small" else (min_cell, total) for kind in aside.values()]
    above, below = total - sum(low for low, _ in ranges), sum(high for _, high in ranges) - total
    return total < min_cell or any(min(high, low + above) <= max(low, high - below) for low, high in ranges)


def name_table(report: str, selection: Mapping[str, object], part: str) -> str:
    """Return the name of one table of an edition: its report, what it selects, and which part it is."""
    chosen = ",".join(f"{key}={value}" for key, value in sorted(selection.items()))
    return f"{report}({chosen}).{part}"


def release(figures: Iterable[Figure], plan: Plan, *, table: str | None = None, cell: str = "district") -> Released:
    """Return figures as they may be shown.

    Parameters
    ----------
    figures : iterable of Figure
        Findings at full precision.
    plan : Plan
        The edition's plan.
    table : str, optional
        The table whose cells the figures fill; its hidden cells are withheld.
    cell : str
        Which code of `where` names the cell.

    Notes
    -----
    A figure of persons with 1 … min_cell − 1 behind it is withheld whether or not a table plans it.
    """
    hidden = plan.hidden.get(table or "", {})
    return Released(tuple(_screen(figure, plan.min_cell, hidden, cell) for figure in figures))


def release_groups(figures: Iterable[Figure], plan: Plan, *, tables: Mapping[str, str]) -> Released:
    """Return figures of subgroups as they may be shown; each grouping is a table of its own.

    Parameters
    ----------
    figures : iterable of Figure
        `where` names the grouping, and its level; or first and second, the two levels that are compared.
    plan : Plan
        The edition's plan.
    tables : mapping
        Grouping → its table.
    """
    shown = []
    for figure in figures:
        hidden = plan.hidden.get(tables.get(figure.where.get("grouping", ""), ""), {})
        levels = [level for cell in LEVEL_CELLS for level in figure.where.get(cell, "").split("+")]
        cell = next((level for level in levels if level in hidden), "")
        shown.append(_screen(replace(figure, where={"cell": cell}), plan.min_cell, hidden, "cell"))
        shown[-1] = replace(shown[-1], where=figure.where)
    return Released(tuple(shown))


def _screen(figure: Figure, min_cell: int, hidden: Mapping[str, str], cell: str) -> Figure:
    kind = hidden.get(figure.where.get(cell, ""))
    persons = figure.value if figure.unit == "persons" and isinstance(figure.value, int) else figure.n
    if 0 < figure.n < min_cell or 0 < persons < min_cell:  # a count of few tells of few, whatever n it bears
        kind = "small"
    if kind is None:
        return figure
    # a small group is hidden even where another reason already stands in the place of its value: its n would be printed
    return replace(figure, value=Withheld(say(f"withheld.{kind}", min_cell=min_cell), kind=kind))  # type: ignore[arg-type]


def release_nested(
    figures: Iterable[Figure], plan: Plan, *, order: Sequence[str], table: str | None = None, cell: str = "district"
) -> Released:
    """Return nested counts (invited ≥ sat ≥ usable) so that no difference of two shown ones gives a few away.

    Parameters
    ----------
    figures : iterable of Figure
        Counts and shares; those of one `where` belong together.
    plan, table, cell
        As in `release`.
    order : sequence of str
        Names of the counts, the widest first; a share is withheld with the last of them.

    Notes
    -----
    The persons between two counts (absent, not usable) are a table of their own over the cells, whose total the report
    prints too: so a gap of 1 … min_cell − 1 is hidden, and the smallest other gaps with it, by the rule of
    `plan_suppression`. A hidden gap hides the narrower count.
    """
    shown = release(figures, plan, table=table, cell=cell).figures
    cells = list(dict.fromkeys(_place(figure) for figure in shown))
    counts = {(_place(figure), figure.name): figure for figure in shown if figure.name in order}
    hidden: set[tuple[str, str]] = set()
    for name in order[1:]:
        gaps = {place: _gap(counts, place, name, order=order, hidden=hidden) for place in cells}
        known = pd.Series({place: gap for place, gap in gaps.items() if gap is not None}, dtype="int64")
        aside = plan_suppression({"gaps": known}, min_cell=plan.min_cell).hidden["gaps"]
        hidden |= {(place, name) for place in aside} | {(place, name) for place, gap in gaps.items() if gap is None}
    reason = Withheld(say("withheld.complement"), kind="complement")
    released = []
    for figure in shown:
        name = figure.name if figure.name in order else order[-1]
        hide = (_place(figure), name) in hidden and not isinstance(figure.value, Withheld)
        released.append(replace(figure, value=reason) if hide else figure)
    return Released(tuple(released))


def _place(figure: Figure) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(figure.where.items()))


def _gap(
    counts: Mapping[tuple[str, str], Figure],
    place: str,
    name: str,
    *,
    order: Sequence[str],
    hidden: set[tuple[str, str]],
) -> int | None:
    """Return how many persons lie between a count and the narrowest wider one shown; null where it is not shown itself."""
    figure = counts.get((place, name))
    if figure is None or isinstance(figure.value, Withheld):
        return None
    wider = [counts[place, above] for above in order[: order.index(name)] if (place, above) in counts]
    open_ones = [one for one in wider if not isinstance(one.value, Withheld) and (place, one.name) not in hidden]
    return open_ones[-1].n - figure.n if open_ones else 0


def release_frame(
    frame: pd.DataFrame, plan: Plan, *, counts: Sequence[str], values: Sequence[str] = (), within: str | None = None
) -> Released:
    """Return a tidy frame whose small counts are null, and with them the values they stand behind.

    Parameters
    ----------
    frame : DataFrame
        Values with the counts of persons or records behind each row.
    plan : Plan
        The edition's plan.
    counts : sequence of str
        Columns of counts; each is null where it is small.
    values : sequence of str
        Columns that are null where any count of their row is.
    within : str, optional
        Column of groups whose totals are known (a day): in each, the smallest other counts are hidden with a small one.
    """
    shown, hidden = frame.copy(), pd.Series(data=False, index=frame.index)
    for name in counts:
        small = _find_small(frame, name, plan, within=within)
        shown[name] = shown[name].astype("float64").mask(small)
        hidden |= small
    for name in values:
        shown[name] = shown[name].astype("float64").mask(hidden)
    reason = say("withheld.small", min_cell=plan.min_cell)
    shown["withheld"] = pd.Series([reason if hide else None for hide in hidden], index=shown.index, dtype=object)
    return Released(frame=shown)


def _find_small(frame: pd.DataFrame, name: str, plan: Plan, *, within: str | None) -> pd.Series[bool]:
    if within is None:
        return frame[name].between(1, plan.min_cell - 1).fillna(value=False).astype(bool)
    hidden: set[str] = set()
    for _, group in frame.groupby(within):
        cells = group[name].rename(index=str).astype("int64")
        hidden |= set(plan_suppression({"": cells}, min_cell=plan.min_cell).hidden[""])
    return pd.Series([str(place) in hidden for place in frame.index], index=frame.index)


def release_density(grid: pd.DataFrame, plan: Plan) -> Released:
    """Return a density only where every curve stands for enough persons (30, and `min_cell`); else nothing."""
    enough = bool(len(grid)) and int(grid["n"].min()) >= max(FEWEST_FOR_DENSITY, plan.min_cell)
    return Released(frame=grid if enough else None)


def publish_flow(flow: Flow, plan: Plan) -> Flow:
    """Return a flow with no count of 1 … min_cell − 1 in it, none that subtraction would give back; still conserving.

    Notes
    -----
    The last state is what the figures rest on, so its number is kept; walking back from it, a state is kept only if it
    differs from the next one kept by 0 or at least `min_cell`, and what was set aside between is joined. Reasons below
    `min_cell` are pooled as ``several``, with the smallest other while the pool itself is too small.
    """
    kept: list[int] = []
    for place in range(len(flow.steps) - 1, -1, -1):
        n = flow.steps[place].n
        gap = n - flow.steps[kept[-1]].n if kept else n
        if gap == 0 or gap >= plan.min_cell:
            kept.append(place)
    kept.reverse()
    steps = []
    for before, place in zip([None, *kept], kept, strict=False):
        joined: dict[str, int] = {}
        for step in flow.steps[before + 1 : place + 1] if before is not None else ():
            for reason, n in step.reasons.items():
                joined[reason] = joined.get(reason, 0) + n
        step = flow.steps[place]
        steps.append(
            FlowStep(state=step.state, n=step.n, set_aside=sum(joined.values()), reasons=_pool(joined, plan.min_cell))
        )
    return Flow(tuple(steps), shortened=len(kept) < len(flow.steps))


def _pool(reasons: Mapping[str, int], min_cell: int) -> dict[str, int]:
    """Return reasons with the small ones pooled until the pool is 0 or large enough."""
    ordered = sorted(((n, reason) for reason, n in reasons.items() if n), key=lambda pair: pair[0])
    pool = 0
    while ordered and (ordered[0][0] < min_cell or 0 < pool < min_cell):
        pool += ordered.pop(0)[0]
    kept = {reason for _, reason in ordered}
    named = {reason: n for reason, n in reasons.items() if reason in kept}
    return {**named, "several": pool + named.get("several", 0)} if pool else named


def publish_count(n: int, plan: Plan) -> Text:
    """Return a count in words: itself, or that it is fewer than `min_cell`."""
    return say("count.few", min_cell=plan.min_cell) if 0 < n < plan.min_cell else say("count.exact", n=n)
