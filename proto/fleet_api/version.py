"""The version of the whole distribution; the packaging reads it from here."""

VERSION = "0.1.0"
