"""What items and tests are worth, before anything is said about persons."""
