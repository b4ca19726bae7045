"""Answers → scores: points by the key, plausible values of ability for groups, and the scale they are told on."""
