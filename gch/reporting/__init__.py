"""Results for people: tables, plots, an HTML page."""
