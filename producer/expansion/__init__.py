"""From a spec to its jobs: what the values mean for each model, cell by cell."""
