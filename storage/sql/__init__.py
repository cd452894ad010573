"""The SQL database: connections, schema and its migrations, views and rows.

Imports the top of `storage`, and `broker`, `catalogue`, `models` and `host`.
"""
