"""The history: the journal's lines as rows of one SQLite file."""
