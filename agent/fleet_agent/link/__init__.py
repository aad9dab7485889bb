"""Frames and messages between keeper, supervisor, gateway and the local door."""
