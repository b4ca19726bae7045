"""What a reader of a page sees or hears: its text, its alternative texts, and the words inside its figures."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

UNSEEN = frozenset({"script", "style", "template", "metadata"})
INLINE = frozenset({"a", "abbr", "b", "cite", "code", "em", "i", "mark", "q", "s", "small", "span", "strong", "sub", "sup",
                    "time", "tspan", "u", "th", "td"})  # fmt: skip
CELLS = frozenset({"th", "td"})
TOLD = ("alt", "aria-label", "title")
PICTURE = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")


def read_blocks(html: str) -> list[str]:
    """Return what a reader of a page sees or hears: paragraphs, rows of tables, alternative texts, words in figures."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.finish()


class _Reader(HTMLParser):
    """Gathers the blocks of a page; a row of a table is one, for its cells are read together."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self._open: list[str] = []
        self._unseen: str | None = None

    def finish(self) -> list[str]:
        self._end_block()
        return self.blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNSEEN:
            self._unseen = self._unseen or tag
        if tag not in INLINE:
            self._end_block()
        for name, value in attrs:
            if value and name in TOLD:
                self.blocks.append(value)
            if value and tag in ("img", "object") and (picture := PICTURE.match(value)):
                self.blocks += read_blocks(base64.b64decode(picture.group(1)).decode("utf-8"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self._unseen == tag:
            self._unseen = None

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = None
        if tag in CELLS:
            self._open.append(" · ")
        elif tag not in INLINE:
            self._end_block()

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._open.append(data)

    def _end_block(self) -> None:
        if text := " ".join("".join(self._open).split()).removesuffix(" ·"):
            self.blocks.append(text)
        self._open = []
