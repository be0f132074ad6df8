"""What `hlposmon health` and `check_hlposmon` do, as light as can be: they run each minute.

Standard library alone, and of that nothing slow: no click, pathlib, dataclasses or typing on the way of
a plain check. What only an option needs (thresholds, the text file, the ping) is imported for it.
"""
