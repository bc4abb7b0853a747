"""Kask as a part of other libraries. Nothing here is imported unless they ask for it."""
