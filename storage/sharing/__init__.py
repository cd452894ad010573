"""Sweeps and images between homes: what `export` writes, and what `import` takes in.

Imports the rooms below it: `files`, `jobs`, `ratings`, `scores`, `queries` and `sql`.
"""
