"""The formats of an agent's state: `format` says what one is, `held` and `table` which there are."""
