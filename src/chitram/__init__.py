"""Chitram: a self-hosted image host."""

__version__ = "0.2.0"
