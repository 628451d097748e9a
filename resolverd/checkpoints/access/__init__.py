"""What may be read, from where, with which secret, and by whom."""
