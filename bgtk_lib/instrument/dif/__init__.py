"""Differential item functioning: whether an item is harder for one group than for persons of equal score in another."""
