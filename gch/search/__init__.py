"""Search with an exported model: codes of any collection, indexes over them, queries."""
