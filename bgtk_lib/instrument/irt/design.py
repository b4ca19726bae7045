"""What can be calibrated from the answers at hand: usable items, linked groups, free parameters and where to start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from bgtk_lib.errors import LinkageError, ParameterError, SchemaError
from bgtk_lib.instrument.irt.blocks import NOT_PRESENTED, Blocks
from bgtk_lib.instrument.irt.curves import Curves, Floats
from bgtk_lib.instrument.irt.parameters import Free, Parameters
from bgtk_lib.words import plain, say

DICHOTOMOUS = ("rasch", "2pl")
ONE_SLOPE = ("rasch", "pcm")


def judge_items(counts: NDArray[np.int64], known: NDArray[np.bool_]) -> list[str | None]:
    """Return why each item cannot be calibrated, None where it can.

    Parameters
    ----------
    counts : array (J, K)
        Persons in each category.
    known : array of bool (J,)
        Items whose parameters are known: only ``empty`` applies to them.

    Notes
    -----
    ``empty``: presented to nobody. ``all_wrong``, ``all_right``: everyone in category 0 or 1; ``constant``: in another
    one. ``unused_category``: a category below the highest has nobody, so that its step has no finite estimate. Such
    an item is left out rather than collapsed: merging categories changes what a point is worth, and with it the
    comparison with other sittings, so that somebody has to decide it.
    """
    notes: list[str | None] = []
    for row, is_known in zip(counts, known, strict=True):
        used = np.flatnonzero(row)
        if not len(used):
            notes.append("empty")
        elif is_known:
            notes.append(None)
        elif len(used) == 1:
            notes.append({0: "all_wrong", 1: "all_right"}.get(int(used[0]), "constant"))
        else:
            notes.append("unused_category" if len(used) <= used[-1] else None)
    return notes


def check_model(model: str, blocks: Blocks, known: NDArray[np.bool_]) -> None:
    """Refuse items with more than two categories where the model has two.

    Raises
    ------
    ParameterError
    """
    if model in DICHOTOMOUS:
        beyond = (blocks.counts[:, 2:] > 0).any(axis=1) & ~known
        if beyond.any():
            names = _name([blocks.item_ids[j] for j in np.flatnonzero(beyond)])
            raise ParameterError(say("irt.too_many_categories", model=model, n=int(beyond.sum()), items=names))


def check_known(fixed: Curves, blocks: Blocks) -> None:
    """Refuse known items that none was presented, or that hold a category their curve does not have.

    Raises
    ------
    ParameterError, SchemaError
    """
    shared = [item for item in blocks.item_ids if item in fixed.item_ids]
    if not shared:
        raise ParameterError(say("irt.no_fixed_item", n=len(fixed.item_ids)))
    highest = dict(zip(fixed.item_ids, fixed.highest, strict=True))
    beyond = [item for item in shared if blocks.counts[blocks.item_ids.index(item), highest[item] + 1 :].any()]
    if beyond:
        raise SchemaError(say("irt.beyond_fixed", n=len(beyond), items=_name(beyond)))


def check_links(blocks: Blocks, known: NDArray[np.bool_]) -> None:
    """Refuse groups that share no items, directly or through others, with the first group (or with a known item).

    Raises
    ------
    LinkageError
    """
    n_groups, n_items = len(blocks.group_names), len(blocks.item_ids)
    took = np.zeros((n_groups + 1, n_items))
    for cell in blocks.cells:
        columns = cell.columns
        if not cell.complete:
            columns = columns[(cell.read(0, len(cell)) != NOT_PRESENTED).any(axis=0)]
        took[cell.group, columns] = 1
    took[n_groups, known] = 1
    graph = csr_array(took @ took.T)
    parts = connected_components(graph, directed=False)[1]
    home = parts[n_groups] if known.any() else parts[0]
    apart = [name for name, part in zip(blocks.group_names, parts, strict=False) if part != home]
    if apart:
        raise LinkageError(say("irt.not_linked", groups=_name(apart)))


def set_start(model: str, blocks: Blocks, fixed: Curves | None) -> tuple[Parameters, Free]:
    """Return where the estimation starts and what it may move.

    Notes
    -----
    The first group has mean 0 and, where slopes are free, standard deviation 1. With known items all groups are free.
    """
    counts = blocks.counts
    n_items, n_groups = len(blocks.item_ids), len(blocks.group_names)
    known = np.array([fixed is not None and item in fixed.item_ids for item in blocks.item_ids], dtype=bool)
    highest = np.array([np.flatnonzero(row).max(initial=1) for row in counts], dtype=int)
    n_steps = int(highest.max(initial=1))
    graded = np.full(n_items, model == "grm")
    steps = np.where(np.arange(1, n_steps + 1) <= highest[:, None], _start_steps(counts, n_steps, model), np.nan)
    slopes = np.ones(n_items)
    if fixed is not None:
        wide = max(n_steps, fixed.intercepts.shape[1])
        steps = np.pad(steps, ((0, 0), (0, wide - n_steps)), constant_values=np.nan)
        for j in np.flatnonzero(known):
            at = fixed.item_ids.index(blocks.item_ids[j])
            slopes[j], graded[j] = fixed.slopes[at], fixed.graded[at]
            steps[j] = np.nan
            steps[j, : fixed.intercepts.shape[1]] = fixed.intercepts[at]
        steps = steps[:, : int((~np.isnan(steps)).sum(axis=1).max(initial=1))]
    curves = Curves(item_ids=blocks.item_ids, slopes=slopes, intercepts=steps, graded=graded)
    later = np.arange(n_groups) > 0
    free_means = later if fixed is None else np.ones(n_groups, dtype=bool)
    free = Free(
        slopes=~known & (model not in ONE_SLOPE),
        steps=~np.isnan(steps) & ~known[:, None],
        means=free_means,
        sds=np.ones(n_groups, dtype=bool) if model in ONE_SLOPE else free_means,
    )
    return Parameters(curves=curves, means=np.zeros(n_groups), sds=np.ones(n_groups)), free


def _start_steps(counts: NDArray[np.int64], n_steps: int, model: str) -> Floats:
    """Return the intercepts that would give the observed shares if everyone had ability 0, a little wider."""
    shares = np.zeros((len(counts), n_steps + 1))
    width = min(n_steps + 1, counts.shape[1])
    shares[:, :width] = counts[:, :width]
    shares += 0.5
    if model == "grm":
        above = shares[:, ::-1].cumsum(axis=1)[:, ::-1]
        odds: Floats = np.log(above[:, 1:] / (above[:, :1] - above[:, 1:]))
    else:
        odds = np.log(shares[:, 1:] / shares[:, :1])
    return 1.2 * odds


def _name(items: list[str]) -> object:
    return plain(", ".join(items[:3]))
