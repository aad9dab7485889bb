"""What the facts of a host mean for the promises of the agent: pure, one room of checks a file."""
