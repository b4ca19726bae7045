"""The last reader of a page: no sentence of it claims more than the design carries, or labels anybody.

The rules are data (`reference/claims.yaml`). They find phrases, in what a reader sees or hears; they do not understand, so
that a sentence may be right and still have to be said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from bgtk_lib.engine.visible import read_blocks
from bgtk_lib.errors import Language, StageError, Text
from bgtk_lib.schema import read_reference
from bgtk_lib.words import number, plain, say

Severity = Literal["stop", "warn"]
END_OF_SENTENCE = re.compile(r"(?<=[.!?…])[”\"’)]*\s+(?=[“\"(‘]?[^\Wa-z_])")
CLAUSE = re.compile(
    r"[,;:](?=\s)|\s[–—·-]\s|[()]"
    r"|\b(?:tetapi|namun|sedangkan|meskipun|walaupun|but|however|although|though|whereas|while)\b",
    re.IGNORECASE,
)
CELL = " · "  # between the cells of a table's row (`read_blocks`)
UNITS = r"\s*(?:poin|points?|%|persen|per\s?cent|simpangan\s+baku|standard\s+deviations?|logits?)"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence that claims too much.

    Attributes
    ----------
    rule : str
        Its name in `reference/claims.yaml`; ``direction`` for a rise or fall that is not settled.
    severity : {"stop", "warn"}
        Whether the report fails by it.
    sentence : str
        As the page says it, blanks joined.
    found : str
        The words that claim.
    instead : Text
        What to write.
    """

    rule: str
    severity: Severity
    sentence: str
    found: str
    instead: Text


@dataclass(frozen=True, kw_only=True)
class _Rule:
    name: str
    severity: Severity
    comparison: bool
    denied_after: bool
    instead: Text
    patterns: tuple[re.Pattern[str], ...]
    unless: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, kw_only=True)
class _Book:
    """The rules of one language, compiled."""

    rules: tuple[_Rule, ...]
    before: tuple[re.Pattern[str], ...]
    after: tuple[re.Pattern[str], ...]
    direction: tuple[re.Pattern[str], ...]
    unsettled: tuple[re.Pattern[str], ...]
    instead: Text


def refuse_claims(
    html: str,
    *,
    language: Language,
    figures: Sequence[Mapping[str, Any]],
    may_claim: bool,
    refused: Sequence[Severity] = ("stop",),
) -> list[Finding]:
    """Return what is only told of a page; refuse it where a sentence claims too much (threats C08 and P06).

    Parameters
    ----------
    html, language, figures, may_claim
        As `lint_page` takes them.
    refused : sequence of {"stop", "warn"}
        By which findings the page is refused; one of an official edition by all.

    Raises
    ------
    StageError
        With the first such sentence, its rule and what to write instead, and how many more there are.
    """
    findings = lint_page(html, language=language, figures=figures, may_claim=may_claim)
    stops = [one for one in findings if one.severity in refused]
    if stops:
        first = stops[0]
        words = {"sentence": plain(first.sentence), "found": plain(first.found), "instead": first.instead}
        raise StageError(say("claims.stopped", rule=plain(first.rule), more=len(stops) - 1, **words))
    return findings


def lint_page(html: str, *, language: Language, figures: Sequence[Mapping[str, Any]], may_claim: bool) -> list[Finding]:
    """Return every sentence of a rendered page that claims more than the design carries, or labels, in page order.

    Parameters
    ----------
    html : str
        The page. Read are its text, its rows of tables, its alternative texts and the words inside its figures.
    language : {"id", "en"}
        The language of the page.
    figures : sequence of mapping
        As `results.json` holds them: value, low, high. A figure whose interval contains 0 may not be told as a rise or
        a fall.
    may_claim : bool
        Whether the design has a comparison group: only then may a sentence name a cause.
    """
    quoted = _sort_out(figures)
    found = [
        finding
        for block in dict.fromkeys(read_blocks(html))
        for finding in _lint_block(block, quoted, language=language, may_claim=may_claim)
    ]
    return list(dict.fromkeys(found))


def lint_text(
    text: str, *, language: Language, figures: Sequence[Mapping[str, Any]] = (), may_claim: bool = False
) -> list[Finding]:
    """Return the sentences of one paragraph that claim too much; see `lint_page`.

    Examples
    --------
    >>> [one.rule for one in lint_text("Berkat pelatihan, skor naik 4 poin.", language="id")]
    ['cause']
    >>> lint_text("Urutan ini bukan peringkat.", language="id")
    []
    """
    return _lint_block(text, _sort_out(figures), language=language, may_claim=may_claim)


@dataclass(frozen=True, kw_only=True)
class _Quoted:
    """Figures as sentences may quote them: those whose interval contains 0, and all numbers of the others."""

    unsettled: tuple[Mapping[str, Any], ...]
    others: tuple[float, ...]


def _sort_out(figures: Sequence[Mapping[str, Any]]) -> _Quoted:
    settled = [figure for figure in figures if not _is_unsettled(figure)]
    numbers = (figure[name] for figure in settled for name in ("value", "low", "high") if _is_number(figure[name]))
    return _Quoted(unsettled=tuple(filter(_is_unsettled, figures)), others=tuple(numbers))


def _lint_block(text: str, quoted: _Quoted, *, language: Language, may_claim: bool) -> list[Finding]:
    book = _open_book(language)
    found = []
    for sentence in END_OF_SENTENCE.split(" ".join(text.split())):
        for rule in book.rules:
            if not (rule.comparison and may_claim) and (claim := _find_claim(sentence, rule, book)):
                told = {"sentence": sentence, "found": claim}
                found.append(Finding(rule=rule.name, severity=rule.severity, instead=rule.instead, **told))
        if claim := _find_direction(sentence, quoted, book=book, language=language):
            found.append(
                Finding(rule="direction", severity="stop", sentence=sentence, found=claim, instead=book.instead)
            )
    return found


# ---------------------------------------------------------------- rules


@cache
def _open_book(language: Language) -> _Book:
    source = read_reference("claims.yaml")
    parts: dict[str, str] = {}

    def fill(text: str) -> str:
        for name, part in parts.items():
            text = text.replace(f"<{name}>", part)
        return text

    def compile_lines(lines: str) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(line, re.IGNORECASE) for line in fill(lines).splitlines() if line)

    for name, both in source["words"].items():
        parts[name] = fill(both[language])  # a part may hold the parts before it

    rules = tuple(
        _Rule(
            name=name,
            severity=entry["severity"],
            comparison=entry.get("comparison", False),
            denied_after=entry.get("denied_after", False),
            instead=Text(**entry["instead"]),
            patterns=compile_lines(entry["patterns"][language]),
            unless=compile_lines(entry.get("unless", {}).get(language, "")),
        )
        for name, entry in source["rules"].items()
    )
    told = source["told"]
    return _Book(
        rules=rules,
        before=compile_lines(source["denied"]["before"][language]),
        after=compile_lines(source["denied"]["after"][language]),
        direction=compile_lines(told["direction"][language]),
        unsettled=compile_lines(told["unsettled"][language]),
        instead=Text(**told["instead"]),
    )


def _find_claim(sentence: str, rule: _Rule, book: _Book) -> str | None:
    """Return the words by which a sentence breaks a rule, or None."""
    if _has(sentence, rule.unless):
        return None
    for pattern in rule.patterns:
        for match in pattern.finditer(sentence):
            start, end = match.span(1) if pattern.groups else match.span()
            before, after = _clause_around(sentence, start, end)
            if not _has(before, book.before) and not (rule.denied_after and _has(after, book.after)):
                return match.group()
    return None


def _clause_around(sentence: str, start: int, end: int) -> tuple[str, str]:
    """Return what stands in the same clause before and after a place."""
    first = max((cut.end() for cut in CLAUSE.finditer(sentence, 0, start)), default=0)
    following = CLAUSE.search(sentence, end)
    return sentence[first:start], sentence[end : following.start() if following else len(sentence)]


def _has(text: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    return any(pattern.search(text) for pattern in patterns)


# ---------------------------------------------------------------- rises and falls that are not settled


def _find_direction(sentence: str, quoted: _Quoted, *, book: _Book, language: Language) -> str | None:
    """Return the words by which a figure whose interval contains 0 is told as a rise or a fall, or None.

    A number that a settled figure shares, as its value or an end, counts only where the interval stands beside it. The head
    of a table's row names what is counted, whichever way it came out: it tells no direction.
    """
    if _has(sentence, book.unsettled):
        return None
    for part in _split_outside_brackets(sentence.split(CELL, 1)[-1]):
        ways = [m for p in book.direction for m in p.finditer(part)]
        ways = [m for m in ways if not _has(_clause_around(part, m.start(), m.end())[0], book.before)]
        if not ways:
            continue
        for figure in quoted.unsettled:
            beside = all(_quotes(part, figure[end], language) for end in ("low", "high"))
            if told := _quotes(part, figure["value"], language, but=() if beside else quoted.others):
                return f"{ways[0].group()} … {told}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_unsettled(figure: Mapping[str, Any]) -> bool:
    return all(_is_number(figure[name]) for name in ("value", "low", "high")) and figure["low"] <= 0 <= figure["high"]


def _quotes(text: str, value: float, language: Language, *, but: Iterable[float] = ()) -> str | None:
    """Return a number as a text quotes it, with two places, one or (beside a unit) none; None where it does not."""
    for places in (2, 1, 0):
        written = _write(abs(value), language, places)
        unit = "" if places else UNITS
        if (
            written in text
            and re.search(rf"(?<![\d.,]){re.escape(written)}(?!\d|[.,]\d){unit}", text, re.IGNORECASE)
            and all(_write(abs(other), language, places) != written for other in but)
        ):
            return written
    return None


# A page's sentences are held against all its figures: half of a report's time without. Room for a few pages (36 to 1,200
# numbers each): no page needs another's, and a long batch only grew by them.
@lru_cache(maxsize=4_000)
def _write(value: float, language: Language, places: int) -> str:
    return number(value, language, places)


def _split_outside_brackets(sentence: str) -> Iterator[str]:
    """Give the parts of a sentence between semicolons that stand in no brackets."""
    depth, start = 0, 0
    for place, sign in enumerate(sentence):
        depth += (sign == "(") - (sign == ")")
        if sign == ";" and depth <= 0:
            yield sentence[start:place]
            start = place + 1
    yield sentence[start:]
