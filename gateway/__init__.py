"""The shell: doors, store, recovery, and the one composition root."""
