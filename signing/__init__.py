"""Signatures, MACs, PIN blocks and key wrapping: pure functions over bytes."""
