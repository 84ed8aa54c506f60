"""The great day: a hundred thousand payments over every channel, with planted differences."""
