"""The making of the built-in demo model: data, training, measurement, export.

None of it is installed with nightsweep; see `training/README.md`.
"""
