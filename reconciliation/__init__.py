"""Nightly reconciliation: pure rules, a bulk engine proven equal to them, and the night's steps."""
