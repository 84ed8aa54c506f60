"""Who follows payments, and how they are told."""
