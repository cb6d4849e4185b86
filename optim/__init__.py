"""Decisions: the cost of a round, the bound on its progress, and the solvers between them. No torch here; SI units."""
