"""What is wanted, and what is known of it: plain data and decisions, all of it pure."""
