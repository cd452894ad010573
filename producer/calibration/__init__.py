"""What a calibration measures: its plan, its process, its figures and their judgement.

Imports the rooms of `producer` from `expansion` and `running` down.
"""
