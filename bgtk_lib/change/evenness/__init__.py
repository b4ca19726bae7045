"""Was the change even: between districts, along the distribution, between groups."""
