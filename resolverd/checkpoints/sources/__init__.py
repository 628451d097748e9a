"""Origins of checkpoints, behind one interface."""
