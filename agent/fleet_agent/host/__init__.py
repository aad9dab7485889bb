"""The host an agent runs on: what starts and ends the agent there, and what it can and cannot promise."""
