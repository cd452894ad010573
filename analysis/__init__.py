"""Statistics of sweeps: numbers in, numbers out.

Imports `storage` and numpy, and only the functions of scipy that numpy lacks.
Commands import it when they need it, since numpy takes a moment to load.
"""
