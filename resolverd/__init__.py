"""resolverd: node-local fairseq2 asset cards and verified checkpoints."""

__version__ = "0.1.0"
