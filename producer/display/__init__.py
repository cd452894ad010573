"""How answers look: tables, amounts, JSON lines, text that fits a terminal.

Imports `storage`; no other room of `producer`.
"""
