"""What Prometheus is told: figures of sweeps, the queue, workers and the disk."""
