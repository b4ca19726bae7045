"""District means from one model of districts, schools and persons."""
