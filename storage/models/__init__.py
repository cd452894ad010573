"""The files of a model: its folder or Hub repository, its components and fingerprint.

Imports the top of `storage` and `storage.host`; no SQL, no torch.
"""
