"""A search page and a JSON API over an exported model and an index."""
