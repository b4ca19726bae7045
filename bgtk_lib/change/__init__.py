"""What changed between two waves: `estimate` by how much, `strata` and `clusters` how sure, `leavers` without whom."""
