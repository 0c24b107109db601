"""From an exported model to answers: codes of any collection, indexes over them, searching."""
