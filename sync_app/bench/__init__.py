"""Measuring rollouts: a simulated fleet and the reference clients they are compared with."""
