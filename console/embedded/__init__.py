"""A private Postgres and a private Redis, and the supervisor that runs the console on them."""
