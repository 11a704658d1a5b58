"""Chitram: a self-hosted image host."""

__version__ = "0.3.0"
