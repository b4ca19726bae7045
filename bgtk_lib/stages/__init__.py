"""The stages in their order, each run only when what made its output has changed: ingest → check → review → score."""
