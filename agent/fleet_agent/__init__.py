"""fleet-agent: supervises the processes of one host in three processes of its own."""
