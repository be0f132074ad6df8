"""The port that the workers use, and one folder for each venue that implements it."""
