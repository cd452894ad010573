"""The SQL database: connections, schema and its migrations, views, rows and filters.

Imports the top of `storage`, and `broker`, `catalogue`, `models` and `host`.
"""
