"""Counts of the rows of batches, and of those that served a job."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of rows that were run, and of rows that served a job.

    Attributes:
        calls: Calls of the network.
        rows: Rows of all calls; the two rows of a guided job count once.
        useful: Rows of these with a job.
    """

    calls: int = 0
    rows: int = 0
    useful: int = 0

    @property
    def occupancy(self) -> float:
        """Share of the rows that served a job."""
        return self.useful / self.rows if self.rows else 0.0


#: Of all that the painter of this process shared between jobs. One per process.
OF_PROCESS = Tally()
