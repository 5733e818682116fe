"""Generators and discriminators, one module per architecture.

Each module has a `generator(z_dim, shape, **options)`, (N, z_dim) -> (N, *shape), or a
`discriminator(shape, **options)`, (N, *shape) -> logits (N,), or both.
"""
