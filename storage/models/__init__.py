"""Which files a model is: its folder or Hub repository, its components and fingerprint.

Imports the top of `storage`, `storage.host` and `storage.catalogue`; no SQL, no torch.
"""
