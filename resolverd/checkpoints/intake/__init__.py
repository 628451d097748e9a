"""Makes a published object of what an origin has: resolve, bring, verify, assemble, publish."""
