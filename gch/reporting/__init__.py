"""What came out, for people: tables, plots, a page."""
