"""The POS door."""
