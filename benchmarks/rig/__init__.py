"""What several cases need: servers, load, figures from /proc, pictures, tables."""
