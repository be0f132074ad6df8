"""The monitor as a whole: its places, its processes, and who gets what."""
