"""Metrics: how good is an sr, alone or against its gt; by named protocols."""
