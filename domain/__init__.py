"""The pure heart: money, ids, states, postings, errors.

Rules of this room: no ``async``, no clock, no randomness, no I/O, no import
from any other room. Everything here can be tested from a table.
"""
