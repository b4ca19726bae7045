"""The gates that each kind of figure rests on: where one of them stops, the figure is not shown."""

from __future__ import annotations

COUNTING = ("D01", "D06", "D07", "D09", "D10", "E08", "P07")  # who was there
COVERING = (*COUNTING, "D08", "D11")  # and where
REVIEWING = ("D07", "E08", "P07")  # a review of items: never on its own findings, which are what it shows
LINKING = ("D07", "D12", "E08", "I01", "I04", "P07")  # C01 is its own verdict, and so not among them
MEASURING = ("D01", "D02", "D04", "D05", "D06", "D07", "D10", "D12", "E08", "I01", "P07")
COMPARING = (*MEASURING, "C01", "C03", "C04", "C05", "C06", "C09", "C11")
PLACING = (*COMPARING, "D08")  # change by district
CLAIMING = (*COMPARING, "C07", "C08", "C16", "C18", "C19")
OF_CHANGE = ("C01",)  # a difference between groups on one form needs no link of the two forms
