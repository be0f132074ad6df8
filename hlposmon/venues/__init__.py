"""How to ask and follow each venue."""
