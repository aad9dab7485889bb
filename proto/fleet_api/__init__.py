"""What the programs of the fleet say to each other: messages, errors, names, host sets."""
