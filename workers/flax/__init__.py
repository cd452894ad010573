"""A painter on JAX, with the Flax networks of diffusers 0.39, the last that has them.

It imports jax, flax, diffusers and transformers, and no torch.
"""
