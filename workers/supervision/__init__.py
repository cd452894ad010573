"""The process beside the workers: it starts them, watches them, and repairs the queue.

Imports `workers.vitals`, `workers.devices` and `storage`; no other room of `workers`.
"""
