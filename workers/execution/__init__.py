"""The jobs of one group, from claim to row: claims ahead of need, results, the beat.

Imports `workers.vitals` and `storage`; neither the engine nor the supervisor.
"""
