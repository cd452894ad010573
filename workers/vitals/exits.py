"""How a worker process ends, as agreed with its supervisor."""

#: Seconds that a worker may take to end when told to.
STOP_S = 60.0
#: Exit code of a worker whose device failed: it starts again after a while.
EXIT_UNFIT = 3
#: Exit code of a worker whose database or image folder must not be used: the
#: supervisor does not start it again.
EXIT_WRONG_PLACE = 4
