"""Which devices a machine has, which worker holds each, and their memory.

Imports `storage`; no other room of `workers`.
"""
