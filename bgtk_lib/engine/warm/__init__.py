"""Kernels that are ready before a report needs them: forked from a template process, or started ahead and used once."""
