"""Secrets that people choose, and tokens that we sign."""
