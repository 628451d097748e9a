"""Cards, purely: from the bytes of files to an index by name, with no disk, loop or wire in it."""
