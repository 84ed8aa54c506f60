"""Adapters: one folder per channel behind one port."""
