"""Chitram: a self-hosted image host."""

__version__ = "0.4.1"
