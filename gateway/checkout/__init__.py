"""Checkouts: one order that every wallet may pay."""
