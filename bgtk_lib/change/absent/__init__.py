"""Who did not come back: how they differ, and change with them."""
