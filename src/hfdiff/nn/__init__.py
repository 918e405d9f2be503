"""Pure networks: tensors in, tensors out; no files, no schedules."""
