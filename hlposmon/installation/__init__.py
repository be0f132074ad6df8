"""What belongs to the system around a virtual environment: units, configuration, cron, manual pages.

`layout` says what goes where, `changes` decides what is to be done, `system` does it. Standard library
alone, and nothing of the monitor itself: an installation that is broken must still be removable.
"""
