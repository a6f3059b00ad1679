"""Inputs: what comes in from outside and is looked at while a value is computed.

What is *read* from a database is a dependency, and its version is sealed into the entry. What was
there before, and was looked at, is an input, and its value is part of the key.
"""
