"""Numbered changes to the schema, applied by Alembic."""
