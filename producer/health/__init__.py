"""What `nightsweep doctor` looks at, by where it is."""
