"""The jobs of one group, from claim to row: prefetch, results, heartbeat.

Imports `workers.vitals`, `workers.devices` and `storage`; no other room of `workers`.
"""
