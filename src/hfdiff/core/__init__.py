"""Errors, files, weights, settings, seeds: one concern a module, nothing above it."""
