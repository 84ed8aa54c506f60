"""Simulated channels: the other end of every wire, as real servers."""
