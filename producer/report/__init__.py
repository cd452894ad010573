"""The report: one HTML file that answers a sweep's question and shows why.

It may import `analysis`, `storage`, and the rooms of `producer` below the commands.
"""
