"""Decides, and touches nothing: what is known of each host, who is asked next, where each target ends."""
