"""Schedulers and pipelines as plain data: classes, names, options, rules and steps.

Imports the top of `storage`; no SQL, no YAML, no torch.
"""
