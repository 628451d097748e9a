"""``resolverctl doctor``: facts of this node, and what they mean."""
