"""What can go wrong, said so that the reader can act: what was found, what is needed, what to do next."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Literal

Language = Literal["id", "en"]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room for a file


@dataclass(frozen=True)
class Text:
    """One sentence in both languages of the workbench.

    Attributes
    ----------
    id, en : str
        Indonesian and English, already filled in.
    """

    id: str
    en: str

    def said(self, language: Language) -> str:
        """Return the sentence in one language."""
        return self.id if language == "id" else self.en


class BgtkError(ValueError):
    """A request or an input that cannot be served, with the sentence the reader sees.

    Parameters
    ----------
    text : Text
        What was found, what was required and what to do next, in both languages; never a person's data.
    """

    exit_code = 2

    def __init__(self, text: Text) -> None:
        super().__init__(f"{text.id}\n{text.en}")
        self.text = text


class ParameterError(BgtkError):
    """A parameter, a rule or a command that is unknown, of the wrong type or impossible."""


class FewError(ParameterError):
    """A selection of too few persons.

    Parameters
    ----------
    text : Text
        What whoever asked for it reads.
    withheld : Text
        What a list of reports says in its place: of whom, and that they are few; never how many.
    """

    def __init__(self, text: Text, *, withheld: Text) -> None:
        super().__init__(text)
        self.withheld = withheld


class SchemaError(BgtkError):
    """A file or a table that has not the form its mapping or the codebook says."""


class LinkageError(BgtkError):
    """Rows that cannot be joined to one person, one form or one scale."""


class StageError(BgtkError):
    """A stage that failed on its way; what was finished before it is kept."""

    exit_code = 3
