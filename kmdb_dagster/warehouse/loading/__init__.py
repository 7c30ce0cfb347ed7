"""The facts of a revision on their way into the tables."""
