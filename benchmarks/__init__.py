"""Measurements: one runnable case a claim, each with its peer and its limit beside it."""
