"""What the parts of one process tell each other: phases, reports, outages, log lines.

Imports `workers.painting` and `storage`; no other room of `workers`.
"""
