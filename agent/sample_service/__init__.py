"""A small real webhook service with the agent embedded: for the demo, for tests, and to read."""
