"""From a sweep file to rows and messages: found, compared, asked about, stored.

Imports `producer.spec`, `producer.expansion`, `producer.models` and `producer.display`.
"""
