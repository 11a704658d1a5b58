"""The pages: HTML for people, out of the same services as the API."""
