"""What a producer must know of a model, read from its files without torch.

Imports `producer.spec`, `producer.display` and `storage`.
"""
