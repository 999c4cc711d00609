"""Promises of the agent. Nothing here imports the console."""
