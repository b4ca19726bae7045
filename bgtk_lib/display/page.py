"""The boxes of a page: cover, answer, notices, gates, flow, glossary. Each is HTML for the page and text for a terminal.

Everything that is not written here is escaped; how it looks stands in ``engine/template/page.css``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from bgtk_lib.errors import Language, Text
from bgtk_lib.findings import Flow, FlowStep, Gate
from bgtk_lib.words import say, sentences

NoticeKind = Literal["stop", "hold", "warn", "note"]
Pairs = Sequence[tuple[Text, Text]]


@dataclass(frozen=True)
class Shown:
    """A piece of a page.

    Attributes
    ----------
    html : str
        As it stands in the page.
    text : str
        The same for a terminal or an e-mail.
    """

    html: str
    text: str

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return what a notebook shows."""
        del include, exclude
        return {"text/html": self.html, "text/plain": self.text}


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One number set large above the answer.

    Attributes
    ----------
    value : Text
        Already written, e.g. ``say("figure.points_signed", value=4.1)``.
    label : Text
        What it is, in two to five words.
    detail : Text or None
        Its interval or its base.
    """

    value: Text
    label: Text
    detail: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Cover:
    """The head of a report.

    Attributes
    ----------
    title : Text
        The report's name.
    population : Text
        Of whom it speaks, one sentence.
    question : Text or None
        What the reader asked.
    facts : sequence of (Text, Text)
        What a reader should know at once: waves and their dates, edition, status.
    parameters : sequence of (Text, Text)
        Every parameter and its value; folded away on the screen, printed on paper.
    stamp : sequence of (Text, Text)
        Data hash, commit, approver; beside the parameters.
    marks : sequence of str
        ``DRAF``, the synthetic mark.
    standing : sequence of Text
        What holds for every report; see `write_standing`.
    """

    title: Text
    population: Text
    question: Text | None = None
    facts: Pairs = ()
    parameters: Pairs = ()
    stamp: Pairs = ()
    marks: Sequence[str] = ()
    standing: Sequence[Text] = field(default_factory=tuple)


def write_standing(confidence: float) -> list[Text]:
    """Return the sentences that stand in every report; `confidence` as a share, e.g. 0.95."""
    return [say("page.standing.groups"), say("page.standing.interval", confidence=100 * confidence)]


def draw_cover(cover: Cover, *, language: Language) -> Shown:
    """Return the head of a report, the only place with a first-level heading."""
    marks = "".join(f"<li>{escape(mark)}</li>" for mark in cover.marks)
    question = f'<p class="question">{_said(cover.question, language)}</p>' if cover.question else ""
    details = [*_entries(cover.parameters, language), *_entries(cover.stamp, language)]
    folded = (
        f'<details class="more"><summary>{_said(say("page.cover.details"), language)}</summary>'
        f"{_definitions(details)}</details>"
        if details
        else ""
    )
    standing = "".join(f"<p>{_said(text, language)}</p>" for text in cover.standing)
    html = (
        '<header class="cover">'
        + (f'<ul class="marks">{marks}</ul>' if marks else "")
        + f"<h1>{_said(cover.title, language)}</h1>{question}"
        + f'<p class="population">{_said(cover.population, language)}</p>'
        + (f'<div class="facts">{_definitions(_entries(cover.facts, language))}</div>' if cover.facts else "")
        + folded
        + (f'<div class="standing">{standing}</div>' if standing else "")
        + "</header>"
    )
    pairs = [*cover.facts, *cover.parameters, *cover.stamp]
    lines = [*cover.marks, cover.title.said(language), cover.population.said(language)]
    lines += [f"{name.said(language)}: {value.said(language)}" for name, value in pairs]
    return Shown(html, "\n".join([*lines, *(text.said(language) for text in cover.standing)]))


def draw_answer(
    paragraph: Text,
    *,
    language: Language,
    figures: Sequence[KeyFigure] = (),
    evidence: Text | None = None,
    conditions: Sequence[Text] = (),
) -> Shown:
    """Return the bottom line: the box a reader meets first.

    Parameters
    ----------
    paragraph : Text
        The answer in one paragraph, generated (`sentences.tell_bottom_line`).
    language : {"id", "en"}
        Language of the page.
    figures : sequence of KeyFigure
        Up to three numbers set large.
    evidence : Text or None
        How strong the evidence is, e.g. ``say("page.evidence.early")``.
    conditions : sequence of Text
        What must be said with it whenever it is quoted.
    """
    large = "".join(
        f"<li><b>{_said(item.value, language)}</b><span>{_said(item.label, language)}</span>"
        + (f"<small>{_said(item.detail, language)}</small>" if item.detail else "")
        + "</li>"
        for item in figures
    )
    strength = say("page.answer.evidence", evidence=evidence) if evidence else None
    html = (
        f'<section class="answer" aria-label="{_said(say("page.answer.label"), language)}">'
        f'<p class="label">{_said(say("page.answer.label"), language)}</p>'
        + (f'<ul class="key">{large}</ul>' if large else "")
        + f'<p class="line">{_said(paragraph, language)}</p>'
        + "".join(f"<p>{_said(text, language)}</p>" for text in conditions)
        + (f'<p class="evidence">{_said(strength, language)}</p>' if strength else "")
        + "</section>"
    )
    lines = [paragraph, *conditions, *([strength] if strength else [])]
    return Shown(html, "\n".join(line.said(language) for line in lines))


def draw_notice(kind: NoticeKind, *, heading: Text, body: Sequence[Text], language: Language) -> Shown:
    """Return a calm box that says what is stopped, held or to be known; told apart by its label and left border."""
    label = say(f"page.notice.{kind}")
    html = (
        f'<div class="notice {kind}" role="note"><p class="label">{_said(label, language)}</p>'
        f"<p><strong>{_said(heading, language)}</strong></p>"
        + "".join(f"<p>{_said(text, language)}</p>" for text in body)
        + "</div>"
    )
    return Shown(
        html, "\n".join([f"[{label.said(language)}] {heading.said(language)}", *(t.said(language) for t in body)])
    )


def draw_prose(paragraphs: Sequence[Text], *, language: Language) -> Shown:
    """Return paragraphs that code wrote."""
    html = "".join(f"<p>{_said(text, language)}</p>" for text in paragraphs)
    return Shown(html, "\n".join(text.said(language) for text in paragraphs))


def draw_points(points: Sequence[Text], *, language: Language) -> Shown:
    """Return a bulleted list, e.g. what cannot be concluded."""
    html = "<ul>" + "".join(f"<li>{_said(text, language)}</li>" for text in points) + "</ul>"
    return Shown(html, "\n".join(f"- {text.said(language)}" for text in points))


def draw_definition_list(pairs: Pairs, *, language: Language) -> Shown:
    """Return terms and what they mean: a glossary, or names and values."""
    entries = _entries(pairs, language)
    text = "\n".join(f"{name.said(language)}: {value.said(language)}" for name, value in pairs)
    return Shown(_definitions(entries), text)


def draw_flow_list(flow: Flow | Sequence[FlowStep], *, language: Language) -> Shown:
    """Return the states the rows passed through as a list, with what was set aside and why.

    The words are ``flow.<state>`` and ``reason.<code>``; where the project has none, the code itself is shown.
    """
    steps = flow.steps if isinstance(flow, Flow) else flow
    items, lines = [], []
    for step in steps:
        head = say("page.flow.step", n=step.n, state=find_words("flow", step.state))
        reasons = list_reasons(step.reasons)
        aside = say("page.flow.aside", n=step.set_aside) if step.set_aside else None
        items.append(
            "<li>"
            + (f'<p class="aside">{_said(aside, language)}</p>' if aside else "")
            + (f"<ul>{''.join(f'<li>{_said(r, language)}</li>' for r in reasons)}</ul>" if reasons else "")
            + f"<p><strong>{_said(head, language)}</strong></p></li>"
        )
        lines += [text.said(language) for text in ([aside] if aside else [])] + [r.said(language) for r in reasons]
        lines.append(head.said(language))
    return Shown(f'<ol class="flow">{"".join(items)}</ol>', "\n".join(lines))


def draw_gates(gates: Sequence[Gate], *, language: Language) -> Shown:
    """Return the checks this report rests on: code, state in words, what was found; in the order given."""
    heads = [_said(say(f"page.gates.{name}"), language) for name in ("check", "found")]
    rows = []
    for gate in gates:
        lifted = f"<br><em>{_said(say('page.gates.lifted', reason=gate.lifted), language)}</em>" if gate.lifted else ""
        scope = f'<br><small class="scope">{escape(gate.scope_text)}</small>' if gate.scope else ""
        rows.append(
            f'<tr><th scope="row">{escape(gate.code)} <span class="state {gate.state.lower()}">'
            f"{_said(say(f'page.state.{gate.state}'), language)}</span></th>"
            f"<td>{_said(gate.message, language)}{lifted}{scope}</td></tr>"
        )
    caption = say("page.gates.caption", n=len(gates))
    html = wrap_table(
        f'<table class="gates"><caption><span>{_said(caption, language)}</span></caption><thead><tr>'
        + "".join(f'<th scope="col">{head}</th>' for head in heads)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table>",
        label=caption.said(language),
    )
    said = [f"{g.code} [{say(f'page.state.{g.state}').said(language)}] {g.message.said(language)}" for g in gates]
    return Shown(html, "\n".join([caption.said(language), *said]))


def wrap_table(table: str, *, label: str) -> str:
    """Return a table's HTML in the frame that scrolls on a narrow screen and takes the keyboard's focus."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'


def find_words(prefix: str, code: str) -> Text:
    """Return the sentence ``<prefix>.<code>``, or the code itself where the project has none."""
    key = f"{prefix}.{code}"
    return say(key) if key in sentences() else Text(id=code, en=code)


def list_reasons(reasons: Mapping[str, int]) -> list[Text]:
    """Return one line a reason: how many, and why."""
    return [say("page.flow.reason", n=n, reason=find_words("reason", code)) for code, n in reasons.items()]


def _said(text: Text, language: Language) -> str:
    return escape(text.said(language))


def _entries(pairs: Pairs, language: Language) -> list[tuple[str, str]]:
    return [(_said(name, language), _said(value, language)) for name, value in pairs]


def _definitions(entries: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries) + "</dl>"
