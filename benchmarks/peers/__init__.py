"""What we are compared with: limits that no design beats, and what one would otherwise use."""
