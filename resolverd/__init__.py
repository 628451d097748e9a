"""resolverd: node-local fairseq2 asset cards and verified checkpoints."""
