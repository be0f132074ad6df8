"""The implementation of `hlposmon health` and `check_hlposmon`, which run every minute and must start fast.

It uses only the standard library, and no slow part of it: a plain check imports no click, pathlib,
dataclasses or typing. Modules that only one option needs (thresholds, the text file, the ping) are imported
for that option.
"""
