"""What a producer must know of a model, read from its files without torch.

Imports `producer.spec.problems` and `storage`.
"""
