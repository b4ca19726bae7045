"""How sure: the wild cluster bootstrap, and what the next wave could settle."""
