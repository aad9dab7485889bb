"""The descendants of every process: found, shown, and ended by a stop."""
