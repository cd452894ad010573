"""The jobs of one group, from claim to row: prefetch, results, heartbeat.

Imports `workers.vitals` and `storage`; neither the engine nor the supervisor.
"""
