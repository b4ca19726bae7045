"""Sentences, tables and figures: what a reader sees of findings that may be shown."""
