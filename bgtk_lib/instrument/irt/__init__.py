"""Item response models: items and persons on one scale, by marginal maximum likelihood."""
