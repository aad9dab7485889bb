"""What the controller decides: no I/O, no clock, no dice."""
