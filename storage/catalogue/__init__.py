"""Schedulers and pipelines as plain data: classes, names, options, rules and steps.

Imports `storage.errors`, `storage.job` and `storage.texts`; no SQL, no torch.
"""
