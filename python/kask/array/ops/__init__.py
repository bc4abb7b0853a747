"""Families of array operations, one a module: the expression nodes and the functions that users call."""
