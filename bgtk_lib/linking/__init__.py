"""Two forms → one scale, or a refusal: anchors, drift, link constants, linking error, verdict."""
