"""Parameters, kernels, batches and pages: a notebook becomes one HTML file."""
