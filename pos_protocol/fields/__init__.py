"""What is inside a field: one file per noun, each a pair of parse and build.

Rules: a value that a file's ``build`` wrote, its ``parse`` gives back; ``parse`` is
lenient where terminals differ and raises :class:`~pos_protocol.errors.CodecError`,
naming the field and never its content, where the layout does not hold.
"""
