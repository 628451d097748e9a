"""What is in ``inside`` runs in the booted system only."""

collect_ignore = ["inside"]
