"""What a calibration measures: its plan, its process, its figures and their judgement.

Imports `producer.display`, `producer.running`, `producer.models` and `producer.spec`.
"""
