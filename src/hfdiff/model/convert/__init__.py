"""Published checkpoints into model files."""
