"""The controller: holds the fleet together and answers operators; no process depends on it."""
