"""Installs the system files around a virtual environment: units, configuration, cron, manual pages.

`layout` is the table of files, `changes` decides what to do, `system` does it. It uses only the standard
library and no other part of the monitor but its errors: a broken installation must still be removable.
"""
