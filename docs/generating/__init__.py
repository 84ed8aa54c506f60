"""The generated documents, a room of the reader's each."""
