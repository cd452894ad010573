"""How the built-in demo model was made: data, training, measurement, export.

Nothing in here is installed with nightsweep; see ``training/README.md``.
"""
