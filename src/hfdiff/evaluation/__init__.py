"""Measuring folders of results: pairs, per-picture values, means with intervals, reports."""
