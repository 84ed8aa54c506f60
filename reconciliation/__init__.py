"""Nightly matching: pure rules under a thin engine."""
