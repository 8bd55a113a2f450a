"""Verbs made of many calls; they know no terminal."""
