"""The checks of `hlposmon doctor`. Each one only reads, and its findings say what to do."""
